"""A plot into a frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mftui.canvas.axis import Axis, dot_at
from mftui.canvas.frame import Canvas, Corner, Frame, Style
from mftui.canvas.glyphs import SPACE, Glyphs, code_points, encode
from mftui.canvas.legend import entries, write_legend
from mftui.canvas.numbers import write_value
from mftui.canvas.plot import ErrorBars, Line, Plot, Series, Steps
from mftui.canvas.raster import Floats, Raster, reduce_columns
from mftui.canvas.readout import Reading, readout
from mftui.canvas.ticks import label_start, ticks

LABEL_CELLS = 5
"""room for the y axis' labels; constant, so that the plot doesn't move sideways when one grows"""
SMALLEST_WITH_AXES = (16, 4)
_TALLEST_WITHOUT_TITLES = 11
_MARK_PITCH = 12
"""cells between marks on a line"""
_AXIS, _LABEL, _CROSSHAIR = Style("axis"), Style("label"), Style("crosshair")


@dataclass(frozen=True)
class Layout:
    """The cells that show data; the axes are outside."""

    top: int
    left: int
    rows: int
    columns: int
    glyphs: Glyphs

    def x_at(self, axis: Axis, column: int) -> float:
        """The value in the middle of a column of the frame, for a mouse; the nearest within the limits."""
        across = self.glyphs.across
        dot = (column - self.left) * across + (across - 1) / 2
        return axis.value(min(1.0, max(0.0, dot / max(1, self.columns * across - 1))))

    def column(self, axis: Axis, x: float) -> int | None:
        """The frame's column that shows a value; None outside the limits."""
        fraction = float(axis.fractions(x))
        if not 0 <= fraction <= 1 or not self.columns:
            return None
        return self.left + dot_at(fraction, self.columns * self.glyphs.across) // self.glyphs.across


