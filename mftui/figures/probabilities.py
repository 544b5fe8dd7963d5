"""Charts of probabilities: the theorem's over the width or the depth, and the losses' histogram."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.analysis.tails import nearest_edge
from engine.analysis.theorems import Measured, measure, theorem_of
from engine.analysis.verdict import two
from engine.results import HISTOGRAM_EDGES, TrialResult
from engine.spec.settings import METHOD_LABELS, METHODS, Method
from mftui.figures.chart import Chart, Floats, Series, from_left_to_right
from mftui.figures.data import RunData
from mftui.figures.labels import data_sets, field_name, headed
from mftui.formatting import format_loss
from mftui.views.sweep_view import value_text

LEAST_SHARE = 1e-6
"""of the weight; bins with less don't widen a histogram's axis"""
_LINE_POINTS = 60
_GUESSING: tuple[Method, ...] = ("prior", "gnc")


def theorem(title: str, run: RunData, c: float | None = None) -> Iterator[Chart]:
    """What the run's theorem bounds, as measured, the bound's shape and the fit; if there is no theorem, why.

    `c` is the depth theorem's, and idle for the width; without one it is what the analysis finds.
    """
    deep = theorem_of(run.experiment) == "depth"
    edge = nearest_edge(c * run.experiment.points[0].gnc.eps_train) if c is not None and deep else None
    title, measured = title or run.experiment.title, measure(run.experiment, run.trials, edge)
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
        series=from_left_to_right([points, *_theorem_lines(measured)]),
        x_scale="log" if wide else "linear",
        y_scale="log" if wide else "linear",
        x_ticks=tuple(zip(measured.x.tolist(), names if wide else [f"1/{name}" for name in names], strict=True)),
        bars=f"mean over {data_sets([run])}, 95 % intervals",
        notes=(measured.verdict, *measured.searched, *measured.caveats, *run.gaps),
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
        slope = f"({two(fit.slope_interval)})"
        name = f"fit k^{slope}" if wide else f"fit {fit.intercept:z.2f} + {slope}/depth"
        yield Series(f"{name}{measured.fitted_half}".replace("-", "−"), "mark", x, fitted)


def histograms(title: str, run: RunData) -> Iterator[Chart]:
    """Of L_gen, on the edges' logarithmic axis; pooled over the data sets, each with the same weight."""
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
            title=headed(title, run, point),
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
            bars=f"{data_sets([run])} pooled",
            notes=(*run.troubles(point, "gnc"), *run.gaps),
        )


def _histogram(trial: TrialResult) -> tuple[float, ...] | None:
    losses = trial.guesses.generalization_loss if trial.guesses else None
    return losses.histogram if losses else None
