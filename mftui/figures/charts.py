"""Which charts a run or a figure's panel has, by kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from engine.analysis.theorems import theorem_of
from engine.runs.directory import RunDirectory
from engine.spec.experiment import Experiment
from mftui.figures.chart import Chart
from mftui.figures.courses import alignments, courses
from mftui.figures.data import RunData
from mftui.figures.definition import Kind, Panel, PanelRun
from mftui.figures.labels import name_of_run
from mftui.figures.probabilities import histograms, theorem
from mftui.figures.sweeps import heatmap, lines, sweep

MOST_COURSES = 6
"""sweep points whose courses a run is shown with by default"""


def charts_of_run(run: RunDirectory) -> list[Chart]:
    """What a run shows by default, as far as it has come."""
    data = RunData.read(run)
    return [chart for kind in default_kinds(data.experiment) for chart in charts_of_panel(_alone(kind, data), [data])]


def plot_of_run(run: RunDirectory) -> Chart | None:
    """What its results are plotted as, as far as it has come: the first of what it shows. None without any.

    Untitled, and with no remarks but on what is missing: it stands beside the table of results, which has them.
    """
    data = RunData.read(run)
    kind = default_kinds(data.experiment)[0]
    if kind == "sweep" and len(data.experiment.points) == 1:
        return None
    (chart,) = charts_of_panel(_alone(kind, data), [data])
    return None if chart.empty else replace(chart, title="", notes=data.gaps)


def default_kinds(experiment: Experiment) -> tuple[Kind, ...]:
    """What a preset is shown as where nobody says how."""
    found: list[Kind] = []
    if len(experiment.points) > 1:
        found.append("sweep")
        if theorem_of(experiment):
            found.append("theorem")
        elif experiment.methods == ("gd",) and len(experiment.points) <= MOST_COURSES:
            found.append("course")
        return tuple(found)
    if "gd" in experiment.methods:
        found.append("course")
    if {"prior", "gnc"} & set(experiment.methods):
        found.append("histogram")
    return tuple(found) or ("sweep",)


def charts_of_panel(panel: Panel, runs: Sequence[RunData]) -> list[Chart]:
    """`runs` are those of the panel, in its order."""
    title = panel.title or runs[0].experiment.title
    match panel.kind:
        case "sweep":
            return [sweep(panel, title, runs)]
        case "lines":
            return [lines(panel, title, runs)]
        case "heatmap":
            return [heatmap(panel, title, runs)]
    kinds: dict[Kind, Callable[[str, RunData], Iterable[Chart]]] = {
        "course": courses,
        "theorem": partial(theorem, c=panel.c),
        "histogram": histograms,
        "alignment": alignments,
    }
    found: list[Chart] = []
    for declared, run in zip(panel.runs, runs, strict=True):
        headed = panel.title if len(runs) == 1 else ", ".join(filter(None, (panel.title, name_of_run(declared))))
        found += kinds[panel.kind](headed, run)
    return found


def _alone(kind: Kind, data: RunData) -> Panel:
    title = "" if kind != "theorem" else f"{data.experiment.title}: the theorem"
    return Panel(kind, (PanelRun(data.experiment.name),), title=title)
