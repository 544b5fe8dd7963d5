"""Charts of one trial over the steps of gradient descent: course, alignment."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mftui.figures.chart import Chart, Series
from mftui.figures.data import RunData
from mftui.figures.labels import headed
from mftui.views.roles import series as series_role
from mftui.views.trial import LEAST_SINGULAR_VALUE

MOST_SINGULAR_VALUES = 10
"""curves of a course: the leading ones"""
MOST_NAMED = 5
"""of them in the legend, as many as W* has"""


def courses(title: str, run: RunData) -> Iterator[Chart]:
    """The leading singular values of W at each sweep point, the true and the predicted ones with them."""
    for point in range(len(run.experiment.points)):
        curve, truth = run.curve(point), run.truth(point)
        steps, values = curve[:, 0], curve[:, 3 : 3 + MOST_SINGULAR_VALUES]
        named = min(MOST_NAMED, sum(value > LEAST_SINGULAR_VALUE * max(truth) for value in truth) or MOST_NAMED)
        series = [
            Series(f"σ{_subscript(index + 1)}" if index < named else "", series_role(index), steps, column)
            for index, column in enumerate(values.T)
        ]
        ends = np.array([0.0, steps.max(initial=1.0)])
        series += [
            Series("", series_role(index), ends, np.full(2, value), stroke="dashed")
            for index, value in enumerate(truth)
            if value > LEAST_SINGULAR_VALUE * max(truth)
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
            title=headed(title, run, point),
            x_label="steps of gradient descent",
            y_label="singular values of W",
            series=tuple(series),
            bars=", ".join([f"data set {run.first_seed(point)}", *told]),
            notes=(*run.troubles(point, "gd"), *run.gaps),
        )


def alignments(title: str, run: RunData) -> Iterator[Chart]:
    """How far the gradient is diagonal in the singular vectors of W, at each sweep point."""
    for point in range(len(run.experiment.points)):
        steps, diagonal, rest, why_not = run.alignment(point)
        yield Chart(
            kind="alignment",
            title=headed(title, run, point),
            x_label="steps of gradient descent",
            y_label="mean |entry| of Uᵀ∇L_train V",
            series=(
                Series("on the diagonal", series_role(0), steps, diagonal),
                Series("off the diagonal", series_role(1), steps, rest, stroke="dashed"),
            ),
            y_scale="log",
            bars=f"data set {run.first_seed(point)}",
            notes=(*([why_not] if why_not else []), *run.troubles(point, "gd"), *run.gaps),
        )


def _subscript(number: int) -> str:
    return "".join("₀₁₂₃₄₅₆₇₈₉"[int(digit)] for digit in str(number))
