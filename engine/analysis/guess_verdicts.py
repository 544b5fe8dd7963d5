"""Verdicts on Guess & Check: the two theorems, the independence of the two events, ε_train → 0."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from engine.analysis.intervals import mean_interval, ratio_interval
from engine.analysis.line_fit import FEWEST_DATA_SETS, Means, bend, fit_law
from engine.analysis.tails import loss_at, median_edge, shares_below, single_data_sets
from engine.analysis.theorems import Measured
from engine.analysis.verdict import Verdict, alone, digits, left_out, log_losses, plus_minus, times, too_few, two
from engine.results import Interval, TrialResult
from engine.spec.experiment import Experiment
from engine.spec.settings import Method

LEVEL = 0.1
"""exponent of L_gen in ε_train under which it counts as level: a decade of ε_train changes it by less than 26 %"""


def theorem(measured: Measured | None) -> Iterator[Verdict]:
    """What `engine.analysis.theorems` says."""
    if measured is not None:
        text = "; ".join([measured.verdict, *measured.searched, *measured.caveats])
        yield Verdict(f"the {measured.theorem} theorem", text, measured.estimate)


def independence(
    experiment: Experiment, results: Sequence[TrialResult], measured: Measured | None
) -> Iterator[Verdict]:
    """P(both)/(P(L_gen < ε) P(L_train < ε_train)), at the widest width that has data sets enough."""
    swept = experiment.over == "model.width" or alone(experiment)
    if not swept or not {"gnc", "prior"} <= set(experiment.methods):
        return
    name = "independence of fitting and generalizing"
    edge = measured.edge if measured is not None else median_edge(results, "prior")
    if edge is None:
        yield Verdict(name, "the prior is not done yet", None)
        return
    given, given_variances = shares_below(experiment, results, "gnc", edge)
    prior, prior_variances = shares_below(experiment, results, "prior", edge)
    done = np.isfinite(given) & np.isfinite(prior)
    enough = [index for index in range(len(experiment.points)) if done[:, index].sum() >= FEWEST_DATA_SETS]
    if not enough:
        yield Verdict(name, f"no width has {FEWEST_DATA_SETS} data sets yet", None)
        return
    point = max(enough, key=lambda index: experiment.points[index].model.width)
    chosen = done[:, point]
    above, below = given[chosen, point], prior[chosen, point]
    variances, below_variances = given_variances[chosen, point], prior_variances[chosen, point]
    ratio = above.mean() / below.mean() if below.any() else math.nan
    lift = ratio_interval(above, below, variances + ratio**2 * below_variances)
    where = f"at width {experiment.points[point].model.width}, P(L_gen < {loss_at(edge):.2g})"
    if lift is None:
        yield Verdict(name, f"{where} is 0 under the prior: nothing to compare with", None)
        return
    judged = "compatible with independence on average" if lift.low <= 1 <= lift.high else "not independent"
    single = single_data_sets(above - below, variances + below_variances)
    text = (
        f"{where} given a fit is {plus_minus(lift)} times the prior's (95 %): {judged}; in single data sets the two "
        f"differ by {digits(single.size)} on average, where sampling alone makes {digits(single.by_chance)}: "
        f"{'not independent' if single.apart else 'compatible with independence'} (χ² over data sets, 95 %)"
    )
    yield Verdict(name, text, lift)


def small_threshold(experiment: Experiment, results: Sequence[TrialResult]) -> Iterator[Verdict]:
    """How Guess & Check's L_gen goes with ε_train at fixed width and depth, and how far above GD it ends."""
    if experiment.over != "gnc.eps_train" or "gnc" not in experiment.methods:
        return
    name = "Guess & Check as ε_train → 0"
    x = np.log10([point.gnc.eps_train for point in experiment.points])
    means = log_losses(experiment, results, "gnc")
    if why := too_few(means, "ε_train", results):
        yield Verdict(name, why, None)
        return
    part = means.fitted()
    chosen = part.with_errors()
    fit = fit_law("line", x, part, chosen)
    last, before = np.flatnonzero(chosen)[np.argsort(x[chosen])][:2]
    text = (
        f"mean L_gen (geometric over data sets) goes from {10 ** part.mean[chosen][x[chosen].argmax()]:.2g} to "
        f"{10 ** part.mean[last]:.2g} as ε_train goes from {10 ** x[chosen].max():.2g} to {10 ** x[last]:.2g}, "
        f"exponent {plus_minus(fit.slope_interval)} (95 %)"
    )
    if (halves := bend("line", x, part, chosen)) is not None:
        text += f", not one power law: {two(halves[1].slope_interval)} for large ε_train, "
        text += f"{two(halves[0].slope_interval)} for small"
    local = _local_slope(x, part, int(before), int(last))
    if local is not None:
        level = local.high < LEVEL
        judged = "it levels off" if level else "it falls on" if local.low > 0 else "undecided whether it levels off"
        text += f"; between the two smallest {plus_minus(local)}: {judged}"
    others: tuple[tuple[Method, str], ...] = (("gd", "gradient descent's"), ("prior", "the prior's"))
    for method, whose in others:
        if (above := _above(log_losses(experiment, results, method), means, int(last))) is not None:
            text += f"; there {times(above)} {whose}"
    yield Verdict(name, "; ".join([text, *left_out(experiment, means)]), local)


def _local_slope(x: Float[ndarray, " point"], means: Means, before: int, last: int) -> Interval | None:
    """Between two points, data set by data set."""
    differences = (means.values[:, before] - means.values[:, last]) / (x[before] - x[last])
    return mean_interval(differences[np.isfinite(differences)])


def _above(other: Means, means: Means, point: int) -> Interval | None:
    """log10 of Guess & Check's L_gen over another method's, data set by data set; None with too few of them."""
    differences = means.values[:, point] - other.values[:, point]
    return mean_interval(differences[np.isfinite(differences)])
