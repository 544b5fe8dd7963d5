"""What the numerics tell the run loop. Plain data: the loop decides where it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.preset import Experiment
from engine.results import TrialResult
from engine.settings import Method
from engine.store import Schema


@dataclass(frozen=True)
class Rows:
    """Rows of one table of `schema`."""

    table: str
    rows: Sequence[Sequence[int | float]]


@dataclass(frozen=True)
class Finished:
    """A trial is over, one way or another."""

    result: TrialResult


@dataclass(frozen=True)
class PosteriorSample:
    """Some end-to-end matrices that passed, with their weights."""

    point: int
    method: Method
    seed: int
    matrices: NDArray[np.float64]
    """a row of length m·n each"""
    log_weight: NDArray[np.float64]


Event = Rows | Finished | PosteriorSample


def schema(experiment: Experiment) -> Schema:
    """The tables of a run.

    `stage` rises when a sampler takes over from another and what passed before is dropped.
    `method` is an index into `engine.settings.METHODS`. `progress` holds wall-clock times and so differs between equal
    runs; the other tables are functions of the spec alone (same device, library versions and dtype).
    """
    singular_values = max(min(point.problem.rows, point.problem.columns) for point in experiment.points)
    return {
        "gd": [
            "point",
            "seed",
            "step",
            "training_loss",
            "generalization_loss",
            *(f"singular_value_{index + 1}" for index in range(singular_values)),
        ],
        "guesses": ["point", "method", "seed", "draws", "hits", "best_training_loss"],
        "samples": ["point", "method", "seed", "stage", "training_loss", "generalization_loss", "log_weight"],
        "progress": ["time", "point", "method", "seed", "done", "fraction"],
    }
