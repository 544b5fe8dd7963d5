"""What a figure shows, as plain numbers: a `Chart` is what is drawn on one pair of axes, in print or in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.analysis.theorems import Measured, measure, theorem_of
from engine.results import HISTOGRAM_EDGES, TrialResult, summarize
from engine.runs.directory import RunDirectory
from engine.spec.preset import Experiment
from engine.spec.settings import METHOD_LABELS, METHODS, Method
from mftui.canvas.axis import Scale
from mftui.figures.data import Quantity, RunData, quantity_of
from mftui.figures.definition import Kind, Panel, PanelRun
from mftui.formatting import format_loss
from mftui.views.roles import series as series_role
from mftui.views.sweep_view import placed, value_text

Floats = NDArray[np.float64]
Stroke = Literal["solid", "dashed", "dotted", "none"]

MOST_SINGULAR_VALUES = 10
"""curves of a course: the leading ones"""
MOST_NAMED = 5
"""of them in the legend, as many as W* has"""
FLOOR = 1e-12
"""singular values under this fraction of the largest true one are rounding"""
LEAST_SHARE = 1e-6
"""of the weight; bins with less don't widen a histogram's axis"""
MOST_COURSES = 6
"""sweep points whose courses a run is shown with by default"""
_LINE_POINTS = 60
_GUESSING: tuple[Method, ...] = ("prior", "gnc")
_SYMBOLS = {
    "model.width": "width k",
    "model.depth": "depth L",
    "gnc.eps_train": "ε_train",
    "problem.measurements": "measurements",
    "gd.init_scale": "init scale",
}


@dataclass(frozen=True, eq=False)
class Series:
    """One line, or one row of points."""

    name: str
    """in the legend; empty for what needs no entry of its own"""
    role: str
    """its colour (`mftui.views.roles`)"""
    x: Floats
    y: Floats
    low: Floats | None = None
    """lower end of the bar at each point"""
    high: Floats | None = None
    count: NDArray[np.int64] | None = None
    """data sets behind each point"""
    stroke: Stroke = "solid"
    shape: int | None = None
    """of the marks, counted as methods are; None: a line without any"""
    filled: bool = False
    """down to the axis, as a histogram"""


@dataclass(frozen=True, eq=False)
class Heat:
    """A value for each pair of an x and a y."""

    values: Floats
    """a row a y; NaN where there is none"""
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    label: str
    scale: Scale


@dataclass(frozen=True, eq=False)
class Chart:
    kind: Kind
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...] = ()
    heat: Heat | None = None
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    x_ticks: tuple[tuple[float, str], ...] = ()
    """places with names; without any the scale's own"""
    bars: str = ""
    """what points and bars are, for the caption"""
    notes: tuple[str, ...] = field(default=())
    """how far to trust it, a sentence each"""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to be seen."""
        if self.heat is not None:
            return not np.isfinite(self.heat.values).any()
        return not any(np.isfinite(one.y).any() for one in self.series)


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
            return [_sweep(panel, title, runs)]
        case "lines":
            return [_lines(panel, title, runs)]
        case "heatmap":
            return [_heatmap(panel, title, runs)]
    each: Callable[[str, RunData], Iterable[Chart]]
    each = {"course": _courses, "theorem": _theorem, "histogram": _histograms, "alignment": _alignments}[panel.kind]
    found: list[Chart] = []
    for declared, run in zip(panel.runs, runs, strict=True):
        headed = panel.title if len(runs) == 1 else ", ".join(filter(None, (panel.title, _name(declared))))
        found += each(headed, run)
    return found


def shown(chart: Chart) -> Chart:
    """The chart as its axes can show it: finite numbers only, and above 0 where an axis is logarithmic.

    A bar that reaches down to 0 ends at the smallest number shown. An axis without any number above 0 is linear.
    """
    y = np.concatenate(
        [np.ravel(part) for one in chart.series for part in (one.y, one.low, one.high) if part is not None]
        or [np.empty(0)]
    )
    x = np.concatenate([one.x for one in chart.series] or [np.empty(0)])
    positive = y[np.isfinite(y) & (y > 0)]
    log_y = chart.y_scale == "log" and len(positive) > 0
    log_x = chart.x_scale == "log" and bool((x[np.isfinite(x)] > 0).any())
    floor = float(positive.min()) if log_y else -np.inf
    series, lost = [], 0
    for one in chart.series:
        seen = np.isfinite(one.x) & np.isfinite(one.y)
        fits = seen & (~np.array(log_x) | (one.x > 0)) & (~np.array(log_y) | (one.y > 0))
        lost += int(seen.sum() - fits.sum()) if one.shape is not None else 0
        low, high = (None if part is None else _bar(part, one.y, floor)[fits] for part in (one.low, one.high))
        count = None if one.count is None else one.count[fits]
        series.append(replace(one, x=one.x[fits], y=one.y[fits], low=low, high=high, count=count))
    notes = chart.notes
    if lost:
        notes = (*notes, f"{lost} point{'s' * (lost > 1)} at or below 0, which a log axis can't show")
    return replace(
        chart,
        series=tuple(series),
        notes=notes,
        x_scale="log" if log_x else "linear",
        y_scale="log" if log_y else "linear",
    )


def _bar(end: Floats, middle: Floats, floor: float) -> Floats:
    """An end of bars; where there is none, the bar's middle."""
    return np.maximum(np.where(np.isfinite(end), end, middle), floor)


