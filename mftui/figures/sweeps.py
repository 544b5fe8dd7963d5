"""Charts of a quantity over what is swept: sweep, lines, heatmap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from engine.results import summarize
from engine.spec.settings import METHOD_LABELS, METHODS, Method
from mftui.figures.chart import Chart, Floats, Heat, Series, Stroke, from_left_to_right
from mftui.figures.data import Quantity, RunData, quantity_of
from mftui.figures.definition import Panel, PanelRun
from mftui.figures.labels import data_sets, field_name, name_of_run, point_name
from mftui.views.roles import series as series_role
from mftui.views.sweep_view import placed, value_text


def sweep(panel: Panel, title: str, runs: Sequence[RunData]) -> Chart:
    """The quantity over the swept field: a line a method and run."""
    quantity = quantity_of(panel.quantity)
    values = list(dict.fromkeys(value for run in runs for value in run.experiment.values))
    places, scale, numeric = placed(values if values != [None] else [0])
    place_of = dict(zip(map(repr, values), places.tolist(), strict=True))
    series: list[Series] = []
    for index, (declared, run) in enumerate(zip(panel.runs, runs, strict=True)):
        x = np.array([place_of[repr(value)] for value in run.experiment.values])
        for method in quantity.methods(run.experiment.methods):
            name, role, shape = METHOD_LABELS[method], str(method), METHODS.index(method)
            if len(runs) > 1:
                name = _of_several(quantity, run, method, name_of_run(declared))
                role, shape = series_role(len(series)), len(series)
            stroke: Stroke = "solid" if numeric else "none"
            series.append(_quartiles(quantity, run, method, x, name, role, shape, stroke))
        series += _true_values(quantity, run, x, index)
    names = tuple(zip(places.tolist(), map(value_text, values), strict=True)) if values != [None] else ()
    return Chart(
        kind="sweep",
        title=title,
        x_label=field_name(runs[0].experiment.over),
        y_label=quantity.label,
        series=from_left_to_right(series),
        x_scale=scale,
        y_scale=quantity.scale,
        x_ticks=names,
        bars=_bars(runs),
        notes=_remarks(panel, runs),
    )


def lines(panel: Panel, title: str, runs: Sequence[RunData]) -> Chart:
    """The quantity over the second field, in which the runs differ: a line a value of the swept one."""
    quantity = quantity_of(panel.quantity)
    rival_panel, rivals = _parted(panel, runs, across=True)
    panel, runs = _parted(panel, runs, across=False)
    method = _method(panel, runs[0])
    at = _places_of_runs(panel, runs)
    x, scale, numeric = placed(at)
    values = list(dict.fromkeys(value for run in runs for value in run.experiment.values))
    series: list[Series] = []
    for index, value in enumerate(values):
        name = METHOD_LABELS[method] if value is None else point_name(runs[0].experiment.over, value)
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
    for declared, run in zip(rival_panel.runs, rivals, strict=True):
        series += _across(quantity, declared, run, x)
    if (truth := quantity.true_value(runs[0], 0)) is not None:
        series.append(Series("truth", "label", x, np.full(len(x), truth), stroke="dashed"))
    return Chart(
        kind="lines",
        title=title,
        x_label=field_name(panel.second),
        y_label=quantity.label,
        series=from_left_to_right(series),
        x_scale=scale,
        y_scale=quantity.scale,
        x_ticks=tuple(zip(x.tolist(), map(value_text, at), strict=True)),
        bars=_bars(runs),
        notes=(*_remarks(panel, runs, (method,)), *_remarks(rival_panel, rivals)),
    )


def heatmap(panel: Panel, title: str, runs: Sequence[RunData]) -> Chart:
    """The quantity over both: a column a value of the swept field, a row a run."""
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
        bars=f"{METHOD_LABELS[method]}, median over {data_sets(runs)}",
        notes=_remarks(panel, runs, (method,)),
    )


def _of_several(quantity: Quantity, run: RunData, method: Method, name: str) -> str:
    """A series of one of several runs; the method where there may be others."""
    others = quantity.only == METHODS or len(quantity.methods(run.experiment.methods)) > 1
    return f"{METHOD_LABELS[method]}, {name}" if others else name


def _parted(panel: Panel, runs: Sequence[RunData], *, across: bool) -> tuple[Panel, Sequence[RunData]]:
    """The panel with those of its runs that are lines across, or with the others; and these runs."""
    kept = [(declared, run) for declared, run in zip(panel.runs, runs, strict=True) if declared.across is across]
    return replace(panel, runs=tuple(declared for declared, _ in kept)), [run for _, run in kept]


def _across(quantity: Quantity, declared: PanelRun, run: RunData, x: Floats) -> list[Series]:
    """What does not depend on the second field, by method: the median at the first sweep point."""
    found = []
    for method in quantity.methods(run.experiment.methods):
        (_, median, _), _ = quantity.quartiles(run, 0, method)
        name = declared.label or METHOD_LABELS[method]
        found.append(Series(name, method, x, np.full(len(x), median), stroke="dashed"))
    return found


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


def _bars(runs: Sequence[RunData]) -> str:
    return f"median over {data_sets(runs)}, bars from quartile to quartile"


def _remarks(panel: Panel, runs: Sequence[RunData], methods: tuple[Method, ...] = METHODS) -> tuple[str, ...]:
    """What went wrong, and gradient descent that has not fit."""
    only = quantity_of(panel.quantity).methods(methods)
    found = []
    for declared, run in zip(panel.runs, runs, strict=True):
        where = "" if len(runs) == 1 else f"{name_of_run(declared)}, "
        for row in summarize(run.experiment, run.trials):
            if row.method in only:
                heading = f"{where}{row.label}, {METHOD_LABELS[row.method]}"
                unfit = [note for note in row.notes if "have not fit the data" in note]
                found += [f"{heading}: {told}" for told in (*row.remarks, *unfit)]
        found += run.gaps
    return tuple(dict.fromkeys(found))
