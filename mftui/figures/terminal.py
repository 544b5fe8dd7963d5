"""Charts as text: curves by plotext, heatmaps as tables of their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from mftui.canvas.axis import Axis, Scale
from mftui.canvas.glyphs import Glyphs
from mftui.canvas.ticks import ticks
from mftui.encoding import in_ascii
from mftui.figures.chart import Chart, Heat, Series, shown
from mftui.formatting import format_loss
from mftui.views.roles import color as color_of

Floats = NDArray[np.float64]

_FRAME_LINES = 4
"""above and below a plot: its frame, tick labels, what the axis shows"""
_PAD = 0.05
"""of an axis, beyond what is shown"""
_MARGIN = 10
"""cells that frame and tick labels take beside the plot"""
_DOTS = {"dashed": 3, "dotted": 2}
"""of how many points of a line one is drawn"""
_LINE_POINTS = 240
_RESET = "\x1b[0m"


def as_text(chart: Chart, width: int, height: int, color: bool, glyphs: Glyphs = Glyphs.BRAILLE) -> str:
    """The chart in `width` × `height` cells, with its title, if any, and legend; no escape sequences unless `color`.

    `glyphs` are braille or ASCII, and so is then all text.
    """
    chart = shown(chart)
    if chart.empty:
        body = "(nothing to show)"
    elif chart.heat is not None:
        body = _heat(chart, chart.heat, color)
    else:
        body = _plot(chart, width, height, color, glyphs)
    text = f"{chart.title}\n{body}" if chart.title else body
    return in_ascii(text) if glyphs is Glyphs.ASCII else text


def _plot(chart: Chart, width: int, height: int, color: bool, glyphs: Glyphs) -> str:
    import plotext

    legend = _legend(chart, color, glyphs)
    x = _axis([one.x for one in chart.series], chart.x_scale, chart.x_ticks)
    ends = [part for one in chart.series for part in (one.y, one.low, one.high) if part is not None]
    y = _axis(ends, chart.y_scale)
    plotext.clear_figure()
    plotext.theme("clear")
    lines = max(8, height - 1 - legend.count("\n"))
    plotext.plot_size(width, lines)
    pen = _Pen(glyphs, color, lines - _FRAME_LINES)
    for number, one in enumerate(chart.series):
        _draw(plotext, one, x, y, _line(one, number, glyphs), pen)
    for axis, limit, mark, cells, upright in (
        (x, plotext.xlim, plotext.xticks, max(10, width - _MARGIN), False),
        (y, plotext.ylim, plotext.yticks, max(4, height - 5), True),
    ):
        limit(*_on_axis(np.array(axis.limits), axis).tolist())
        named = [tick for tick in ticks(axis, cells, 1, upright) if tick.label]
        mark(_on_axis(np.array([tick.value for tick in named]), axis).tolist(), [tick.label for tick in named])
    plotext.xlabel(chart.x_label)
    text = plotext.build()
    drawn = (text if color else plotext.uncolorize(text)).splitlines()
    heading = f"{chart.y_label}    {legend}" if legend else chart.y_label
    return "\n".join([heading, *(line.rstrip() for line in drawn)])


@dataclass(frozen=True)
class _Pen:
    glyphs: Glyphs
    color: bool
    rows: int
    """of the plot inside its frame"""


def _line(one: Series, number: int, glyphs: Glyphs) -> str:
    """What plotext draws a line with; in ASCII characters tell lines apart that have no marks."""
    if glyphs is not Glyphs.ASCII:
        return "braille"
    if one.stroke != "solid":
        return glyphs.box["dashed" if one.stroke == "dashed" else "dotted"]
    return glyphs.box["dotted"] if one.shape is not None else glyphs.shape(number)


def _draw(plotext: ModuleType, one: Series, x: Axis, y: Axis, line: str, pen: _Pen) -> None:
    """Lines as dots, bars as upright strokes, marks last so that they lie on top."""
    across, up = _on_axis(one.x, x), _on_axis(one.y, y)
    if not len(across):
        return
    ink = {"color": _ink(one.role)} if pen.color else {}
    if one.stroke != "none" and len(across) > 1:
        places = np.linspace(across[0], across[-1], _LINE_POINTS)
        heights = np.interp(places, across, up)
        kept = slice(None, None, _DOTS.get(one.stroke, 1))
        if one.stroke == "solid":
            plotext.plot(across.tolist(), up.tolist(), marker=line, **ink)
        else:
            plotext.scatter(places[kept].tolist(), heights[kept].tolist(), marker=line, **ink)
    if one.low is not None and one.high is not None:
        for place, low, high in zip(across, _in_rows(one.low, y, pen), _in_rows(one.high, y, pen), strict=True):
            plotext.plot([float(place)] * 2, [float(low), float(high)], marker=pen.glyphs.box["upright"], **ink)
    if one.shape is not None:
        marks = _in_rows(one.y, y, pen)
        plotext.scatter(across.tolist(), marks.tolist(), marker=pen.glyphs.shape(one.shape), **ink)


def _axis(parts: list[Floats], scale: Scale, names: tuple[tuple[float, str], ...] = ()) -> Axis:
    values = np.concatenate([*parts, np.array([place for place, _ in names])])
    low, high = float(values.min()), float(values.max())
    if scale == "log":
        margin = (high / low) ** _PAD if high > low else 2.0
        return Axis(low / margin, high * margin, "log", categories=names)
    margin = (high - low) * _PAD if high > low else abs(high) / 2 or 0.5
    return Axis(low - margin, high + margin, categories=names)


def _in_rows(values: Floats, axis: Axis, pen: _Pen) -> Floats:
    """Where marks stand: in the rows of their lines' dots. plotext rounds dots to a quarter of a row, marks to one."""
    heights = _on_axis(values, axis)
    if pen.glyphs is not Glyphs.BRAILLE:
        return heights
    low, high = _on_axis(np.array(axis.limits), axis)
    dots = np.floor((4 * pen.rows - 1) * (heights - low) / (high - low) + 0.5)
    return np.asarray(low + np.floor(dots / 4) * (high - low) / (pen.rows - 1))


