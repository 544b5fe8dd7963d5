"""Charts on stdout: those of `mftui figure`, and the one that goes with the results of a run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from mftui.canvas.glyphs import Glyphs
from mftui.cli.listing import terminal_width
from mftui.encoding import knows_unicode

if TYPE_CHECKING:
    from engine.runs.directory import RunDirectory
    from mftui.figures.chart import Chart

CHART_CELLS, CHART_LINES = 100, 22
"""the most that a chart takes on a wide terminal, and its height"""


def print_chart(chart: Chart) -> None:
    """As wide as the terminal, in its colours and characters; below it what points and bars are."""
    from mftui.figures.chart import shown
    from mftui.figures.terminal import as_text

    console, chart = Console(), shown(chart)
    width = min(terminal_width() or CHART_CELLS, CHART_CELLS)
    glyphs = Glyphs.BRAILLE if knows_unicode() else Glyphs.ASCII
    console.print(Text.from_ansi(as_text(chart, width, CHART_LINES, color=True, glyphs=glyphs)), soft_wrap=True)
    for line in filter(None, (chart.bars, *chart.notes)):
        console.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)


def wants_plot(asked: bool | None, *, quiet: bool) -> bool:
    """Whether results come with a plot: as asked for, else on a terminal that is not to be kept quiet."""
    return sys.stdout.isatty() and not quiet if asked is None else asked


def print_plot(run: RunDirectory) -> None:
    """What a run's results are plotted as; nothing where there is nothing to see."""
    from mftui.figures.charts import plot_of_run

    if (chart := plot_of_run(run)) is not None:
        print_chart(chart)