def field_name(name: str | None) -> str:
    """A swept field as an axis names it."""
    if not name:
        return ""
    return _SYMBOLS.get(name, name.split(".")[-1].replace("_", " ") if "." in name else name)


def _alone(kind: Kind, data: RunData) -> Panel:
    title = "" if kind != "theorem" else f"{data.experiment.title}: the theorem"
    return Panel(kind, (PanelRun(data.experiment.name),), title=title)


def _name(run: PanelRun) -> str:
    return run.label or ("" if run.at is None else str(run.at)) or run.preset.rsplit("/", 1)[-1].removesuffix(".toml")


# --- a quantity over what is swept -----------------------------------------------------------------------------------


def _sweep(panel: Panel, title: str, runs: Sequence[RunData]) -> Chart:
    quantity = quantity_of(panel.quantity)
    values = list(dict.fromkeys(value for run in runs for value in run.experiment.values))
    places, scale, numeric = placed(values if values != [None] else [0])
    place_of = dict(zip(map(repr, values), places.tolist(), strict=True))
    series: list[Series] = []
    for index, (declared, run) in enumerate(zip(panel.runs, runs, strict=True)):
        x = np.array([place_of[repr(value)] for value in run.experiment.values])
        for method in quantity.methods(run.experiment.methods):
            name = METHOD_LABELS[method] if len(runs) == 1 else _of_several(quantity, method, _name(declared))
            role, shape = (method, METHODS.index(method)) if len(runs) == 1 else (series_role(len(series)), len(series))
            stroke: Stroke = "solid" if numeric else "none"
            series.append(_quartiles(quantity, run, method, x, name, role, shape, stroke))
        series += _true_values(quantity, run, x, index)
    names = tuple(zip(places.tolist(), map(value_text, values), strict=True)) if values != [None] else ()
    return Chart(
        kind="sweep",
        title=title,
        x_label=field_name(runs[0].experiment.over),
        y_label=quantity.label,
        series=_sorted(series),
        x_scale=scale,
        y_scale=quantity.scale,
        x_ticks=names,
        bars=_bars(runs),
        notes=_remarks(panel, runs),
    )


def _of_several(quantity: Quantity, method: Method, name: str) -> str:
    """A series of one of several runs; the method where there may be others."""
    return name if quantity.only else f"{METHOD_LABELS[method]}, {name}"