def _on_axis(values: Floats, axis: Axis) -> Floats:
    return np.log10(values) if axis.scale == "log" else values


def _ink(role: str) -> tuple[int, int, int]:
    """For a dark terminal, as most are; the marks tell series apart on any."""
    code = color_of(role, dark=True).lstrip("#")
    return int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)


def _legend(chart: Chart, color: bool, glyphs: Glyphs) -> str:
    entries = []
    for number, one in enumerate(chart.series):
        if not one.name:
            continue
        if one.shape is not None:
            mark = glyphs.shape(one.shape)
        elif glyphs is Glyphs.ASCII:
            mark = 2 * _line(one, number, glyphs)
        else:
            mark = 2 * glyphs.box["solid" if one.stroke == "none" else one.stroke]
        red, green, blue = _ink(one.role)
        start, end = (f"\x1b[38;2;{red};{green};{blue}m", _RESET) if color else ("", "")
        entries.append(f"{start}{mark}{end} {one.name}")
    return "  ".join(entries)


def _heat(chart: Chart, heat: Heat, color: bool) -> str:
    """A row a y, the largest on top, as on paper."""
    cells = [[format_loss(value) for value in row] for row in heat.values.tolist()]
    wide = max(len(text) for row in (*cells, heat.columns) for text in row) + 2
    stub = max(map(len, (*heat.rows, chart.y_label)))
    levels = _levels(heat)
    lines = [f"{heat.label}", f"{chart.y_label:>{stub}}"]
    for index in reversed(range(len(cells))):
        row = "".join(
            _cell(f"{text:>{wide - 1}} ", level, color) for text, level in zip(cells[index], levels[index], strict=True)
        )
        lines.append(f"{heat.rows[index]:>{stub}} {row}")
    lines.append(f"{'':>{stub}} " + "".join(f"{name:>{wide - 1}} " for name in heat.columns) + f" {chart.x_label}")
    return "\n".join(lines)


def _levels(heat: Heat) -> list[list[int | None]]:
    """From 0 to 15, as `mftui.views.roles` has colours."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.log10(heat.values) if heat.scale == "log" else heat.values
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    share = (values - low) / ((high - low) or 1.0)
    return [[round(15 * value) if np.isfinite(value) else None for value in row] for row in share.tolist()]


def _cell(text: str, level: int | None, color: bool) -> str:
    if not color or level is None:
        return text
    red, green, blue = _ink(f"sequential-{level}")
    ink = "30" if level > 7 else "97"
    return f"\x1b[{ink};48;2;{red};{green};{blue}m{text}{_RESET}"
