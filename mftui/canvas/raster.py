"""Lines into dots. Places are in dots, float, x from the left and y from the bottom; gaps are NaN."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mftui.canvas.axis import Axis
from mftui.canvas.glyphs import DASHES, Glyphs, Stroke
from mftui.canvas.plot import Values

Floats = NDArray[np.float64]
_CROWDED = 4
"""points per dot column from which on a line is reduced"""
_OUTSIDE = 0.499
"""dots beyond the outermost ones' middles that still round to them"""


class Raster:
    """Dots of a plot, shape (rows, columns), each with the number of the topmost layer that lit it; row 0 on top."""

    def __init__(self, rows: int, columns: int, glyphs: Glyphs) -> None:
        """For so many rows and columns of cells."""
        self.layers = np.zeros((rows * glyphs.down, columns * glyphs.across), np.int16)
        self.across = glyphs.across

    def x(self, axis: Axis, values: Values) -> Floats:
        """Places along the x axis."""
        return axis.fractions(values) * (self.layers.shape[1] - 1)

    def y(self, axis: Axis, values: Values) -> Floats:
        """Places along the y axis."""
        return axis.fractions(values) * (self.layers.shape[0] - 1)

    def bounded_x(self, axis: Axis, values: Values) -> Floats:
        """Places along the x axis; just outside for what is beyond every limit."""
        return axis.bounded_fractions(values) * (self.layers.shape[1] - 1)

    def bounded_y(self, axis: Axis, values: Values) -> Floats:
        """Places along the y axis; just outside for what is beyond every limit."""
        return axis.bounded_fractions(values) * (self.layers.shape[0] - 1)

    def line(self, x: Floats, y: Floats, layer: int, stroke: Stroke = "solid") -> None:
        """The polyline through places; a place between two gaps is a dot."""
        rows, columns = self.layers.shape
        whole = np.isfinite(x) & np.isfinite(y)
        linked = whole[:-1] & whole[1:]
        alone = whole.copy()
        alone[:-1] &= ~linked
        alone[1:] &= ~linked
        self.dots(x[alone], y[alone], layer)
        starts = np.flatnonzero(linked)
        x0, y0, dx, dy = x[starts], y[starts], x[starts + 1] - x[starts], y[starts + 1] - y[starts]
        lengths = np.maximum(np.abs(dx), np.abs(dy))
        reached = np.cumsum(lengths) - lengths
        enter, leave = _clip(x0, y0, dx, dy, columns, rows)
        seen = enter <= leave
        x0, y0, dx, dy, lengths, reached = (values[seen] for values in (x0, y0, dx, dy, lengths, reached))
        enter, leave = enter[seen], leave[seen]
        counts = np.ceil(lengths * (leave - enter)).astype(np.int64) + 1
        segment = np.repeat(np.arange(len(counts)), counts)
        number = np.arange(len(segment)) - np.repeat(np.cumsum(counts) - counts, counts)
        along = enter[segment] + number * ((leave - enter) / np.maximum(counts - 1, 1))[segment]
        if stroke != "solid":
            period, lit = DASHES[stroke]
            shown = (reached[segment] + along * lengths[segment] + 0.5) % period < lit
            segment, along = segment[shown], along[shown]
        self._light(x0[segment] + along * dx[segment], y0[segment] + along * dy[segment], layer)

    def dots(self, x: Floats, y: Floats, layer: int) -> None:
        """Single dots at places; those outside are left out."""
        rows, columns = self.layers.shape
        with np.errstate(invalid="ignore"):
            inside = (x > -0.5) & (x < columns - 0.5) & (y > -0.5) & (y < rows - 0.5)
        self._light(x[inside], y[inside], layer)

    def rule(self, fraction: float, upright: bool, layer: int, stroke: Stroke) -> None:
        """A line across; none if `fraction` is outside."""
        if 0 <= fraction <= 1:
            period, lit = DASHES[stroke]
            rows, columns = self.layers.shape
            shown = np.flatnonzero(np.arange(rows if upright else columns) % period < lit)
            if upright:
                self.layers[shown, round(fraction * (columns - 1))] = layer
            else:
                self.layers[rows - 1 - round(fraction * (rows - 1)), shown] = layer

    def bars(self, x: Floats, low: Floats, high: Floats, layer: int) -> None:
        """Upright lines with a cap at each end, a cell and a half wide."""
        gap, cap = np.full(len(x), np.nan), self.across - 1
        self.line(_woven(x, x, gap), _woven(low, high, gap), layer)
        for end in (low, high):
            self.line(_woven(x - cap, x + cap, gap), _woven(end, end, gap), layer)

    def fill(self, edges: Floats, heights: Floats, layer: int) -> None:
        """Bars from the bottom; `edges` and `heights` are places."""
        rows, columns = self.layers.shape
        edges = np.maximum.accumulate(np.nan_to_num(edges, nan=-np.inf))
        bars = np.searchsorted(edges, np.arange(columns), side="right") - 1
        inside = (bars >= 0) & (bars < len(heights))
        tops = np.where(inside, np.nan_to_num(heights, nan=-1.0)[bars.clip(0, len(heights) - 1)], -1.0)
        self.layers[np.arange(rows)[::-1, None] <= np.rint(tops)[None, :]] = layer

    def _light(self, x: Floats, y: Floats, layer: int) -> None:
        rows, columns = self.layers.shape
        column = (x + 0.5).astype(np.int64)
        row = rows - 1 - (y + 0.5).astype(np.int64)
        self.layers.reshape(-1)[row * columns + column] = layer


