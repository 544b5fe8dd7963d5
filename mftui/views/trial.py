"""What the panes show: one trial's numbers, taken out of a followed run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.results import TrialResult
from engine.spec.settings import METHODS, Method, PointSettings
from mftui.live import Guesses, LiveRun, Progress

MOST_POINTS = 120
"""points of a line; a pane is at most 120 cells wide, and drawing time grows with the points"""


@dataclass(frozen=True)
class TrialView:
    """One data set at one sweep point, as far as it has come."""

    key: tuple[str, int, int]
    """run, sweep point, seed: axes start anew when it changes"""
    settings: PointSettings
    truth: tuple[float, ...]
    """singular values of W*"""
    curve: NDArray[np.float64]
    """rows of step, training loss, generalization loss, singular values; at most `MOST_POINTS` + 1"""
    guesses: dict[Method, Guesses]
    progress: dict[Method, Progress]
    """of the methods that are at this trial now"""
    results: dict[Method, TrialResult]
    dark: bool
    """theme"""
    predicted: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 1)))
    """theory's rows of step, singular values; at most `MOST_POINTS` + 1"""
    prediction_error: float | None = None
    """largest |σ_r − predicted| so far over the largest σ_r since the prediction began; None if there is none"""


def trial_view(live: LiveRun, point: int, seed: int, *, dark: bool) -> TrialView:
    """The trial of data set `seed` at sweep point `point`."""
    curve = live.curves.get((point, seed))
    predicted = live.observations["trajectory"].get((point, seed))
    at_point = {method: progress for method, progress in live.progress.items() if progress.point == point}
    return TrialView(
        key=(live.run.name, point, seed),
        settings=live.experiment.points[point],
        truth=tuple(live.truth.get((point, seed), ())),
        curve=thin(curve.table) if curve else np.empty((0, 3)),
        guesses={m: g for m in METHODS if (g := live.guesses.get((point, m, seed)))},
        progress={m: p for m, p in at_point.items() if m == "gd" or p.seed == seed},
        results={r.method: r for r in live.results if (r.point, r.seed) == (point, seed)},
        dark=dark,
        predicted=thin(predicted.table) if predicted else np.empty((0, 1)),
        prediction_error=_prediction_error(curve.table, predicted.table) if curve and predicted else None,
    )


def theory_applies(settings: PointSettings) -> bool:
    """Whether theory has anything to say of the singular values' course."""
    return settings.model.activation == "linear" and settings.gd.optimizer == "gradient_descent"


def _prediction_error(curve: NDArray[np.float64], predicted: NDArray[np.float64]) -> float | None:
    _, at, at_predicted = np.intersect1d(curve[:, 0], predicted[:, 0], assume_unique=True, return_indices=True)
    measured = curve[at, 3:]
    if not measured.size or not np.isfinite(measured).all():
        return None
    off = np.abs(measured - predicted[at_predicted, 1:])
    return float(np.nan_to_num(off, nan=np.inf).max() / max(measured.max(), 1e-300))


def thin(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Every 2^n-th row and the last: the same rows frame after frame, until their number doubles."""
    stride = 1
    while len(table) > stride * MOST_POINTS:
        stride *= 2
    kept = table[::stride]
    return kept if (len(table) - 1) % stride == 0 else np.concatenate([kept, table[-1:]])


def running_trial(live: LiveRun) -> tuple[int, int]:
    """Sweep point and seed the engine is at: Guess & Check's, as the slowest, else any other method's."""
    if not live.progress:
        return 0, live.experiment.points[0].problem.seed
    point = max(progress.point for progress in live.progress.values())
    for method in ("gnc", "prior", "nuclear", "gd"):
        progress = live.progress.get(method)
        if progress is not None and progress.point == point:
            return point, progress.seed
    raise AssertionError("some method is at the last point")
