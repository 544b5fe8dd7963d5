"""What the sweep screen shows: a run's results by sweep point and method, and where the points stand on an axis."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.results import PointSummary, TrialResult, summarize
from engine.spec.experiment import Experiment
from engine.spec.settings import Method
from mftui.canvas import Axis
from mftui.canvas.axis import Scale
from mftui.live import LiveRun

_PAD = 0.06
"""of the axis, beyond the outermost points: error bars that stand side by side need it"""
_LEAST_RATIO = 10.0
"""between two values, for a log axis: one ratio is neither geometric nor not"""


@dataclass(frozen=True)
class SweepView:
    """One moment of a sweep."""

    key: tuple[str, int]
    """run and number of results read: what else is shown follows from these"""
    experiment: Experiment
    results: tuple[TrialResult, ...]
    summaries: dict[tuple[int, Method], PointSummary]
    done: Counter[tuple[int, Method]]
    """trials that are over, one way or another"""
    places: NDArray[np.float64]
    """of the points on the x axis"""
    scale: Scale
    numeric: bool
    """False: the places are names"""
    unfit: Counter[int] = field(default_factory=Counter)
    """sweep point → trials of gradient descent that ended above ε_train"""

    @property
    def is_sweep(self) -> bool:
        return self.experiment.over is not None

    @property
    def swept(self) -> str:
        """The field, as one reads it."""
        return (self.experiment.over or "").split(".")[-1].replace("_", " ")

    def name(self, point: int) -> str:
        """The point's value."""
        return value_text(self.experiment.values[point])

    def trials(self, point: int, method: Method) -> list[TrialResult]:
        """By seed."""
        mine = [result for result in self.results if (result.point, result.method) == (point, method)]
        return sorted(mine, key=lambda result: result.seed)

    def worrying(self, point: int, method: Method) -> bool:
        """Whether something went wrong, or gradient descent has not fit."""
        summary = self.summaries.get((point, method))
        return bool(summary and summary.remarks) or (method == "gd" and self.unfit[point] > 0)

    def axis(self) -> Axis:
        """With a tick at each point."""
        low, high = float(self.places.min()), float(self.places.max())
        if self.scale == "log":
            margin = (high / low) ** _PAD if high > low else 2.0
            low, high = low / margin, high * margin
        else:
            margin = (high - low) * _PAD if high > low else 0.5
            low, high = low - margin, high + margin
        named = sorted({float(place): self.name(point) for point, place in enumerate(self.places)}.items())
        return Axis(low, high, self.scale, title=self.experiment.over or "", categories=tuple(named))

    def nearest(self, x: float) -> int:
        """The point nearest to a place on the axis."""
        axis = self.axis()
        return int(np.abs(axis.fractions(self.places) - axis.fractions(x)).argmin())


def sweep_view(live: LiveRun) -> SweepView:
    experiment = live.experiment
    results = tuple({(each.point, each.method, each.seed): each for each in live.results}.values())  # the last of each
    places, scale, numeric = placed(experiment.values)
    unfit: Counter[int] = Counter()
    if "gnc" in experiment.methods:
        unfit.update(
            result.point
            for result in results
            if result.method == "gd"
            and result.training_loss is not None
            and result.training_loss > experiment.points[result.point].gnc.eps_train
        )
    return SweepView(
        key=(live.run.name, len(live.results)),
        experiment=experiment,
        results=results,
        summaries={(row.point, row.method): row for row in summarize(experiment, results)},
        done=Counter((result.point, result.method) for result in results),
        places=places,
        scale=scale,
        numeric=numeric,
        unfit=unfit,
    )


def placed(values: Sequence[Any]) -> tuple[NDArray[np.float64], Scale, bool]:
    """Where swept values stand on an axis, its scale, and whether the places are the values themselves.

    What isn't a finite number stands in order, one apart. The scale is logarithmic where steps between neighbouring
    values are more alike as ratios than as differences.
    """
    numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values) or not all(map(math.isfinite, numbers)):
        return np.arange(float(len(values))), "linear", False
    places = np.array(numbers)
    return places, "log" if _is_geometric(sorted(numbers)) else "linear", True


def _is_geometric(ascending: Sequence[float]) -> bool:
    if len(ascending) < 2 or ascending[0] <= 0:
        return False
    if len(ascending) == 2:
        return ascending[1] / ascending[0] >= _LEAST_RATIO
    steps = np.array([high - low for low, high in pairwise(ascending)])
    ratios = np.array([math.log(high / low) for low, high in pairwise(ascending)])
    return bool(ratios.std() / ratios.mean() < steps.std() / steps.mean() - 1e-9)


def value_text(value: Any) -> str:
    """A swept value, briefly."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