def _lines(panel: Panel, title: str, runs: Sequence[RunData]) -> Chart:
    quantity = quantity_of(panel.quantity)
    method = _method(panel, runs[0])
    at = _places_of_runs(panel, runs)
    x, scale, numeric = placed(at)
    values = list(dict.fromkeys(value for run in runs for value in run.experiment.values))
    series: list[Series] = []
    for index, value in enumerate(values):
        name = METHOD_LABELS[method] if value is None else _point_name(runs[0].experiment.over, value)
        parts = [_at_value(quantity, run, method, value) for run in runs]
        stacked = np.array([part[0] for part in parts]).reshape(-1, 3)
        series.append(
            Series(
                name=name,
                role=series_role(index) if value is not None else method,
                x=x,
                y=stacked[:, 1],
                low=stacked[:, 0],
                high=stacked[:, 2],
                count=np.array([part[1] for part in parts]),
                stroke="solid" if numeric else "none",
                shape=index,
            )
        )
    if (truth := quantity.true_value(runs[0], 0)) is not None:
        series.append(Series("truth", "label", x, np.full(len(x), truth), stroke="dashed"))
    return Chart(
        kind="lines",
        title=title,
        x_label=field_name(panel.second),
        y_label=quantity.label,
        series=_sorted(series),
        x_scale=scale,
        y_scale=quantity.scale,
        x_ticks=tuple(zip(x.tolist(), map(value_text, at), strict=True)),
        bars=_bars(runs),
        notes=_remarks(panel, runs, (method,)),
    )


def _heatmap(panel: Panel, title: str, runs: Sequence[RunData]) -> Chart:
    quantity = quantity_of(panel.quantity)
    method = _method(panel, runs[0])
    values = list(dict.fromkeys(value for run in runs for value in run.experiment.values))
    table = np.array([[_at_value(quantity, run, method, value)[0][1] for value in values] for run in runs])
    return Chart(
        kind="heatmap",
        title=title,
        x_label=field_name(runs[0].experiment.over),
        y_label=field_name(panel.second),
        heat=Heat(
            values=table,
            columns=tuple(map(value_text, values)),
            rows=tuple(map(value_text, _places_of_runs(panel, runs))),
            label=f"median {quantity.label}",
            scale=quantity.scale,
        ),
        bars=f"{METHOD_LABELS[method]}, median over {_data_sets(runs)}",
        notes=_remarks(panel, runs, (method,)),
    )


def _quartiles(
    quantity: Quantity, run: RunData, method: Method, x: Floats, name: str, role: str, shape: int, stroke: Stroke
) -> Series:
    parts = [quantity.quartiles(run, point, method) for point in range(len(run.experiment.points))]
    stacked = np.array([part[0] for part in parts]).reshape(-1, 3)
    count = np.array([part[1] for part in parts])
    return Series(name, role, x, stacked[:, 1], stacked[:, 0], stacked[:, 2], count, stroke, shape)


def _true_values(quantity: Quantity, run: RunData, x: Floats, index: int) -> list[Series]:
    """What W* has, where the quantity is one of it; once."""
    true = [quantity.true_value(run, point) for point in range(len(run.experiment.points))]
    if index or any(value is None for value in true):
        return []
    return [Series("truth", "label", x, np.array(true, dtype=np.float64), stroke="dashed")]


def _at_value(quantity: Quantity, run: RunData, method: Method, value: Any) -> tuple[tuple[float, float, float], int]:
    """Quartiles where a run has this swept value."""
    if value not in run.experiment.values:
        return (np.nan, np.nan, np.nan), 0
    return quantity.quartiles(run, run.experiment.values.index(value), method)


def _sorted(series: Iterable[Series]) -> tuple[Series, ...]:
    """From left to right."""
    found = []
    for one in series:
        order = np.argsort(one.x, kind="stable")
        low, high = (None if part is None else part[order] for part in (one.low, one.high))
        count = None if one.count is None else one.count[order]
        found.append(replace(one, x=one.x[order], y=one.y[order], low=low, high=high, count=count))
    return tuple(found)


def _method(panel: Panel, run: RunData) -> Method:
    if panel.method is not None:
        return panel.method
    offered = quantity_of(panel.quantity).methods(run.experiment.methods)
    return "gnc" if "gnc" in offered else next(iter(offered), "gd")


def _places_of_runs(panel: Panel, runs: Sequence[RunData]) -> list[Any]:
    """Where the runs stand on the panel's second axis: as the definition says, or by their settings."""
    found: list[Any] = []
    for declared, run in zip(panel.runs, runs, strict=True):
        if declared.at is not None:
            found.append(declared.at)
            continue
        section, name = panel.second.split(".")
        found.append(getattr(getattr(run.experiment.points[0], section), name))
    return found


