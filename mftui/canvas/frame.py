"""A grid of cells: what a widget shows, and the least that must be sent to get from one to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mftui.canvas.glyphs import SPACE, Glyphs, code_points, one_cell_each

Corner = Literal["top right", "top left", "bottom right", "bottom left", "right", "left"]

MERGED_CELLS = 8
"""equal cells between two changes that cost less to send again than to move the cursor over"""


class Style(NamedTuple):
    """Roles such as "gd", "axis", "diverging-3"; the theme decides on colours. An empty one is the terminal's own."""

    ink: str = ""
    ground: str = ""


class Span(NamedTuple):
    """Cells `first` to `end` − 1 of a row."""

    row: int
    first: int
    end: int


@dataclass(frozen=True, eq=False)
class Frame:
    """Every glyph fills one cell."""

    codes: NDArray[np.uint32]
    """code points, shape (height, width)"""
    styles: NDArray[np.int16]
    """indices into `palette`, shape (height, width)"""
    palette: tuple[Style, ...]
    legend: Corner | None = None
    """where the legend went, for the next frame to keep it there"""

    @property
    def height(self) -> int:
        return int(self.codes.shape[0])

    @property
    def width(self) -> int:
        return int(self.codes.shape[1])

    @property
    def text(self) -> str:
        """All rows without styles, joined by line feeds."""
        return "\n".join(row.tobytes().decode("utf-32-le") for row in self.codes)

    def runs(self, row: int, first: int = 0, end: int | None = None) -> list[tuple[str, Style]]:
        """The cells `first` to `end` − 1 of a row as texts of one style each.

        Blank cells join the run to their left: the terminal needs no escape sequence for them.
        """
        codes, styles = self.codes[row, first:end], self.styles[row, first:end]
        if not len(codes):
            return []
        has_ground = np.array([bool(style.ground) for style in self.palette])
        visible = (codes != SPACE) | has_ground[styles]
        source = np.maximum.accumulate(np.where(visible, np.arange(len(codes)), 0))
        inherited = styles[source]
        inherited = np.where(visible | ~has_ground[inherited], inherited, 0)
        starts = np.flatnonzero(np.diff(inherited, prepend=-1)).tolist()
        text = codes.tobytes().decode("utf-32-le")
        ends = [*starts[1:], len(text)]
        return [(text[start:end], self.palette[inherited[start]]) for start, end in zip(starts, ends, strict=True)]


def changed_spans(before: Frame | None, after: Frame) -> list[Span]:
    """What to send again, top to bottom, left to right; everything if the size changed."""
    if before is None or before.codes.shape != after.codes.shape:
        return [Span(row, 0, after.width) for row in range(after.height if after.width else 0)]
    styles = before.styles
    if before.palette != after.palette[: len(before.palette)]:
        numbers = {style: index for index, style in enumerate(after.palette)}
        styles = np.array([numbers.get(style, -1) for style in before.palette], np.int16)[before.styles]
    rows, columns = np.nonzero((before.codes != after.codes) | (styles != after.styles))
    if not len(rows):
        return []
    apart = np.flatnonzero((np.diff(rows) != 0) | (np.diff(columns) > MERGED_CELLS))
    firsts, lasts = np.append(0, apart + 1), np.append(apart, len(rows) - 1)
    spans = zip(rows[firsts].tolist(), columns[firsts].tolist(), (columns[lasts] + 1).tolist(), strict=True)
    return [Span(*span) for span in spans]


class Canvas:
    """A frame being drawn; what falls outside is cut off."""

    def __init__(self, width: int, height: int, glyphs: Glyphs) -> None:
        shape = (max(0, height), max(0, width))
        self.codes = np.full(shape, SPACE, np.uint32)
        self.styles = np.zeros(shape, np.int16)
        self.glyphs = glyphs
        self._numbers = {Style(): 0}

    def number(self, style: Style) -> int:
        """Its index in the frame's palette."""
        return self._numbers.setdefault(style, len(self._numbers))

    def write(self, row: int, column: int, text: str, style: Style) -> None:
        """Left to right from a cell."""
        height, width = self.codes.shape
        text = one_cell_each(text, self.glyphs)[max(0, -column) : max(0, width - column)]
        if text and 0 <= row < height:
            cells = slice(max(0, column), max(0, column) + len(text))
            self.codes[row, cells] = code_points(text)
            self.styles[row, cells] = self.number(style)

    def frame(self, legend: Corner | None = None) -> Frame:
        """What was drawn; blank cells without a ground all look the same, so they get the same style."""
        palette = tuple(self._numbers)
        has_ground = np.array([bool(style.ground) for style in palette])
        styles = np.where((self.codes == SPACE) & ~has_ground[self.styles], np.int16(0), self.styles)
        return Frame(self.codes, styles, palette, legend)
