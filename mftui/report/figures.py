"""The figures of a run, as a page shows them: drawn where matplotlib is there, and as plain text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from engine.runs.directory import RunDirectory
from mftui.figures import drawing
from mftui.figures.chart import Chart
from mftui.figures.charts import charts_of_run
from mftui.figures.terminal import as_text
from mftui.report.svg import inlined

WIDTH, HEIGHT = 76, 20
"""cells of a figure in plain text"""


@dataclass(frozen=True)
class Figure:
    """One chart."""

    title: str
    caption: str
    text: str
    draw: Callable[[], str]
    """as an element of a page; empty where there is no matplotlib"""


def figures_of(run: RunDirectory) -> Sequence[Figure]:
    """What there is to see of a run so far."""
    charts = [chart for chart in charts_of_run(run) if not chart.empty]
    return [_figure(chart, run.experiment.title, f"figure-{index + 1}-") for index, chart in enumerate(charts)]


def _figure(chart: Chart, page: str, prefix: str) -> Figure:
    """`page` is the page's title, which the chart's need not repeat."""
    which = chart.title.removeprefix(page).removeprefix(": ")
    title = f"{which}: {chart.y_label} against {chart.x_label}" if which else f"{chart.y_label} against {chart.x_label}"
    title = title[:1].upper() + title[1:]
    untitled = replace(chart, title="")
    text = as_text(untitled, WIDTH, HEIGHT, color=False).strip("\n")
    return Figure(title, chart.bars, text, partial(_drawn, untitled, title, prefix))


def _drawn(chart: Chart, title: str, prefix: str) -> str:
    if not drawing.available():
        return ""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "chart.svg"
        drawing.save(drawing.draw([chart], ""), path, {})
        return inlined(path.read_bytes(), prefix, title)
