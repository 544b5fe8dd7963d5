"""What the terminal shows, cell by cell, so that no cell is sent to it twice.

Textual sends whole widgets where a part has changed, and the whole screen under a dialog: 180 KB for a page of help.
Here each update is compared with what was sent before, and only cells that differ go out.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from functools import lru_cache
from math import inf
from unicodedata import category

from rich.cells import get_character_cell_size
from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.geometry import Size
from textual.strip import Strip

from mftui.pen import Cell, Pen, visible

Update = ChopsUpdate | LayoutUpdate
NEAR = 5
"""bytes: of cells that did not change so many are sent along, since moving the cursor costs as much"""


class Frame:
    """What was sent so far."""

    def __init__(self) -> None:
        self.complete = True
        """whether all of the last update was sent"""
        self.dark: bool | None = None
        """where no colours are sent, whether they would be on a dark ground; None where they are sent"""
        self._size = Size()
        self._lines: list[list[Cell | None]] = []

    def forget(self) -> None:
        """The terminal may show anything now."""
        self._lines = [[None] * self._size.width for _ in range(self._size.height)]

    def changes(self, update: Update, size: Size, most: float = inf, first: Container[int] = ()) -> CompositorUpdate:
        """The same update for a terminal of `size`, without the cells that are there already.

        After `most` characters it ends, incomplete; the lines `first` go before all others.
        """
        return _Changes(self, update, size, most, first)

    def take(self, update: Update, size: Size, first: Container[int] = ()) -> Iterator[tuple[int, int, list[Cell]]]:
        """Line, column and cells of each span that is new; each counts as sent once it is given out."""
        if size != self._size:
            self._size = size
            self.forget()
        pieces = _pieces(update)
        for y, x, strips in sorted(pieces, key=lambda piece: piece[0] not in first) if first else pieces:
            if 0 <= y < size.height:
                new = cells(strips, self.dark)[: max(0, size.width - x)]
                old = self._lines[y]
                for begin, end in _differing(old[x : x + len(new)], new):
                    old[x + begin : x + end] = new[begin:end]
                    yield y, x + begin, new[begin:end]


class _Changes(CompositorUpdate):
    """Compared when it is written: an update that Textual drops was never sent."""

    def __init__(self, frame: Frame, update: Update, size: Size, most: float, first: Container[int]) -> None:
        self._frame, self._update, self._size, self._most, self._first = frame, update, size, most, first

    def render_segments(self, console: Console) -> str:
        pen = Pen(console._color_system or ColorSystem.TRUECOLOR)
        parts: list[str] = []
        count = 0
        for y, x, span in self._frame.take(self._update, self._size, self._first):
            parts.append(pen.write(y, x, span))
            if (count := count + len(parts[-1])) > self._most:
                break
        self._frame.complete = count <= self._most
        return "".join([*parts, pen.put_down()])


def _pieces(update: Update) -> Iterator[tuple[int, int, Iterable[Strip]]]:
    """Line, column, and what is to be there from that column on."""
    if isinstance(update, LayoutUpdate):
        for y, strips in enumerate(update.strips, update.region.y):
            yield y, update.region.x, strips
        return
    for y, first, end in update.spans:
        for strip_end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is not None and x < end and strip_end > first:
                yield y, max(x, first), [strip.crop(max(0, first - x), min(strip_end, end) - x)]


def cells(strips: Iterable[Strip], dark: bool | None = None) -> list[Cell]:
    """Of a line, one for each column; with `dark`, a ground that stands off a dark or a light one is reverse video."""
    found: list[Cell] = []
    for strip in strips:
        for text, style, _ in strip:
            seen, blank = visible(style if dark is None else _without_colors(style, dark))
            for character in text:
                if character == " ":
                    found.append((" ", blank))
                elif width := get_character_cell_size(character):
                    found += [(character, seen), ("", seen)][:width]
                elif found and category(character) in ("Mn", "Me"):  # an accent; nothing that steers a terminal
                    whose = -1 if found[-1][0] else -2  # a wide character fills two
                    found[whose] = (found[whose][0] + character, found[whose][1])
    return found


@lru_cache(4096)
def _without_colors(style: Style | None, dark: bool) -> Style | None:
    if style is None:
        return None
    ground = style.bgcolor.get_truecolor() if style.bgcolor is not None and not style.bgcolor.is_default else None
    light = (0.3 * ground.red + 0.59 * ground.green + 0.11 * ground.blue) / 255 if ground else 0.0
    stands_off = ground is not None and (light > 1 / 3 if dark else light < 2 / 3)
    return style.without_color + Style(reverse=bool(style.reverse) != stands_off)


def _differing(old: Sequence[Cell | None], new: Sequence[Cell]) -> list[tuple[int, int]]:
    """Spans of columns to send: wide characters whole, near ones joined."""
    spans: list[tuple[int, int]] = []
    if old == new:
        return spans
    for x, (before, after) in enumerate(zip(old, new, strict=True)):
        if before == after:
            continue
        first = x - 1 if not after[0] and x else x
        end = x + 2 if x + 1 < len(new) and not new[x + 1][0] else x + 1
        if spans and (first <= spans[-1][1] or _is_near(new[spans[-1][1] - 1 : first])):
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((first, end))
    return spans


def _is_near(cells: Sequence[Cell]) -> bool:
    """Whether it costs no more to send all but the first again, in that one's style, than to go past them."""
    if len(cells) - 1 > NEAR:
        return False
    between = cells[1:]
    plain = all(character == " " or style is cells[0][1] for character, style in between)
    return plain and sum(len(character.encode()) for character, _ in between) <= NEAR
