"""95 % intervals over data sets that are no line's: of a share, a mean, a median, a ratio of means."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from engine.analysis.line_fit import FEWEST_DATA_SETS, t_quantile
from engine.results import CONFIDENCE, Interval, binomial_interval


def share_interval(successes: int, trials: int) -> Interval:
    """Of a probability, exact [Clopper, Pearson 1934]. `trials` ≥ 1."""
    logarithms = binomial_interval(successes, trials)
    return Interval(successes / trials, 10**logarithms.low, 10**logarithms.high)


def median_interval(values: Sequence[float]) -> Interval:
    """Of the median of any continuous law, between two order statistics; boundless with fewer than six values."""
    ordered = sorted(values)
    count, inside = len(ordered), 0
    # the median is under the j-th smallest with probability P(Bin(n, ½) < j)
    while 2 * sum(math.comb(count, below) for below in range(inside + 1)) <= (1 - CONFIDENCE) * 2**count:
        inside += 1
    if not inside:
        return Interval(float(np.median(ordered)), -math.inf, math.inf)
    return Interval(float(np.median(ordered)), ordered[inside - 1], ordered[count - inside])


def mean_interval(values: Float[ndarray, " seed"], variances: Float[ndarray, " seed"] | None = None) -> Interval | None:
    """Student's, of the mean, from the spread or from the values' own variances, whichever is more.

    None with fewer than `FEWEST_DATA_SETS` values.
    """
    return ratio_interval(values, np.ones(len(values)), variances)


def ratio_interval(
    above: Float[ndarray, " seed"],
    below: Float[ndarray, " seed"],
    variances: Float[ndarray, " seed"] | None = None,
) -> Interval | None:
    """Of a ratio of means over the same data sets (delta method); `variances` are those of above − ratio·below.

    None with fewer than `FEWEST_DATA_SETS` of them, or where the lower mean is 0.
    """
    count = len(above)
    if count < FEWEST_DATA_SETS or not below.mean():
        return None
    ratio = float(above.mean() / below.mean())
    spread = float(np.square(above - ratio * below).sum()) * count / (count - 1)
    sampling = 0.0 if variances is None else float(variances.sum())
    reach = t_quantile(count - 1) * math.sqrt(max(spread, sampling)) / (count * abs(float(below.mean())))
    return Interval(ratio, ratio - reach, ratio + reach)
