"""Commands by name, to search in: what ctrl+p opens. Textual's own takes 40 ms longer to be there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.fuzzy import FuzzySearch
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Input

from mftui.views.dialog import Dialog

GAP = 2
"""cells beside names and meanings"""
LEAST = 10
"""cells that a meaning has on the narrowest terminal"""
NOTHING = "no command matches"
_BOLD, _DIM, _FOUND = Style(bold=True), Style(dim=True), Style(bold=True, underline=True)


class Line(NamedTuple):
    """Of a command's lines one; the first has its name."""

    place: int
    """of the command in the list"""
    name: str
    meaning: str


class CommandList(ScrollView):
    """Those that match, best first; drawn line by line."""

    DEFAULT_CSS = """
    CommandList { height: 1fr; background: $surface; scrollbar-size-vertical: 1; overflow-x: hidden; }
    CommandList > .command-list--chosen { background: $block-cursor-background; color: $block-cursor-foreground; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"command-list--chosen"}
    ALLOW_SELECT = False

    def __init__(self, commands: Iterable[SystemCommand]) -> None:
        super().__init__()
        self._all = sorted(commands, key=lambda command: command.title)
        self._search = FuzzySearch()
        self._query = ""
        self.found: Sequence[SystemCommand] = self._all
        self.place = 0
        """of the chosen one among these"""
        self._lines: list[Line] = []
        self._name_cells = 0

    @property
    def chosen(self) -> SystemCommand | None:
        return self.found[self.place] if self.found else None

    @property
    def page(self) -> int:
        """Lines that fit."""
        return max(1, self.size.height)

    def search(self, query: str) -> None:
        """For names that have the letters of this in their order, as Textual's palette does; empty: all commands."""
        self._query = query
        scores = {each.title: self._search.match(query, each.title)[0] for each in self._all} if query else {}
        found = [each for each in self._all if scores.get(each.title, 1.0) > 0]
        self.found = sorted(found, key=lambda each: -scores.get(each.title, 1.0))
        self.place = 0
        self._lay()
        self.scroll_to(y=0, animate=False, immediate=True)

    def move(self, by: int) -> None:
        """At most to an end."""
        self.place = max(0, min(self.place + by, len(self.found) - 1))
        mine = [index for index, line in enumerate(self._lines) if line.place == self.place]
        if mine:
            top = min(max(round(self.scroll_target_y), mine[-1] - self.page + 1), mine[0])
            self.scroll_to(y=top, animate=False, immediate=True)
        self.refresh()

    def on_resize(self) -> None:
        self._lay()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if (place := self.place_at(event.y)) is not None and place != self.place:
            self.place = place
            self.refresh()

    def place_at(self, y: int) -> int | None:
        """Of the command that is on a line of the widget."""
        row = y + round(self.scroll_y)
        return self._lines[row].place if 0 <= row < len(self._lines) else None

    def render_line(self, y: int) -> Strip:
        base, row, width = self.rich_style, y + self.scroll_offset.y, self.scrollable_content_region.width
        if row >= len(self._lines):
            text = " " * GAP + NOTHING if not self.found and row == 0 else ""
            return Strip([Segment(text, base + _DIM)]).adjust_cell_length(width, base)
        place, name, meaning = self._lines[row]
        if place == self.place:
            base += self.get_component_rich_style("command-list--chosen", partial=True)
        found = set(self._search.match(self._query, name)[1]) if self._query else set()
        letters = [Segment(letter, base + (_FOUND if at in found else _BOLD)) for at, letter in enumerate(name)]
        gap = Segment(" " * GAP, base)
        spare = Segment(" " * (self._name_cells - cell_len(name)), base)
        return Strip([gap, *letters, spare, gap, Segment(meaning, base)]).adjust_cell_length(width, base)

    def _lay(self) -> None:
        """Names at the left, meanings beside them in as many lines as they need."""
        self._name_cells = max((cell_len(each.title) for each in self._all), default=0)
        room = max(LEAST, self.scrollable_content_region.width - self._name_cells - 3 * GAP)
        self._lines = []
        for place, each in enumerate(self.found):
            first, *rest = wrap(each.help, room) or [""]
            self._lines += [Line(place, each.title, first), *(Line(place, "", more) for more in rest)]
        self.virtual_size = Size(self.size.width, len(self._lines))
        self.refresh()


class PaletteScreen(Dialog[None]):
    """Letters search, arrows choose, enter runs."""

    AUTO_FOCUS = "Input"
    DEFAULT_CSS = """
    PaletteScreen { align: center top; }
    PaletteScreen Vertical { width: 110; max-width: 100%; height: 75%; margin-top: 2; border: round $primary;
                             background: $surface; border-subtitle-color: $text-muted; }
    PaletteScreen Input { margin: 0 1; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Back", show=False),
        Binding("down", "move(1)", "Next", show=False),
        Binding("up", "move(-1)", "Previous", show=False),
        Binding("pagedown", "move_pages(1)", "Page down", show=False),
        Binding("pageup", "move_pages(-1)", "Page up", show=False),
        Binding("ctrl+home,shift+home", "move_to_end(-1)", "First", show=False),
        Binding("ctrl+end,shift+end", "move_to_end(1)", "Last", show=False),
    ]

    def __init__(self, commands: Iterable[SystemCommand], placeholder: str) -> None:
        super().__init__()
        self.list = CommandList(commands)
        self._placeholder = placeholder

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_subtitle = "enter runs · escape closes"
            yield Input(placeholder=self._placeholder, compact=True, select_on_focus=False)
            yield self.list

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.list.search(event.value.strip())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._run()

    def on_click(self, event: events.Click) -> None:
        """On a command: run it; beside the list: close."""
        widget, region = self.get_widget_at(event.screen_x, event.screen_y)
        if widget is self:
            self.dismiss()
        elif widget is self.list and (place := self.list.place_at(event.screen_y - region.y)) is not None:
            self.list.place = place
            self._run()

    def action_move(self, by: int) -> None:
        self.list.move(by)

    def action_move_pages(self, by: int) -> None:
        self.list.move(by * self.list.page)

    def action_move_to_end(self, end: int) -> None:
        self.list.move(end * len(self.list.found))

    def _run(self) -> None:
        if (chosen := self.list.chosen) is not None:
            self.dismiss()
            self.app.call_later(chosen.callback)
