"""The verdict on the question itself: how far below Guess & Check gradient descent ends, and where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from engine.analysis.intervals import mean_interval
from engine.analysis.line_fit import FEWEST_DATA_SETS, Means
from engine.analysis.verdict import Verdict, alone, log_losses, times
from engine.results import Interval, TrialResult, fits
from engine.spec.experiment import Experiment

NEEDED = 1.0
"""decades that Guess & Check's L_gen is above gradient descent's, from which gradient descent counts as needed"""
FAR_BELOW = 0.1
"""of ε_train: with a median L_train under this gradient descent has gone on where Guess & Check stops"""


def need(experiment: Experiment, results: Sequence[TrialResult]) -> Iterator[Verdict]:
    """Guess & Check's L_gen over gradient descent's, data set by data set, at every width or depth, or a single point.

    Of gradient descent only the trials that fit count: the others are no evidence of how it generalizes.
    """
    swept = experiment.over in ("model.width", "model.depth") or alone(experiment)
    if not swept or not {"gd", "gnc"} <= set(experiment.methods):
        return
    name = "where gradient descent is needed"
    descents = [result for result in results if result.method == "gd" and result.outcome != "failed"]
    fit = [result for result in descents if fits(experiment, result)]
    guessed = log_losses(experiment, results, "gnc")
    ratios = _ratios(guessed, log_losses(experiment, fit, "gd"))
    if not ratios:
        yield Verdict(name, f"no point has {FEWEST_DATA_SETS} data sets that both methods fit", None)
        return
    last = max(ratios)
    where = f" at {experiment.label(last)}" if experiment.over else ""
    parts = [f"Guess & Check's L_gen is {times(ratios[last])} gradient descent's{where}"]
    over_prior = _ratios(guessed, log_losses(experiment, results, "prior"))
    if last in over_prior:
        parts[0] += f", {times(over_prior[last])} the prior's"
    if experiment.over:
        parts.append(f"{_sorted(experiment, ratios)} (geometric means over data sets, 95 % at each point)")
    parts.append(f"gradient descent fit in {len(fit)} of {len(descents)} trials; only these count")
    parts += _far_below(experiment, fit)
    low, value, high = (float(10**power) for power in (ratios[last].low, ratios[last].value or 0.0, ratios[last].high))
    yield Verdict(name, "; ".join(parts), Interval(value, low, high))


def _ratios(guessed: Means, others: Means) -> dict[int, Interval]:
    """Mean of log10 of Guess & Check's L_gen over another method's, at the points that have data sets enough."""
    found = {}
    differences = guessed.values - others.values
    for point in range(differences.shape[1]):
        there = np.isfinite(differences[:, point])
        mean = mean_interval(differences[there, point], guessed.variances[there, point])
        if mean is not None:
            found[point] = mean
    return found


def _sorted(experiment: Experiment, ratios: dict[int, Interval]) -> str:
    """At which points the ratio is over ten, under ten, or can't be told."""
    kinds = {
        "over 10 times": [point for point, ratio in ratios.items() if ratio.low > NEEDED],
        "under 10 times": [point for point, ratio in ratios.items() if ratio.high < NEEDED],
        "undecided": [point for point, ratio in ratios.items() if ratio.low <= NEEDED <= ratio.high],
        "too few data sets": [point for point in range(len(experiment.points)) if point not in ratios],
    }
    swept = (experiment.over or "").split(".")[-1]
    return "; ".join(
        f"{kind} at {swept} {', '.join(str(experiment.values[point]) for point in points)}"
        for kind, points in kinds.items()
        if points
    )


def _far_below(experiment: Experiment, fit: Sequence[TrialResult]) -> Iterator[str]:
    """Guess & Check stops at ε_train, gradient descent does not: part of the ratio is that."""
    below = [(result.training_loss or 0.0) / experiment.points[result.point].gnc.eps_train for result in fit]
    if (median := float(np.median(below))) < FAR_BELOW:
        yield f"it goes on below ε_train (median L_train {median:.1g} of it), which by itself makes its L_gen smaller"
