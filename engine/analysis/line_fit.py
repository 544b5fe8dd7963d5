"""Lines and power laws through means over data sets, with errors from the spread between the data sets.

The same data sets are used at every sweep point, so that errors at different points are not independent. Each data set
is therefore one observation of the whole line: the coefficients' covariance is the sum over data sets of their squared
influence (delta method; for a line, exactly the variance of the mean of n independent lines, with n − 1 degrees of
freedom). Only data sets that are there at all fitted points count: with one missing somewhere, a difference between
data sets would look like a slope.

All points weigh the same. Weights that are estimated from the same few data sets go with the means, wherever larger
values spread more, and the intervals then hold the truth less often than they say: 71 to 92 % for a slope in simulated
sweeps of the depth theorem (docs/theory.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from engine.results import CONFIDENCE, Interval

FEWEST_DATA_SETS = 3
"""with two, a 95 % interval is 13 standard errors wide on either side"""
FEWEST_POINTS = 3
"""two points always lie on a line"""
FEWEST_CLEAR = 2
"""points that must be apart from zero for a power law"""
_STEEPEST = 40.0
"""natural logarithms that a power law may fall, or rise, over the fitted points: a factor of 10^17"""
_TRIED = 321
"""exponents that the search for the best begins with, a quarter of a logarithm apart"""
_REFINEMENTS = 20
"""Gauss-Newton steps from the best of these; three are enough where the data tell the exponent"""

Law = Literal["line", "logarithmic", "additive"]
"""What is fitted:

line         mean = intercept + slope·x
logarithmic  log|mean| = intercept + slope·log x: a power law, for means that are well away from zero at every point and
             whose relative errors are alike
additive     mean = ±exp(intercept)·x^slope by least squares of the means themselves: for errors that don't shrink with
             the mean, so that some means may be anywhere around zero
