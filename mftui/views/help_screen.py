"""The keys, read off the bindings themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.keys import REPLACED_KEYS, key_to_character
from textual.scroll_view import ScrollView
from textual.strip import Strip

from mftui.views.dialog import Dialog

WIDTH, FRAME = 72, 7
"""cells of the list, and those of them that its border, padding and scroll bar take"""
GAP = 3
"""between columns"""
LEAST = 10
"""cells that a meaning has on the narrowest terminal"""
_BOLD, _DIM = Style(bold=True), Style(dim=True)
_SIGNS = {"left": "←", "right": "→", "up": "↑", "down": "↓", "pageup": "pgup", "pagedown": "pgdn"}


class KeyList(ScrollView, can_focus=True):
    """A key, what it does, what `keys.toml` calls it; laid out once, drawn line by line."""

    DEFAULT_CSS = """
    KeyList { max-width: 100%; height: auto; max-height: 100%; border: round $primary; padding: 0 2;
              background: $surface; scrollbar-size-vertical: 1; overflow-x: hidden; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("j", "scroll_down", "Down"), ("k", "scroll_up", "Up")]

    def __init__(self, keys: Sequence[Binding], width: int) -> None:
        """For a terminal so wide, until it is told of another width."""
        super().__init__()
        self.border_title, self.border_subtitle = "keys", "escape closes"
        self._told = [(written(each.key), each.tooltip, each.id or "") for each in keys]
        self._columns = (0, 0)
        """cells of keys and of meanings"""
        self._lines: list[tuple[str, str, str]] = []
        self.styles.width = WIDTH
        self._lay(width)

    def on_resize(self) -> None:
        self._lay(self.app.size.width)

    def render_line(self, y: int) -> Strip:
        base, row = self.rich_style, y + self.scroll_offset.y
        if row >= len(self._lines):
            return Strip.blank(self.size.width, base)
        (key, meaning, name), (of_key, of_meaning) = self._lines[row], self._columns
        segments = [
            Segment(f"{key:{of_key}}", base + _BOLD),
            Segment(f"{meaning:{of_meaning}}", base),
            Segment(name, base + _DIM),
        ]
        return Strip(segments).adjust_cell_length(self.scrollable_content_region.width, base)

    def _lay(self, width: int) -> None:
        width = min(WIDTH, width) - FRAME
        of_key, of_name = (max((len(row[column]) for row in self._told), default=0) for column in (0, 2))
        room = max(LEAST, width - of_key - of_name - 2 * GAP)
        self._columns = of_key + GAP, room + GAP
        self._lines = []
        for key, meaning, name in self._told:
            first, *rest = wrap(meaning, room) or [""]
            self._lines += [(key, first, name), *(("", more, "") for more in rest)]
        self.virtual_size = Size(width, len(self._lines))


def written(keys: str) -> str:
    """All of a binding's keys as one finds them on a keyboard: "left,h" as "← h"."""
    return " ".join(map(_written, keys.split(",")))


def _written(key: str) -> str:
    modifiers, plus, name = key.rpartition("+")
    if name in _SIGNS:
        return f"{modifiers}{plus}{_SIGNS[name]}"
    sign = key_to_character(REPLACED_KEYS.get(key, key)) or " "
    return sign if sign.isprintable() and sign != " " else key


class HelpScreen(Dialog[None]):
    """Every key that has something to say."""

    DEFAULT_CSS = "HelpScreen { align: center middle; }"
    BINDINGS: ClassVar[list[BindingType]] = [("escape,question_mark,q", "dismiss", "Back")]

    def __init__(self, bindings: Iterable[Binding]) -> None:
        super().__init__()
        self._keys = [each for each in bindings if each.tooltip]

    def compose(self) -> ComposeResult:
        yield KeyList(self._keys, self.app.size.width)