def _point_name(over: str | None, value: Any) -> str:
    symbol = _SYMBOLS.get(over or "", "")
    named = symbol.rsplit(" ", 1)[0] if symbol else (over or "").split(".")[-1].replace("_", " ")
    return f"{named} {value_text(value)}"


def _data_sets(runs: Sequence[RunData]) -> str:
    least, most = min(run.experiment.seeds for run in runs), max(run.experiment.seeds for run in runs)
    return f"{least if least == most else f'{least} to {most}'} data set{'s' * (most > 1)}"


def _bars(runs: Sequence[RunData]) -> str:
    return f"median over {_data_sets(runs)}, bars from quartile to quartile"


def _remarks(panel: Panel, runs: Sequence[RunData], methods: tuple[Method, ...] = METHODS) -> tuple[str, ...]:
    """What went wrong, and gradient descent that has not fit."""
    only = quantity_of(panel.quantity).methods(methods)
    found = []
    for declared, run in zip(panel.runs, runs, strict=True):
        where = "" if len(runs) == 1 else f"{_name(declared)}, "
        for row in summarize(run.experiment, run.trials):
            if row.method in only:
                heading = f"{where}{row.label}, {METHOD_LABELS[row.method]}"
                unfit = [note for note in row.notes if "have not fit the data" in note]
                found += [f"{heading}: {told}" for told in (*row.remarks, *unfit)]
        found += run.gaps
    return tuple(dict.fromkeys(found))


# --- one trial over its steps ----------------------------------------------------------------------------------------


def _courses(title: str, run: RunData) -> Iterator[Chart]:
    for point in range(len(run.experiment.points)):
        curve, truth = run.curve(point), run.truth(point)
        steps, values = curve[:, 0], curve[:, 3 : 3 + MOST_SINGULAR_VALUES]
        named = min(MOST_NAMED, sum(value > FLOOR * max(truth) for value in truth) or MOST_NAMED)
        series = [
            Series(f"σ{_subscript(index + 1)}" if index < named else "", series_role(index), steps, column)
            for index, column in enumerate(values.T)
        ]
        ends = np.array([0.0, steps.max(initial=1.0)])
        series += [
            Series("", series_role(index), ends, np.full(2, value), stroke="dashed")
            for index, value in enumerate(truth)
            if value > FLOOR * max(truth)
        ]
        predicted = run.predicted(point)
        series += [
            Series("", "mark", predicted[:, 0], column, stroke="dotted")
            for column in predicted[:, 1 : 1 + MOST_SINGULAR_VALUES].T
        ]
        told = ["dashed: the true ones"] if truth else []
        told += ["dotted: as theory predicts"] if len(predicted) else []
        yield Chart(
            kind="course",
            title=_headed(title, run, point),
            x_label="steps of gradient descent",
            y_label="singular values of W",
            series=tuple(series),
            bars=", ".join([f"data set {run.first_seed(point)}", *told]),
            notes=(*run.troubles(point, "gd"), *run.gaps),
        )


def _alignments(title: str, run: RunData) -> Iterator[Chart]:
    for point in range(len(run.experiment.points)):
        steps, diagonal, rest, why_not = run.alignment(point)
        yield Chart(
            kind="alignment",
            title=_headed(title, run, point),
            x_label="steps of gradient descent",
            y_label="mean size of entries of Uᵀ∇L_train V",
            series=(
                Series("on the diagonal", series_role(0), steps, diagonal),
                Series("off the diagonal", series_role(1), steps, rest, stroke="dashed"),
            ),
            y_scale="log",
            bars=f"data set {run.first_seed(point)}",
            notes=(*([why_not] if why_not else []), *run.troubles(point, "gd"), *run.gaps),
        )


def _headed(title: str, run: RunData, point: int) -> str:
    """The panel's title, and the sweep point."""
    where = "" if run.experiment.over is None else run.experiment.label(point)
    return ": ".join(filter(None, (title, where))) or run.experiment.title


def _subscript(number: int) -> str:
    return "".join("₀₁₂₃₄₅₆₇₈₉"[int(digit)] for digit in str(number))


# --- probabilities ---------------------------------------------------------------------------------------------------


