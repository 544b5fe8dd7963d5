"""Gradient descent's curves of one run, and nothing else of it: what runs are compared by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.runs.directory import RunDirectory
from mftui.live import MOST_POINTS, Curve


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
    note: str = ""
    """why there is nothing to see, if there is nothing"""


class RunCurves:
    """Follows the curves of a run, wherever it is at work. Not for two threads at once."""

    def __init__(self, path: Path) -> None:
        """Raises `RunError` if there is no run that can be read."""
        self.run = RunDirectory.open(path)
        self._reader = self.run.reader()
        self._curves: dict[tuple[int, int], Curve] = {}

    def poll(self) -> None:
        """Read what is new."""
        experiment = self.run.experiment
        if "gd" not in self.run.tables:
            return
        rows = self._reader.rows("gd", MOST_POINTS * len(experiment.points) * experiment.seeds)
        for point, seed in np.unique(rows[:, :2], axis=0).astype(int).tolist():
            mine = rows[(rows[:, 0] == point) & (rows[:, 1] == seed)]
            self._curves.setdefault((point, seed), Curve()).extend(mine[:, 2:])

    def trial(self, point: int, offset: int) -> TrialCurve:
        """Data set number `offset` at a sweep point, both from 0; the last one where there are not so many."""
        experiment = self.run.experiment
        point = min(point, len(experiment.points) - 1)
        settings = experiment.points[point]
        seed = settings.problem.seed + min(offset, experiment.seeds - 1)
        curve = self._curves.get((point, seed))
        absent = "gradient descent hasn't been here" if "gd" in experiment.methods else "no gradient descent"
        return TrialCurve(
            label=experiment.label(point),
            points=len(experiment.points),
            seeds=experiment.seeds,
            steps=settings.gd.steps,
            table=curve.table if curve else np.empty((0, 3)),
            note="" if curve else absent,
        )
