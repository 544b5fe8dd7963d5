"""The one place that uses plotext: a chart in, lines of coloured text out.

plotext keeps a single process-wide figure, so every chart is drawn by one thread.
"""

from __future__ import annotations

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from mftui.views.axes import Axis

SMALLEST = (16, 4)
"""cells; below this the axes leave no room for data"""
CELLS_PER_TICK = (12, 3)
LABEL_CELLS = 5
"""room for the y axis' labels, so that the plot doesn't move sideways when one grows"""
REST_SECONDS = 0.03
"""between two charts, for the event loop to put the first on the screen; both at once would double a key's wait"""
_ESCAPE = re.compile(r"\x1b\[([\d;]*)m")
_THREAD = ThreadPoolExecutor(max_workers=1, thread_name_prefix="plots")


@dataclass(frozen=True)
class Line:
    """A polyline in plotted units, finite numbers only."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    color: str
    """hex"""
    dashed: bool = False
    """horizontal, at y[0], across the whole plot"""
    beads: bool = False
    """a dot at each point, no line"""


@dataclass(frozen=True)
class Label:
    """A word inside the plot."""

    text: str
    x: float
    y: float
    color: str


@dataclass(frozen=True)
class Chart:
    """All there is to draw; equal charts look equal."""

    x: Axis
    y: Axis
    lines: tuple[Line, ...] = ()
    labels: tuple[Label, ...] = ()


async def draw_in_thread(chart: Chart, width: int, height: int) -> list[Strip]:
    """`draw`, off the event loop: 10–20 ms of work for a pane."""
    drawn = asyncio.get_running_loop().run_in_executor(_THREAD, draw, chart, width, height)
    _THREAD.submit(time.sleep, REST_SECONDS)
    return await drawn


def draw(chart: Chart, width: int, height: int) -> list[Strip]:
    """`height` lines of `width` cells; blank ones where there is no room for a plot."""
    if width < SMALLEST[0] or height < SMALLEST[1]:
        return [Strip.blank(width)] * height
    import plotext  # 50 ms, and nothing else needs it

    plotext.clear_figure()
    plotext.limit_size(False, False)
    plotext.plot_size(width, height)
    plotext.theme("clear")
    plotext.xlim(chart.x.low, chart.x.high)
    plotext.ylim(chart.y.low, chart.y.high)
    plotext.xticks(*chart.x.ticks(width // CELLS_PER_TICK[0]))
    heights, labels = chart.y.ticks(height // CELLS_PER_TICK[1])
    labels = [label.rjust(LABEL_CELLS) for label in labels]
    plotext.yticks(heights, labels)
    for line in chart.lines:
        if line.dashed:
            xs = _dashes(chart.x, width - 2 - max(map(len, labels), default=0))
            plotext.scatter(xs, [line.y[0]] * len(xs), marker="braille", color=_rgb(line.color))
        elif line.beads and line.x:
            plotext.scatter(list(line.x), list(line.y), marker="•", color=_rgb(line.color))
        elif line.x:
            plotext.plot(list(line.x), list(line.y), marker="braille", color=_rgb(line.color))
    for label in chart.labels:
        plotext.text(label.text, label.x, label.y, color=_rgb(label.color), alignment="left")
    lines = [_strip(line) for line in plotext.build().split("\n")]
    return [*lines, *[Strip.blank(width)] * height][:height]


def _strip(line: str) -> Strip:
    """Plotext's colours are either "38;2;red;green;blue" or "0" for none."""
    text, *rest = _ESCAPE.split(line)
    pieces = [("", text), *zip(rest[::2], rest[1::2], strict=True)]
    return Strip([Segment(text, _style(code)) for code, text in pieces if text])


@cache
def _style(code: str) -> Style | None:
    if not code.startswith("38;2;"):
        return None
    red, green, blue = map(int, code.split(";")[2:])
    return Style(color=Color.from_rgb(red, green, blue))


def _dashes(axis: Axis, cells: int) -> list[float]:
    """Every other cell, at braille's two dots a cell."""
    dots = 2 * cells
    step = (axis.high - axis.low) / max(1, dots - 1)
    return [axis.low + dot * step for dot in range(dots) if dot % 4 < 2]


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
