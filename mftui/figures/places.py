"""Which sweep points of one experiment are those of another, as far as the methods asked for are concerned."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.spec.experiment import Experiment
from engine.spec.relevance import METHODS_KEY, idle
from engine.spec.settings import Method, PointSettings


def places_in(has: Experiment, wanted: Experiment) -> list[int] | None:
    """Where in `has` each sweep point of `wanted` is; None if one is missing.

    Points are compared by the fields that have a say for the methods of `wanted`: what gradient descent comes to does
    not depend on [gnc], nor do guesses on [gd].
    """
    there = [_telling(point, wanted.methods) for point in known_points(has)]
    found: list[int] = []
    for point in known_points(wanted):
        settings = _telling(point, wanted.methods)
        place = next((place for place, each in enumerate(there) if each == settings and place not in found), None)
        if place is None:
            return None
        found.append(place)
    return found


def known_points(experiment: Experiment) -> list[PointSettings]:
    """The sweep points, with data files by what is in them: a run has copies of its own."""

    def content(path: str) -> str:
        try:
            return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""
        except OSError:
            return path

    found = []
    for point in experiment.points:
        problem = point.problem
        files = {"path": content(problem.path), "test_path": content(problem.test_path)}
        found.append(point.model_copy(update={"problem": problem.model_copy(update=files)}))
    return found


def _telling(point: PointSettings, methods: Sequence[Method]) -> dict[str, Any]:
    """The fields of a point that have a say, by dotted name."""
    values = {
        f"{section}.{name}": value for section, part in point.model_dump().items() for name, value in part.items()
    }
    without = idle({METHODS_KEY: methods, **{key: [value] for key, value in values.items()}})
    return {key: value for key, value in values.items() if key not in without}
