"""A matrix into a frame: a block of cells for each entry where there is room, half a cell where there isn't."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mftui.canvas.frame import Canvas, Frame, Style
from mftui.canvas.glyphs import Glyphs
from mftui.canvas.heatmap import LEVELS, UNKNOWN, Heatmap
from mftui.canvas.numbers import write_value

_LETTERS = {"diverging": "Nn-.+pP", "sequential": " .:-=+*#%@"}
"""where there is no colour: from negative over zero to positive, and from little to much ink"""
_NO_ENTRY = -2
_LABEL, _MARK, _CURSOR = Style("label"), "mark", "cursor"
_SMALLEST_WITH_SCALE = (24, 6)


class Entries(NamedTuple):
    """The entries in a cell: one, or several where the matrix is larger than the frame."""

    rows: range
    columns: range


class _Grid(NamedTuple):
    """Where entries go: blocks of `down` × `across` cells, or two rows in a cell (`half`)."""

    top: int
    left: int
    down: int
    across: int
    half: bool
    row_edges: list[int]
    """first row of each block, and the number of rows"""
    column_edges: list[int]

    @property
    def exact(self) -> bool:
        """One entry a block."""
        return self.row_edges[-1] == len(self.row_edges) - 1 and self.column_edges[-1] == len(self.column_edges) - 1


def draw_heatmap(
    heatmap: Heatmap, width: int, height: int, glyphs: Glyphs = Glyphs.BRAILLE, *, colored: bool = True
) -> Frame:
    """A frame of `width` × `height` cells; letters in place of colours in ASCII and unless `colored`."""
    canvas = Canvas(width, height, glyphs)
    lettered = glyphs is Glyphs.ASCII or not colored
    grid = _grid(heatmap, width, height, lettered)
    if grid is None:
        return canvas.frame()
    levels = heatmap.level(_reduced(heatmap, grid))
    if grid.half:
        _write_halves(canvas, heatmap, grid, levels)
    else:
        _write_blocks(canvas, heatmap, grid, levels, lettered)
    _write_labels(canvas, heatmap, grid)
    if heatmap.cursor is not None:
        _write_cursor(canvas, heatmap, grid, levels, lettered)
    if _scaled(width, height):
        _write_scale(canvas, heatmap, grid, lettered)
    return canvas.frame()


def marks_entries(heatmap: Heatmap, width: int, height: int, glyphs: Glyphs, *, colored: bool = True) -> bool:
    """Whether that frame has a cell for each entry, on which an observed one is marked."""
    grid = _grid(heatmap, width, height, glyphs is Glyphs.ASCII or not colored)
    return grid is not None and grid.exact and not grid.half


def entries_at(
    heatmap: Heatmap, width: int, height: int, glyphs: Glyphs, row: int, column: int, *, colored: bool = True
) -> Entries | None:
    """What a cell of that frame shows; None beside the matrix."""
    grid = _grid(heatmap, width, height, glyphs is Glyphs.ASCII or not colored)
    if grid is None or row < grid.top or column < grid.left:
        return None
    across = (column - grid.left) // grid.across
    first = last = (row - grid.top) // grid.down
    if grid.half:
        first, last = 2 * first, min(2 * last + 1, len(grid.row_edges) - 2)
    if first > last or last >= len(grid.row_edges) - 1 or across >= len(grid.column_edges) - 1:
        return None
    return Entries(
        range(grid.row_edges[first], grid.row_edges[last + 1]),
        range(grid.column_edges[across], grid.column_edges[across + 1]),
    )


def _scaled(width: int, height: int) -> bool:
    return width >= _SMALLEST_WITH_SCALE[0] and height >= _SMALLEST_WITH_SCALE[1]


def _grid(heatmap: Heatmap, width: int, height: int, lettered: bool) -> _Grid | None:
    rows, columns = heatmap.values.shape
    labels = max(map(len, heatmap.row_labels), default=0)
    left = labels + 1 if 0 < labels < width // 3 else 0
    top = int(bool(heatmap.column_labels) and height >= _SMALLEST_WITH_SCALE[1])
    height, width = height - top - int(_scaled(width, height)), width - left
    if min(rows, columns, width, height) <= 0:
        return None
    if times := min(height // rows, width // (2 * columns)):
        return _Grid(top, left, times, 2 * times, False, [*range(rows + 1)], [*range(columns + 1)])
    half = not lettered and height < rows
    shown = min(rows, 2 * height if half else height), min(columns, width)
    row_edges, column_edges = (
        [number * entries // blocks for number in range(blocks + 1)]
        for entries, blocks in zip((rows, columns), shown, strict=True)
    )
    return _Grid(top, left, 1, 1, half, row_edges, column_edges)


def _reduced(heatmap: Heatmap, grid: _Grid) -> NDArray[np.float64]:
    """The entry of each block that stands out most: the largest, if diverging in magnitude; NaN if none is known.

    Or the mean of all entries, NaN if one is unknown.
    """
    values = np.asarray(heatmap.values, np.float64)
    if grid.exact:
        return values

    def blocks(choose: np.ufunc) -> NDArray[np.float64]:
        rows = choose.reduceat(values, grid.row_edges[:-1], axis=0)
        return np.asarray(choose.reduceat(rows, grid.column_edges[:-1], axis=1))

    if heatmap.merged == "mean":
        return blocks(np.add) / np.outer(np.diff(grid.row_edges), np.diff(grid.column_edges))
    highest = blocks(np.fmax)
    if heatmap.scale == "sequential":
        return highest
    lowest = blocks(np.fmin)
    return np.where(highest >= -lowest, highest, lowest)


def _role(heatmap: Heatmap, level: int) -> str:
    return {UNKNOWN: "unknown", _NO_ENTRY: ""}.get(level, f"{heatmap.scale}-{level}")


def _letter(heatmap: Heatmap, level: int) -> str:
    letters = _LETTERS[heatmap.scale]
    return letters[round(level * (len(letters) - 1) / (LEVELS[heatmap.scale] - 1))] if level >= 0 else " "


def _write_blocks(canvas: Canvas, heatmap: Heatmap, grid: _Grid, levels: NDArray[np.int64], lettered: bool) -> None:
    rows, columns = levels.shape
    area = np.s_[grid.top : grid.top + rows * grid.down, grid.left : grid.left + columns * grid.across]
    codes, styles = canvas.codes[area], canvas.styles[area]
    middle = np.s_[grid.down // 2 :: grid.down, (grid.across - 1) // 2 :: grid.across]
    cells = levels.repeat(grid.down, axis=0).repeat(grid.across, axis=1)
    seen = heatmap.observed if grid.exact else None
    for level in np.unique(levels).tolist():
        role, here = _role(heatmap, level), levels == level
        codes[cells == level] = ord(_letter(heatmap, level) if lettered else " ")
        styles[cells == level] = canvas.number(Style(role) if lettered else Style("", role))
        marks = [(here, "?")] if level == UNKNOWN else []
        if seen is not None:
            marks.append((here & seen, "o" if lettered else "·"))
        for where, mark in marks:
            codes[middle][where] = ord(mark)
            styles[middle][where] = canvas.number(Style(_MARK, "" if lettered else role))


def _write_halves(canvas: Canvas, heatmap: Heatmap, grid: _Grid, levels: NDArray[np.int64]) -> None:
    """The upper row is the ink of "▀", the lower one its ground."""
    if len(levels) % 2:
        levels = np.vstack([levels, np.full((1, levels.shape[1]), _NO_ENTRY)])
    pairs = np.stack([levels[::2], levels[1::2]], axis=-1)
    kinds, kind = np.unique(pairs.reshape(-1, 2), axis=0, return_inverse=True)
    glyphs, styles = [], []
    for upper, lower in kinds.tolist():
        ink, ground = _role(heatmap, upper), _role(heatmap, lower)
        unknown = upper == lower == UNKNOWN
        glyphs.append(ord("?" if unknown else " " if upper == lower else "▀"))
        styles.append(canvas.number(Style(_MARK if unknown else "" if upper == lower else ink, ground)))
    area = np.s_[grid.top : grid.top + pairs.shape[0], grid.left : grid.left + pairs.shape[1]]
    canvas.codes[area] = np.array(glyphs, np.uint32)[kind].reshape(pairs.shape[:2])
    canvas.styles[area] = np.array(styles, np.int16)[kind].reshape(pairs.shape[:2])


def _write_labels(canvas: Canvas, heatmap: Heatmap, grid: _Grid) -> None:
    """Beside each row and above each column that has a block of its own; every nth where they would touch."""
    if not grid.exact:
        return
    if grid.left and not grid.half:
        for row, label in enumerate(heatmap.row_labels[: len(grid.row_edges) - 1]):
            canvas.write(grid.top + row * grid.down + grid.down // 2, 0, label.rjust(grid.left - 1), _LABEL)
    if grid.top:
        every = math.ceil((max(map(len, heatmap.column_labels)) + 1) / grid.across)
        for column in range(0, min(len(heatmap.column_labels), len(grid.column_edges) - 1), every):
            canvas.write(0, grid.left + column * grid.across, heatmap.column_labels[column], _LABEL)


def _write_cursor(canvas: Canvas, heatmap: Heatmap, grid: _Grid, levels: NDArray[np.int64], lettered: bool) -> None:
    row, column = heatmap.cursor or (0, 0)
    if not (0 <= row < grid.row_edges[-1] and 0 <= column < grid.column_edges[-1]):
        return
    row, column = (
        int(np.searchsorted(edges, at, side="right")) - 1
        for edges, at in ((grid.row_edges, row), (grid.column_edges, column))
    )
    style = Style(_CURSOR, "" if lettered else _role(heatmap, int(levels[row, column])))
    line = grid.top + (row // 2 if grid.half else row * grid.down + grid.down // 2)
    start = grid.left + column * grid.across
    if grid.across == 1:
        canvas.write(line, start, "+", style)
    else:
        canvas.write(line, start, "[", style)
        canvas.write(line, start + grid.across - 1, "]", style)


def _write_scale(canvas: Canvas, heatmap: Heatmap, grid: _Grid, lettered: bool) -> None:
    """The colours between their limits, in the last row."""
    row, column = canvas.codes.shape[0] - 1, grid.left
    low, high = heatmap.limits
    canvas.write(row, column, write_value(low), _LABEL)
    column += len(write_value(low)) + 1
    for level in heatmap.levels_used.tolist():
        role = _role(heatmap, level)
        if lettered:
            canvas.write(row, column, _letter(heatmap, level), Style(role))
        else:
            canvas.write(row, column, " ", Style("", role))
        column += 1
    canvas.write(row, column + 1, write_value(high), _LABEL)
