"""What the numerics tell the run loop. Plain data: the loop decides where it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.results import TrialResult
from engine.spec.experiment import Experiment
from engine.spec.settings import Method, PointSettings


@dataclass(frozen=True)
class Rows:
    """Rows of one table of `schema`; what a row lacks becomes NaN."""

    table: str
    rows: Sequence[Sequence[int | float]] | NDArray[np.float64]
    columns: Sequence[str] | None = None
    """what the values are, by name; None: the table's columns from the first on"""


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


@dataclass(frozen=True)
class Recovered:
    """A small ratings matrix, as it was seen and as a method filled it in."""

    point: int
    seed: int
    observed: list[list[float | None]]
    """None where the training set has no rating"""
    recovered: list[list[float]]
    method: Method = "gd"
    """gradient descent or the minimum nuclear norm"""


Schema = Mapping[str, Sequence[str]]
"""table name → column names"""

Event = Rows | Finished | PosteriorSample | Recovered

MAX_COMPLETE_SPECTRUM = 128
"""up to this many singular values all of them are computed at a log point (about 5 ms), else the leading ones"""
LEADING_VALUES = 10
"""singular values logged where not all are, and most singular vectors compared with the truth's"""


MOST_SHOWN_ENTRIES = 400
"""W of at most this many entries is stored at each log point, to be shown"""


def logged_singular_values(point: PointSettings) -> int:
    """How many singular values of W a log point stores."""
    smaller = min(point.problem.rows, point.problem.columns)
    return smaller if smaller <= MAX_COMPLETE_SPECTRUM else LEADING_VALUES


def aligned_vectors(point: PointSettings) -> int:
    """How many of the leading singular vectors are compared with those of W*."""
    if point.problem.kind == "ratings":
        return 0
    return min(point.problem.rank, LEADING_VALUES, logged_singular_values(point))


def shown_entries(point: PointSettings) -> int:
    """How many entries of W a log point stores: all of a small matrix, none of a large one."""
    entries = point.problem.rows * point.problem.columns
    return entries if entries <= MOST_SHOWN_ENTRIES else 0


def entry_names(entries: int) -> list[str]:
    """W row by row."""
    return [f"entry_{index + 1}" for index in range(entries)]


def diagnostic_names(depth: int, aligned: int) -> list[str]:
    """The diagnostics of one log point; alignments are |<u_i, u*_i>|, |<v_i, v*_i>| (`engine.descent.diagnostics`)."""
    return [
        "effective_rank",
        "numerical_rank",
        "stable_rank",
        "nuclear_norm",
        "frobenius_norm",
        "schatten_norm",
        "balancedness_gap",
        "distance_to_truth",
        *(f"layer_norm_{layer + 1}" for layer in range(depth)),
        *(f"left_alignment_{index + 1}" for index in range(aligned)),
        *(f"right_alignment_{index + 1}" for index in range(aligned)),
    ]


GRADIENT_SIZES = ("diagonal_gradient", "off_diagonal_gradient")


def theory_names(singular_values: int) -> list[str]:
    """Rates of change at one log point: dσ/dt as measured, and as predicted for balanced factors.

    And the mean size of the entries of Uᵀ∇L_train(W)V on its diagonal and off it.
    """
    rates = [f"{kind}_{index + 1}" for kind in ("measured", "predicted") for index in range(singular_values)]
    return [*rates, *GRADIENT_SIZES]


def schema(experiment: Experiment) -> Schema:
    """The tables of a run.

    `theory` holds rates of change of the singular values in `gd` (σ per unit of time, a step being as long as the
    learning rate) and how far the gradient is diagonal in the singular vectors, `trajectory` their predicted course,
    `matrices` W where it is small. `stage` rises when a sampler takes over from another and what passed before is
    dropped.
    `method` is an index into `engine.spec.settings.METHODS`. `progress` holds wall-clock times and so differs between
    equal runs; the other tables are functions of the spec alone (same device, library versions and dtype).
    """
    points = experiment.points
    singular_values = max(map(logged_singular_values, points))
    diagnostics = diagnostic_names(max(point.model.depth for point in points), max(map(aligned_vectors, points)))
    return {
        "gd": [
            "point",
            "seed",
            "step",
            "training_loss",
            "generalization_loss",
            *(f"singular_value_{index + 1}" for index in range(singular_values)),
        ],
        "diagnostics": ["point", "seed", "step", *diagnostics],
        "theory": ["point", "seed", "step", *theory_names(singular_values)],
        "trajectory": ["point", "seed", "step", *(f"singular_value_{index + 1}" for index in range(singular_values))],
        "matrices": ["point", "seed", "step", *entry_names(max(map(shown_entries, points)))],
        "guesses": ["point", "method", "seed", "draws", "hits", "best_training_loss"],
        "samples": ["point", "method", "seed", "stage", "training_loss", "generalization_loss", "log_weight"],
        "progress": ["time", "point", "method", "seed", "done", "fraction"],
    }
