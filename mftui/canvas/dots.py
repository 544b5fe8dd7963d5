"""Some entries of a matrix into a frame, where a heatmap of it has no cell for each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mftui.canvas.frame import Canvas, Frame, Style
from mftui.canvas.glyphs import Glyphs, code_points, encode
from mftui.canvas.heatmap import Heatmap
from mftui.canvas.heatmap_render import draw_heatmap

_INK, _GROUND = "mark", "diverging-7"
"""the ground is that of zero in a heatmap beside it, and shows how far the matrix goes"""


@dataclass(frozen=True, eq=False)
class Dots:
    """Which entries to mark, shape (rows, columns)."""

    marked: NDArray[np.bool_]

    def extent(self, glyphs: Glyphs) -> tuple[int, int]:
        """Cells across and down for a dot each."""
        rows, columns = self.marked.shape
        return math.ceil(columns / glyphs.across), math.ceil(rows / glyphs.down)


def draw_dots(dots: Dots, width: int, height: int, glyphs: Glyphs = Glyphs.BRAILLE, *, colored: bool = True) -> Frame:
    """A frame of `width` × `height` cells: a dot for each entry marked, or "o" among "." in ASCII.

    Where there is no room for that, the share of entries marked in each cell, as a shade or a letter.
    """
    across, down = dots.extent(glyphs)
    if across > width or down > height:
        shares = Heatmap(dots.marked.astype(np.float64), 0, 1, "sequential", merged="mean")
        return draw_heatmap(shares, width, height, glyphs, colored=colored)
    canvas = Canvas(width, height, glyphs)
    rows, columns = dots.marked.shape
    layers = np.zeros((down * glyphs.down, across * glyphs.across), np.int16)
    layers[:rows, :columns] = dots.marked + int(glyphs is Glyphs.ASCII)
    canvas.codes[:down, :across] = encode(layers, glyphs, code_points(" .o"))[0]
    canvas.styles[:down, :across] = canvas.number(Style(_INK, _GROUND if colored else ""))
    return canvas.frame()