def _theorem(title: str, run: RunData) -> Iterator[Chart]:
    title, measured = title or run.experiment.title, measure(run.experiment, run.trials)
    if measured is None:
        why = (
            "no theorem for this: the width theorem needs a sweep over the width with Prior and G&C, "
            "the depth theorem one over the depth with G&C"
        )
        yield Chart("theorem", title, "", "", notes=(why,))
        return
    means, wide = measured.means, measured.theorem == "width"
    sign = -1.0 if wide and np.nansum(np.sign(means.mean)) < 0 else 1.0
    y, reach = sign * means.mean, means.reaches()
    points = Series("measured", "gnc", measured.x, y, y - reach, y + reach, means.count, "none", METHODS.index("gnc"))
    threshold = format_loss(measured.threshold)
    if wide:
        given, without = f"P(L_gen < {threshold} | fit)", f"P(L_gen < {threshold})"
        y_label = f"{given} − {without}" if sign > 0 else f"{without} − {given}"
    else:
        factor = measured.threshold / run.experiment.points[0].gnc.eps_train
        y_label = f"P(L_gen ≥ {factor:.2g} ε_train | fit)"
    names = [value_text(value) for value in run.experiment.values]
    yield Chart(
        kind="theorem",
        title=title,
        x_label=field_name("model.width") if wide else "1/depth",
        y_label=y_label,
        series=_sorted([points, *_theorem_lines(measured)]),
        x_scale="log" if wide else "linear",
        y_scale="log" if wide else "linear",
        x_ticks=tuple(zip(measured.x.tolist(), names if wide else [f"1/{name}" for name in names], strict=True)),
        bars=f"mean over {_data_sets([run])}, 95 % intervals",
        notes=(measured.verdict, *measured.caveats, *run.gaps),
    )


def _theorem_lines(measured: Measured) -> Iterator[Series]:
    """The bound's shape, and the fit."""
    known = measured.x[np.isfinite(measured.means.mean)]
    if not len(known):
        return
    wide = measured.theorem == "width"
    x = np.geomspace(known.min(), known.max(), _LINE_POINTS) if wide else np.linspace(0, known.max(), _LINE_POINTS)
    if (bound := measured.bound(x)) is not None:
        yield Series("bound, as k^(−1/2)" if wide else "bound, as 1/depth", "label", x, bound, stroke="dashed")
    if (fit := measured.fit) is not None and (fitted := measured.fitted(x)) is not None:
        slope = f"({fit.slope:.2f} ± {fit.slope_reach:.2f})"
        name = f"fit k^{slope}" if wide else f"fit {fit.intercept:.2f} + {slope}/depth"
        yield Series(name.replace("-", "−"), "mark", x, fitted)


def _histograms(title: str, run: RunData) -> Iterator[Chart]:
    """On the edges' logarithmic axis; pooled over the data sets, each with the same weight."""
    widths = np.diff(HISTOGRAM_EDGES)
    middles = 10 ** ((HISTOGRAM_EDGES[1:] + HISTOGRAM_EDGES[:-1]) / 2)
    for point in range(len(run.experiment.points)):
        found: list[tuple[Method, Floats]] = []
        for method in _GUESSING:
            records = [_histogram(each) for each in run.trials if (each.point, each.method) == (point, method)]
            kept = [record for record in records if record is not None]
            if kept:
                found.append((method, np.mean(kept, axis=0) / widths))
        seen = np.any([density > LEAST_SHARE for _, density in found] or [np.zeros(len(middles), bool)], axis=0)
        inside = slice(int(seen.argmax()), len(seen) - int(seen[::-1].argmax()))
        yield Chart(
            kind="histogram",
            title=_headed(title, run, point),
            x_label="generalization loss L_gen",
            y_label="density per decade",
            series=tuple(
                Series(
                    METHOD_LABELS[method],
                    method,
                    middles[inside],
                    density[inside],
                    shape=METHODS.index(method),
                    filled=True,
                )
                for method, density in found
            ),
            x_scale="log",
            bars=f"{_data_sets([run])} pooled",
            notes=(*run.troubles(point, "gnc"), *run.gaps),
        )


def _histogram(trial: TrialResult) -> tuple[float, ...] | None:
    losses = trial.guesses.generalization_loss if trial.guesses else None
    return losses.histogram if losses else None
