"""What a verdict is, and the words that verdicts have in common."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from engine.analysis import laws
from engine.analysis.line_fit import FEWEST_DATA_SETS, FEWEST_POINTS, Means
from engine.results import Interval, TrialResult, place
from engine.spec.experiment import Experiment
from engine.spec.settings import Method


@dataclass(frozen=True)
class Verdict:
    """What a run says of one statement."""

    name: str
    """the statement, in a few words"""
    text: str
    """what was measured and how it compares with the statement; without enough results yet, why there is none"""
    estimate: Interval | None
    """the number that decides, with its 95 % interval; None without one"""


def alone(experiment: Experiment) -> bool:
    """Whether there is one sweep point, with data sets enough for an interval."""
    return experiment.over is None and experiment.seeds >= FEWEST_DATA_SETS


def too_few(means: Means, what: str, results: Sequence[TrialResult]) -> str:
    """Why no line can be fitted to the `Means.fitted` part; empty if one can."""
    enough = int(means.fitted().with_errors().sum())
    if enough >= FEWEST_POINTS:
        return ""
    if not means.count.any():
        return "; ".join([f"no {what} is done yet", *laws.remarks(results)])
    return f"{enough} values of {what} with {FEWEST_DATA_SETS} data sets or more: too few (it takes {FEWEST_POINTS})"


def course(x: Float[ndarray, " point"], means: Means, what: str) -> str:
    """From the first to the last point that has an error bar."""
    places = np.flatnonzero(means.with_errors())
    first, last = places[x[places].argmin()], places[x[places].argmax()]
    return f"goes from {means.mean[first]:.3g} at {what} {x[first]:g} to {means.mean[last]:.3g} at {what} {x[last]:g}"


def log_losses(experiment: Experiment, results: Sequence[TrialResult], method: Method) -> Means:
    """log10 of each data set's L_gen; for Guess & Check with its sampling variance. Unreliable trials don't count."""
    values = np.full((experiment.seeds, len(experiment.points)), np.nan)
    variances = np.zeros_like(values)
    for result in results:
        loss = result.generalization_loss
        if result.method == method and result.outcome == "finished" and loss:
            trial = place(experiment, result)
            values[trial] = math.log10(loss)
            if result.guesses and (summary := result.guesses.generalization_loss):
                variances[trial] = (summary.standard_error / summary.mean / math.log(10)) ** 2
    known = np.isfinite(values) & np.isfinite(variances)
    return Means.of(np.where(known, values, np.nan), variances)


def left_out(experiment: Experiment, means: Means) -> Iterator[str]:
    """What there is of a sweep and is not fitted, since trials are missing (`Means.whole`), a sentence each."""
    seeds, points = means.whole()
    thin = np.flatnonzero((means.count > 0) & ~points).tolist()
    if thin and points.any():
        yield f"not fitted, with fewer data sets than others: {', '.join(map(experiment.label, thin))}"
    partly = np.flatnonzero(np.isfinite(means.values[:, points]).any(axis=1) & ~seeds)
    if len(partly):
        names = ", ".join(str(experiment.points[0].problem.seed + seed) for seed in partly.tolist())
        yield f"not fitted, as missing at some points: seed{'s' * (len(partly) > 1)} {names}"


def two(interval: Interval) -> str:
    """Of a symmetric interval, with two decimal places: 1.05 ± 0.02."""
    return f"{interval.value:z.2f} ± {(interval.high - interval.low) / 2:.2f}"


def plus_minus(interval: Interval) -> str:
    """Of a symmetric interval: 1.05 ± 0.02."""
    reach = (interval.high - interval.low) / 2
    return f"{interval.value:.{places(reach)}f} ± {digits(reach)}"


def places(reach: float) -> int:
    """Decimal places that go with half the width of an interval, at least two."""
    return max(2, 1 - math.floor(math.log10(reach))) if reach > 0 else 2


def digits(value: float) -> str:
    """Two significant ones: 0.011, 34, 230, 3.4e-07."""
    return f"{value:.0f}" if 10 <= abs(value) < 1e4 else f"{value:.2g}"


def times(logarithms: Interval) -> str:
    """Of log10 of a ratio: 40 times (10 to 160)."""
    middle, low, high = (digits(10**power) for power in (logarithms.value or 0.0, logarithms.low, logarithms.high))
    return f"{middle} times ({low} to {high})"
