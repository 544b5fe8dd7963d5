"""What runs are compared by: gradient descent's curves, or where it did not run, the other methods' results."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.results import PointSummary, TrialResult, summarize, trial_of
from engine.runs.directory import RunDirectory
from engine.spec.settings import METHOD_LABELS, Method
from mftui.formatting import format_quartiles
from mftui.live import MOST_POINTS, Curve, extend


@dataclass(frozen=True, eq=False)
class TrialCurve:
    """One data set at one sweep point of a run."""

    label: str
    """the sweep point, such as "width 40"; the preset's name where there is one point"""
    points: int
    """sweep points of the run"""
    seeds: int
    steps: int
    """in all"""
    table: NDArray[np.float64]
    """step, training loss, generalization loss, singular values; a row a log point"""
    others: tuple[PointSummary, ...] = ()
    """the other methods over all data sets, where gradient descent isn't among them"""
    note: str = ""
    """why there is no curve, if there is none"""


class RunCurves:
    """Follows the curves of a run, wherever it is at work. Not for two threads at once."""

    def __init__(self, path: Path) -> None:
        """Raises `RunError` if there is no run that can be read."""
        self.run = RunDirectory.open(path)
        self._reader = self.run.reader()
        self._curves: dict[tuple[int, int], Curve] = {}
        self._results: dict[tuple[int, Method, int], TrialResult] = {}

    def poll(self) -> None:
        """Read what is new."""
        experiment = self.run.experiment
        if "gd" not in experiment.methods:
            self._take_results(self._reader.events())
        elif "gd" in self.run.tables:
            extend(self._curves, self._reader.rows("gd", MOST_POINTS * len(experiment.points) * experiment.seeds))

    def _take_results(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            if event["event"] == "trial":
                with suppress(KeyError, TypeError):  # a damaged line tells nothing
                    result = trial_of(event)
                    self._results[result.point, result.method, result.seed] = result

    def trial(self, point: int, offset: int) -> TrialCurve:
        """Data set number `offset` at a sweep point, both from 0; the last one where there are not so many."""
        experiment = self.run.experiment
        point = min(point, len(experiment.points) - 1)
        settings = experiment.points[point]
        seed = settings.problem.seed + min(offset, experiment.seeds - 1)
        curve = self._curves.get((point, seed))
        absent = "gradient descent hasn't been here"
        others = tuple(row for row in summarize(experiment, list(self._results.values())) if row.point == point)
        return TrialCurve(
            label=experiment.label(point),
            points=len(experiment.points),
            seeds=experiment.seeds,
            steps=settings.gd.steps,
            table=curve.table if curve else np.empty((0, 3)),
            others=others,
            note="" if curve else absent if "gd" in experiment.methods else _medians(others),
        )


def _medians(others: tuple[PointSummary, ...]) -> str:
    """With quartiles over the data sets."""
    told = []
    for row in others:
        median, spread = format_quartiles(row.generalization_loss)
        told.append(f"{METHOD_LABELS[row.method]} {median} ({spread}, {row.trials} data sets)")
    return f"no gradient descent; median L_gen {', '.join(told)}" if told else "no gradient descent"