def layout(plot: Plot, width: int, height: int, glyphs: Glyphs = Glyphs.BRAILLE) -> Layout:
    """All cells for the data where there is no room for axes."""
    width, height = max(0, width), max(0, height)
    if width < SMALLEST_WITH_AXES[0] or height < SMALLEST_WITH_AXES[1]:
        return Layout(0, 0, height, width, glyphs)
    titled = height > _TALLEST_WITHOUT_TITLES
    top, bottom = int(titled and bool(plot.y.title)), 2 + int(titled and bool(plot.x.title))
    rows = height - top - bottom
    labels = max((len(tick.label) for tick in ticks(plot.y, rows, glyphs.down, upright=True)), default=0)
    left = min(max(LABEL_CELLS, labels), width // 2) + 1
    return Layout(top, left, rows, width - left, glyphs)


def draw(
    plot: Plot, width: int, height: int, glyphs: Glyphs = Glyphs.BRAILLE, *, keep_legend: Corner | None = None
) -> Frame:
    """A frame of `width` × `height` cells; `keep_legend` is the last frame's `legend`.

    Styles are the roles of the series, and "axis", "label" and "crosshair".
    """
    canvas, area = Canvas(width, height, glyphs), layout(plot, width, height, glyphs)
    if not (area.rows and area.columns):
        return canvas.frame()
    if area.left:
        _write_axes(canvas, plot, area)
    raster = Raster(area.rows, area.columns, glyphs)
    marks = _light(raster, plot)
    _transfer(canvas, raster, plot, area)
    for index, x, y in marks:
        _write_marks(canvas, area, x, y, glyphs.shape(plot.shape(index)), Style(plot.series[index].style))
    _write_labels(canvas, plot, area)
    readings = _write_crosshair(canvas, plot, area) if plot.crosshair is not None else []
    legend = None
    if plot.legend != "none" and area.left:
        cells = (area.top, area.left, area.rows, area.columns)
        found = entries(plot, readings, glyphs)
        legend = write_legend(canvas, found, cells, plot.legend, keep_legend, in_full=bool(readings))
    return canvas.frame(legend)


def _write_axes(canvas: Canvas, plot: Plot, area: Layout) -> None:
    box, glyphs = area.glyphs.box, area.glyphs
    column, row = area.left - 1, area.top + area.rows
    for line in range(area.rows):
        canvas.write(area.top + line, column, box["upright"], _AXIS)
    canvas.write(row, column, box["corner"] + box["level"] * area.columns, _AXIS)
    for tick in ticks(plot.y, area.rows, glyphs.down, upright=True):
        canvas.write(area.top + tick.cell, column, box["y tick"], _AXIS)
        canvas.write(area.top + tick.cell, column - len(tick.label), tick.label, _LABEL)
    for tick in ticks(plot.x, area.columns, glyphs.across):
        canvas.write(row, area.left + tick.cell, box["x tick"], _AXIS)
        canvas.write(row + 1, area.left + label_start(tick, area.columns), tick.label, _LABEL)
    if area.top:
        canvas.write(0, area.left, plot.y.title, _LABEL)
    if canvas.codes.shape[0] > row + 2:
        canvas.write(row + 2, area.left + max(0, area.columns - len(plot.x.title)) // 2, plot.x.title, _LABEL)


def _light(raster: Raster, plot: Plot) -> list[tuple[int, Floats, Floats]]:
    """Light rules, then series. Returns where marks go: series, places in dots."""
    marks = []
    for layer, rule in enumerate(plot.rules, start=1):
        axis = plot.x if rule.upright else plot.y
        raster.rule(float(axis.fractions(rule.at)), rule.upright, layer, rule.stroke)
    for index, series in enumerate(plot.series):
        at = _light_series(raster, plot, series, 1 + len(plot.rules) + 2 * index)
        if at is not None:
            marks.append((index, *at))
    return marks


def _light_series(raster: Raster, plot: Plot, series: Series, layer: int) -> tuple[Floats, Floats] | None:
    """In two layers: `layer` for error bars, the next for lines."""
    columns = raster.layers.shape[1]
    if isinstance(series, Steps):
        edges, heights = raster.bounded_x(plot.x, series.edges), raster.bounded_y(plot.y, series.heights)
        if len(heights):
            if series.filled:
                raster.fill(edges, heights, layer + 1)
            base = raster.bounded_y(plot.y, [0.0])
            raster.line(np.repeat(edges, 2), np.concatenate([base, np.repeat(heights, 2), base]), layer + 1)
        return None
    if isinstance(series, Line):
        kept_x, kept_y = reduce_columns(plot.x, series.x, series.y, columns)
        x, y = raster.x(plot.x, kept_x), raster.y(plot.y, kept_y)
        raster.line(x, y, layer + 1, series.stroke)
        return _spaced(raster, x, y) if series.marked and raster.across > 1 else None
    x, y = raster.x(plot.x, series.x), raster.y(plot.y, series.y)
    if isinstance(series, ErrorBars):
        x = x + series.shift * raster.across
        raster.bars(x, raster.bounded_y(plot.y, series.low), raster.bounded_y(plot.y, series.high), layer)
        if series.joined:
            raster.line(x, y, layer + 1)
    return x, y


def _spaced(raster: Raster, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The first place in each dozen cells, so that marks stay where they are while a line grows."""
    rows, columns = raster.layers.shape
    shown = np.flatnonzero(np.isfinite(y) & (x >= 0) & (x <= columns - 1) & (y >= 0) & (y <= rows - 1))
    dozen = x[shown] // (_MARK_PITCH * raster.across)
    chosen = shown[np.unique(dozen, return_index=True)[1]]
    return x[chosen], y[chosen]


def _transfer(canvas: Canvas, raster: Raster, plot: Plot, area: Layout) -> None:
    """Lit dots into cells, over the axes' blank ones."""
    box, glyphs = area.glyphs.box, area.glyphs
    marks, numbers = " ", [0]
    for rule in plot.rules:
        marks += box["upright" if rule.upright else "level"]
        numbers.append(canvas.number(Style(rule.style)))
    for index, series in enumerate(plot.series):
        shape = glyphs.shape(plot.shape(index))
        marks += "|." if isinstance(series, ErrorBars) else shape * 2
        numbers += [canvas.number(Style(series.style))] * 2
    codes, top = encode(raster.layers, glyphs, code_points(marks))
    cells = np.s_[area.top : area.top + area.rows, area.left : area.left + area.columns]
    canvas.codes[cells] = codes
    canvas.styles[cells] = np.array(numbers, np.int16)[top]


def _write_marks(canvas: Canvas, area: Layout, x: Floats, y: Floats, shape: str, style: Style) -> None:
    """A mark in the cell of each place in dots; the ones outside are left out."""
    across, down = area.glyphs.across, area.glyphs.down
    columns, rows = area.columns * across, area.rows * down
    with np.errstate(invalid="ignore"):
        shown = (x > -0.5) & (x < columns - 0.5) & (y > -0.5) & (y < rows - 0.5)
    column = area.left + (x[shown] + 0.5).astype(np.int64) // across
    row = area.top + (rows - 1 - (y[shown] + 0.5).astype(np.int64)) // down
    canvas.codes[row, column] = ord(shape)
    canvas.styles[row, column] = canvas.number(style)


def _write_labels(canvas: Canvas, plot: Plot, area: Layout) -> None:
    for label in plot.labels:
        column = area.column(plot.x, label.x)
        height = float(plot.y.fractions(label.y))
        if column is None or not 0 <= height <= 1:
            continue
        dots = area.rows * area.glyphs.down
        row = area.top + (dots - 1 - dot_at(height, dots)) // area.glyphs.down
        if label.ending:
            column -= len(label.text) - 1
        canvas.write(row, max(area.left, column), label.text[: area.columns], Style(label.style))


def _write_crosshair(canvas: Canvas, plot: Plot, area: Layout) -> list[Reading]:
    """An upright line behind the data, the x under it, and a mark on the sample of each series that is read."""
    x = plot.crosshair
    column = area.column(plot.x, x) if x is not None else None
    if x is None or column is None:
        return []
    for row in range(area.top, area.top + area.rows):
        if canvas.codes[row, column] == SPACE:
            canvas.write(row, column, area.glyphs.box["upright"], _CROSSHAIR)
    readings = readout(plot, x)
    for reading in readings:
        if not isinstance(plot.series[reading.series], Steps):
            shift = _shift(plot.series[reading.series], area)
            at_x = plot.x.fractions([reading.x]) * (area.columns * area.glyphs.across - 1) + shift
            at_y = plot.y.fractions([reading.y]) * (area.rows * area.glyphs.down - 1)
            shape = area.glyphs.shape(plot.shape(reading.series))
            _write_marks(canvas, area, at_x, at_y, shape, Style(reading.style))
    if area.left:
        text = f" {write_value(x, plot.x.unit)} "
        start = min(max(column - (len(text) - 1) // 2, 0), area.left + area.columns - len(text))
        row = area.top + area.rows + 1
        for tick in ticks(plot.x, area.columns, area.glyphs.across):
            at = area.left + label_start(tick, area.columns)
            if at < start + len(text) and start < at + len(tick.label):
                canvas.write(row, at, " " * len(tick.label), _LABEL)  # what was left of it would read as another number
        canvas.write(row, start, text, _CROSSHAIR)
    return readings


def _shift(series: Series, area: Layout) -> int:
    return series.shift * area.glyphs.across if isinstance(series, ErrorBars) else 0