"""


@dataclass(frozen=True, eq=False)
class Means:
    """Over the data sets, at each sweep point."""

    values: Float[ndarray, "seed point"]
    """NaN where a trial is missing"""
    variances: Float[ndarray, "seed point"]
    """of the values, from sampling; 0 for exact ones"""
    mean: Float[ndarray, " point"]
    """NaN where all are"""
    standard_error: Float[ndarray, " point"]
    """of the mean: from the spread, or from sampling where that is more; NaN with fewer than two data sets"""
    count: Int[ndarray, " point"]

    @staticmethod
    def of(values: Float[ndarray, "seed point"], variances: Float[ndarray, "seed point"] | None = None) -> Means:
        """`variances` are the values' own, from sampling; exact values have none."""
        known = np.isfinite(values)
        count = known.sum(axis=0)
        own = np.where(known, 0.0 if variances is None else variances, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(known, values, 0.0).sum(axis=0) / count
            squares = np.where(known, values - mean, 0.0) ** 2
            spread = np.sqrt(squares.sum(axis=0) / (count - 1) / count)
            error = np.where(count > 1, np.maximum(spread, np.sqrt(own.sum(axis=0)) / count), np.nan)
        return Means(values, own, mean, error, count)

    def with_errors(self) -> Bool[ndarray, " point"]:
        """Where there are data sets enough to judge an error by."""
        return np.asarray(self.count >= FEWEST_DATA_SETS)

    def reaches(self) -> Float[ndarray, " point"]:
        """Half widths of the means' 95 % intervals; NaN where there are too few data sets for one."""
        found = np.full(len(self.mean), np.nan)
        for point in np.flatnonzero(self.with_errors()).tolist():
            found[point] = t_quantile(int(self.count[point]) - 1) * self.standard_error[point]
        return found

    def beyond_zero(self) -> Bool[ndarray, " point"]:
        """Where the 95 % interval of the mean leaves zero out."""
        return np.asarray(np.abs(self.mean) > self.reaches())

    def whole(self) -> tuple[Bool[ndarray, " seed"], Bool[ndarray, " point"]]:
        """Data sets and points to fit a law to: all of these data sets are there at all of these points.

        Points that fewer than half as many data sets are at as at the fullest are given up, and then the data sets that
        are missing at one of the others. No point if too few data sets are left.
        """
        known = np.isfinite(self.values)
        points = self.with_errors() & (2 * self.count >= self.count.max(initial=0))
        seeds = known[:, points].all(axis=1)
        return seeds, points if seeds.sum() >= FEWEST_DATA_SETS else np.zeros_like(points)

    def fitted(self) -> Means:
        """Of the data sets of `whole` alone, and nothing at other points."""
        seeds, points = self.whole()
        kept = np.where(points, self.values[seeds], np.nan)
        return Means.of(kept, self.variances[seeds])


@dataclass(frozen=True)
class LineFit:
    """`intercept` + `slope`·x, each with the half width of its 95 % interval; of logarithms for a power law."""

    intercept: float
    slope: float
    intercept_reach: float
    slope_reach: float
    points: int
    data_sets: int

    @property
    def intercept_interval(self) -> Interval:
        return Interval(self.intercept, self.intercept - self.intercept_reach, self.intercept + self.intercept_reach)

    @property
    def slope_interval(self) -> Interval:
        return Interval(self.slope, self.slope - self.slope_reach, self.slope + self.slope_reach)


def fit_law(law: Law, x: Float[ndarray, " point"], means: Means, chosen: Bool[ndarray, " point"]) -> LineFit:
    """The law through the means at the chosen points, of the data sets that are at all of them (at least two).

    No mean among them may be zero for the law "logarithmic", and not all for "additive".
    """
    part, at = _among(means, chosen), x[chosen]
    return _summary(_SOLVERS[law](at, part), part)


def bend(
    law: Law, x: Float[ndarray, " point"], means: Means, chosen: Bool[ndarray, " point"]
) -> tuple[LineFit, LineFit] | None:
    """The law fitted to the lower and to the upper half of the points, if the slopes differ (95 %).

    None if they don't, or if there are fewer than four points. An odd number of points has its middle in both halves.
    """
    order = np.flatnonzero(chosen)
    if len(order) <= FEWEST_POINTS:
        return None
    order, half = order[np.argsort(x[order])], (len(order) + 1) // 2
    solve, part = _SOLVERS[law], _among(means, chosen)
    inside = np.flatnonzero(chosen)
    parts = []
    for members in (order[:half], order[-half:]):
        among = np.isin(inside, members)
        parts.append((solve(x[chosen][among], _among(part, among)), _among(part, among)))
    (low, low_part), (high, high_part) = parts
    difference = _Solution(
        high.coefficients - low.coefficients, high.influence - low.influence, high.sampling + low.sampling
    )
    summary = _summary(difference, part)
    if abs(summary.slope) <= summary.slope_reach:
        return None
    return _summary(low, low_part), _summary(high, high_part)


def upper_half(x: Float[ndarray, " point"], chosen: Bool[ndarray, " point"]) -> Bool[ndarray, " point"]:
    """The chosen points with the larger x; all of them where half would be too few for a line.

    The statements are about a limit, and the first widths and depths behave otherwise. Which points count as far does
    not depend on what was measured there.
    """
    where = np.flatnonzero(chosen)
    half = len(where) // 2 if len(where) >= 2 * FEWEST_POINTS else 0
    upper = np.zeros_like(chosen)
    upper[where[np.argsort(x[where])][half:]] = True
    return upper


def far_points(x: Float[ndarray, " point"], part: Means) -> Bool[ndarray, " point"]:
    """What a power law is fitted to: the upper half, or all points where it has too few that are apart from zero."""
    every = part.with_errors()
    far = upper_half(x, every)
    return far if (part.beyond_zero() & far).sum() >= FEWEST_CLEAR else every


@cache
def t_quantile(degrees: int) -> float:
    """Half width of a 95 % interval in standard errors [Student 1908], by bisection of `_within`."""
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if _within(middle, degrees) > CONFIDENCE else (middle, high)
    return math.tan(low) * math.sqrt(degrees)


def _within(angle: float, degrees: int) -> float:
    """P(|t| < tan(angle)·√degrees) [Abramowitz, Stegun 1964, 26.7.3 and 26.7.4]; scipy's takes 0.1 s to import."""
    cosine, odd = math.cos(angle), degrees % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for power in range(1 + odd, degrees, 2):
        total += term
        term *= cosine**2 * power / (power + 1)
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total


class _Solution(NamedTuple):
    coefficients: Float[ndarray, 2]
    influence: Float[ndarray, "seed 2"]
    """of each data set on the coefficients"""
    sampling: Float[ndarray, 2]
    """variance of the coefficients from sampling alone"""


def _among(means: Means, chosen: Bool[ndarray, " point"]) -> Means:
    """The chosen points, of the data sets that are at all of them."""
    values = means.values[:, chosen]
    seeds = np.isfinite(values).all(axis=1)
    return Means.of(values[seeds], means.variances[:, chosen][seeds])


def _solution(
    coefficients: Float[ndarray, 2],
    by_mean: Float[ndarray, "2 point"],
    part: Means,
) -> _Solution:
    """`by_mean` are the derivatives of the coefficients by the means."""
    count = len(part.values)
    return _Solution(
        coefficients,
        (part.values - part.mean) @ by_mean.T / count,
        np.square(by_mean) @ part.variances.sum(axis=0) / count**2,
    )


def _line(x: Float[ndarray, " point"], part: Means) -> _Solution:
    solve = np.linalg.pinv(np.stack([np.ones(len(x)), x], axis=1))
    return _solution(solve @ part.mean, solve, part)


def _logarithmic(x: Float[ndarray, " point"], part: Means) -> _Solution:
    solve = np.linalg.pinv(np.stack([np.ones(len(x)), np.log(x)], axis=1))
    return _solution(solve @ np.log(np.abs(part.mean)), solve / part.mean, part)


def _additive(x: Float[ndarray, " point"], part: Means) -> _Solution:
    """Gauss-Newton from the best of many exponents, each with the size that suits it best."""
    middle, reach = float(np.log(x).mean()), float(np.ptp(np.log(x)))
    place = (np.log(x) - middle) / reach  # so that coefficients have a size that does not depend on the sweep
    tried = np.linspace(-_STEEPEST, _STEEPEST, _TRIED)
    shapes = np.exp(np.outer(tried, place))
    sizes = shapes @ part.mean / np.square(shapes).sum(axis=1)
    best = int(np.square(part.mean - sizes[:, None] * shapes).sum(axis=1).argmin())
    size, steepness = float(sizes[best]), float(tried[best])
    for _ in range(_REFINEMENTS):
        shape = np.exp(steepness * place)
        step = np.linalg.pinv(np.stack([shape, size * place * shape], axis=1)) @ (part.mean - size * shape)
        size, steepness = size + step[0], float(np.clip(steepness + step[1], -_STEEPEST, _STEEPEST))
    shape = np.exp(steepness * place)
    solve = np.linalg.pinv(np.stack([shape, size * place * shape], axis=1))
    slope = steepness / reach
    by_mean = np.stack([solve[0] / size - solve[1] * middle / reach, solve[1] / reach])
    return _solution(np.array([math.log(abs(size)) - slope * middle, slope]), by_mean, part)


_SOLVERS = {"line": _line, "logarithmic": _logarithmic, "additive": _additive}


def _summary(solution: _Solution, part: Means) -> LineFit:
    data_sets = len(part.values)
    spread = np.square(solution.influence).sum(axis=0) * data_sets / (data_sets - 1)
    reach = t_quantile(data_sets - 1) * np.sqrt(np.maximum(spread, solution.sampling))
    return LineFit(
        intercept=float(solution.coefficients[0]),
        slope=float(solution.coefficients[1]),
        intercept_reach=float(reach[0]),
        slope_reach=float(reach[1]),
        points=part.values.shape[1],
        data_sets=data_sets,
    )
