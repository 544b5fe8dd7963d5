"""A list with columns that fit, a cursor and marks; only the lines that changed are sent."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from mftui.views.roles import color

GAP = 2
LEAD = 5
"""cells before the first column: the cursor, and a mark such as ●12"""
_KEPT_END = 13
"""cells at the end of a name that is cut in its middle"""


@dataclass(frozen=True)
class Column:
    title: str
    right: bool = False
    least: int | None = None
    """cells it may be cut down to, the last column first; None: never cut"""
    keep_end: bool = False
    """where cut, the middle goes, not the end"""
    spare: int = 0
    """above 0: left out where all of them can't have their least, the lowest number first"""


@dataclass(frozen=True)
class Row:
    key: Hashable
    cells: tuple[str, ...]
    """one a column, printable"""
    roles: tuple[str, ...] = ()
    """a colour a cell; "" is the text's own"""
    mark: str = ""
    """before the first column"""
    mark_role: str = ""


class Roster(ScrollView):
    """Lets the screen move the cursor; tells of clicks."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"roster--cursor"}
    DEFAULT_CSS = """
    Roster { height: 1fr; width: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }
    Roster .roster--cursor { background: $primary-muted; text-style: bold; }
    """

    class TitleClicked(Message):
        """A click on a column's title."""

        def __init__(self, column: int) -> None:
            self.column = column
            super().__init__()

    class Moved(Message):
        """The cursor is on another row."""

    class Chosen(Message):
        """A click on the row of the cursor."""

    def __init__(self, columns: Sequence[Column], empty: str = "", *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.can_focus = False
        self.empty = empty
        """what to say where there are no rows"""
        self.rows: tuple[Row, ...] = ()
        self.cursor = 0
        self._columns = tuple(columns)
        self._titles = tuple(column.title for column in columns)
        self._widths = [len(title) for title in self._titles]
        self._fitted_to = 0

    # --- what is shown -----------------------------------------------------------------------------------------------

    @property
    def current(self) -> Row | None:
        return self.rows[self.cursor] if self.rows else None

    def show(self, rows: Sequence[Row], sorted_by: int | None = None, *, descending: bool = False) -> None:
        """Show these; the cursor stays with its row, or in its place if that is gone."""
        before, widths, titles = self.rows, self._widths, self._titles
        current = self.current
        self.rows = tuple(rows)
        arrow = "↓" if descending else "↑"
        self._titles = tuple(
            f"{column.title} {arrow}" if index == sorted_by else column.title
            for index, column in enumerate(self._columns)
        )
        self._widths = self._fit(self.size.width)
        cursor = self.cursor
        places = {row.key: index for index, row in enumerate(self.rows)}
        if current is not None and current.key in places:
            self.cursor = places[current.key]
        self.cursor = max(0, min(self.cursor, len(self.rows) - 1))
        if len(before) != len(self.rows) or widths != self._widths or titles != self._titles:
            self.virtual_size = Size(self.size.width, 1 + len(self.rows))
            self.refresh()
        else:
            changed = {i for i, (old, new) in enumerate(zip(before, self.rows, strict=True)) if old != new}
            self._refresh_rows(changed | ({cursor, self.cursor} if cursor != self.cursor else set()))
        self._keep_in_sight()
        if self.current is not None and (current is None or current.key != self.current.key):
            self.post_message(self.Moved())

    def move(self, by: int) -> None:
        """Move the cursor, at most to an end."""
        place = max(0, min(self.cursor + by, len(self.rows) - 1))
        if place != self.cursor:
            before, self.cursor = self.cursor, place
            self._refresh_rows({before, place})
            self._keep_in_sight()
            self.post_message(self.Moved())

    @property
    def page(self) -> int:
        """Rows that fit."""
        return max(1, self.size.height - 1)

    def _refresh_rows(self, rows: set[int]) -> None:
        top = self.scroll_offset.y
        regions = [Region(0, 1 + row - top, self.size.width, 1) for row in sorted(rows) if top <= row < top + self.page]
        if regions:
            self.refresh(*regions)

    def _keep_in_sight(self) -> None:
        top = round(self.scroll_target_y)
        wanted = min(max(top, self.cursor - self.page + 1), self.cursor)
        if wanted != top and self.size.height > 1:
            self.scroll_to(y=wanted, animate=False, immediate=True)

    def _fit(self, width: int) -> list[int]:
        """Cells of each column in a line of `width`; one that is empty throughout gets none."""
        self._fitted_to = width
        parts = list(zip(*(row.cells for row in self.rows), strict=True)) or [()] * len(self._columns)
        widths = [
            max(map(cell_len, (title, *cells))) if any(cells) or not self.rows else 0
            for title, cells in zip(self._titles, parts, strict=True)
        ]
        least = [min(wish, column.least or wish) for column, wish in zip(self._columns, widths, strict=True)]
        for index in sorted(range(len(widths)), key=lambda index: self._columns[index].spare):
            if self._columns[index].spare and _total(least) > width:
                widths[index] = least[index] = 0
        excess = _total(widths) - width
        for index in reversed(range(len(widths))):
            if excess > 0 and least[index] < widths[index]:
                cut_by = min(excess, widths[index] - least[index])
                widths[index] -= cut_by
                excess -= cut_by
        return widths

    def on_resize(self) -> None:
        self._widths = self._fit(self.size.width)
        self.virtual_size = Size(self.size.width, 1 + len(self.rows))
        self._keep_in_sight()
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.refresh()

    # --- lines -------------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        if self._fitted_to != self.size.width:  # a scrollbar that comes and goes announces no resize
            self._widths = self._fit(self.size.width)
        base = self.rich_style
        index = y - 1 + self.scroll_offset.y
        if y == 0:
            title = base + self._ink("label") + Style(bold=True)
            return self._strip([title] * len(self._columns), self._titles, [Segment(" " * LEAD, title)], title)
        if not self.rows and y == 2 and self.empty:
            quiet = base + self._ink("label")
            return Strip([Segment(f"  {self.empty}", quiet)]).adjust_cell_length(self.size.width, base)
        if not 0 <= index < len(self.rows):
            return Strip.blank(self.size.width, base)
        row, here = self.rows[index], index == self.cursor
        if here:
            base += self.get_component_rich_style("roster--cursor", partial=True)
        lead = [
            Segment("›" if here else " ", base),
            Segment(set_cell_size(row.mark, LEAD - 2), base + self._ink(row.mark_role)),
            Segment(" ", base),
        ]
        roles = row.roles or ("",) * len(row.cells)
        inks = [base if here else base + self._ink(role) for role in roles]  # on its ground some are hard to read
        return self._strip(inks, row.cells, lead, base)

    def _strip(self, styles: Sequence[Style], cells: Sequence[str], lead: list[Segment], base: Style) -> Strip:
        segments = list(lead)
        for column, width, text, style in zip(self._columns, self._widths, cells, styles, strict=True):
            if width:
                fitted = cut(text, width, keep_end=column.keep_end)
                spare = " " * (width - cell_len(fitted))
                gap = " " * GAP
                segments.append(Segment(f"{spare}{fitted}{gap}" if column.right else f"{fitted}{spare}{gap}", style))
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def _ink(self, role: str) -> Style:
        return Style(color=color(role, self.app.current_theme.dark) or None)

    # --- mouse -------------------------------------------------------------------------------------------------------

    def on_click(self, event: events.Click) -> None:
        index = event.y - 1 + self.scroll_offset.y
        if event.y == 0:
            if (column := self._column_at(event.x)) is not None:
                self.post_message(self.TitleClicked(column))
        elif index == self.cursor and self.rows:
            self.post_message(self.Chosen())
        elif index < len(self.rows):
            self.move(index - self.cursor)

    def _column_at(self, x: int) -> int | None:
        end = LEAD
        for index, width in enumerate(self._widths):
            end += width + GAP if width else 0
            if width and x < end:
                return index
        return None


def _total(widths: Sequence[int]) -> int:
    """Cells of a line."""
    return LEAD + sum(width + GAP for width in widths if width) - GAP


def cut(text: str, width: int, *, keep_end: bool = False) -> str:
    """The text in at most `width` cells, with … for what is left out: its end, or its middle."""
    if cell_len(text) <= width:
        return text
    if width < 1:
        return ""
    end = ""
    for letter in reversed(text) if keep_end else ():
        if cell_len(letter + end) > min(_KEPT_END, 2 * width // 3):
            break
        end = letter + end
    start = next(iter(chop_cells(text, room)), "") if (room := width - 1 - cell_len(end)) > 0 else ""
    return f"{start}…{end}"