def reduce_columns(axis: Axis, x: Values, y: Values, columns: int) -> tuple[Floats, Floats]:
    """As few points as draw the same line: of each run within a dot column the first, lowest, highest and last.

    Only if there are many more points than columns. Gaps between columns stay, those within one are closed.
    """
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(xs) <= _CROWDED * columns:
        return xs, ys
    starts = _column_starts(axis, xs, columns)
    ends = np.append(starts[1:], len(xs)) - 1
    ys = np.where(np.isfinite(ys), ys, np.nan)
    lowest, highest = np.fmin.reduceat(ys, starts), np.fmax.reduceat(ys, starts)
    some = np.stack([xs[starts], xs[starts], xs[ends], xs[ends]], axis=1)
    return some.ravel(), np.stack([ys[starts], lowest, highest, ys[ends]], axis=1).ravel()


def _column_starts(axis: Axis, x: Floats, columns: int) -> NDArray[np.int64]:
    """Where runs of points in one dot column begin; beyond the ends of the axis is one column each."""
    if np.all(x[1:] >= x[:-1]):  # as nearly always; a tenth of the time
        ends = [axis.value((column + 0.5) / max(1, columns - 1)) for column in range(-1, columns)]
        return np.unique(np.append(0, np.searchsorted(x, ends)).clip(0, len(x) - 1))
    places = axis.fractions(x) * (columns - 1)
    column = np.rint(np.where(np.isnan(places), -2.0, places.clip(-1, columns))).astype(np.int32)
    return np.flatnonzero(np.diff(column, prepend=-3))


def _woven(first: Floats, second: Floats, third: Floats) -> Floats:
    """first[0], second[0], third[0], first[1], …"""
    return np.stack([first, second, third], axis=1).ravel()


def _clip(x: Floats, y: Floats, dx: Floats, dy: Floats, columns: int, rows: int) -> tuple[Floats, Floats]:
    """Where each segment enters and leaves the dots, as fractions of it; enters after it leaves if outside [Liang,
    Barsky 1984]."""
    enter, leave = np.zeros(len(x)), np.ones(len(x))
    for start, step, size in ((x, dx, columns), (y, dy, rows)):
        below, above = -_OUTSIDE - start, size - 1 + _OUTSIDE - start
        with np.errstate(all="ignore"):
            first, second = below / step, above / step
        still = step == 0
        inside = (below <= 0) & (above >= 0)
        first = np.where(still, np.where(inside, -np.inf, np.inf), first)
        second = np.where(still, np.where(inside, np.inf, -np.inf), second)
        enter = np.maximum(enter, np.minimum(first, second))
        leave = np.minimum(leave, np.where(still, second, np.maximum(first, second)))
    return enter, leave
