"""A run's work, divided into units that any process may take: each has its own random numbers and its own files."""

from __future__ import annotations

from dataclasses import dataclass

from engine.descent.grouping import groups
from engine.spec.experiment import Experiment
from engine.spec.settings import Method


@dataclass(frozen=True)
class Unit:
    """One method at some sweep points, on all their data sets."""

    number: int
    method: Method
    points: tuple[int, ...]
    seeds: tuple[int, ...]

    @property
    def trials(self) -> list[tuple[int, Method, int]]:
        """Sweep point, method, seed of each."""
        return [(point, self.method, seed) for point in self.points for seed in self.seeds]


def units(experiment: Experiment) -> list[Unit]:
    """All units of an experiment: those of a sweep point follow each other.

    Gradient descent runs the points that fit into a batch as one unit; other methods have a unit a point.
    """
    shares: list[tuple[Method, tuple[int, ...]]] = []
    for indices in groups(experiment.points, experiment.seeds):
        for method in experiment.methods:
            parts = [indices] if method == "gd" else [[index] for index in indices]
            shares += [(method, tuple(part)) for part in parts]
    found = []
    for number, (method, points) in enumerate(shares):
        first = experiment.points[points[0]].problem.seed
        found.append(Unit(number, method, points, tuple(range(first, first + experiment.seeds))))
    return found
