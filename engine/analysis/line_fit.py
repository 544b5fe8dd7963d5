"""Straight lines through means over data sets, with errors from the spread between the data sets.

The same data sets are used at every sweep point, so that errors at different points are not independent. Each data set
is therefore one observation of the whole line: the coefficients' covariance is the sum over data sets of their squared
influence (delta method; for n data sets at every point, the variance of n independent lines' mean, n − 1 degrees of
freedom).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from engine.results import CONFIDENCE

FEWEST_DATA_SETS = 3
"""with two, a 95 % interval is 13 standard errors wide on either side"""
FEWEST_POINTS = 3
"""two points always lie on a line"""
_SMALLEST_ERROR = 0.1
"""of the median error: a few data sets that agree by chance must not decide the line alone"""


@dataclass(frozen=True, eq=False)
class Means:
    """Over the data sets, at each sweep point."""

    values: Float[ndarray, "seed point"]
    """NaN where a trial is missing"""
    mean: Float[ndarray, " point"]
    """NaN where all are"""
    standard_error: Float[ndarray, " point"]
    """of the mean: from the spread, or from sampling where that is more; NaN with fewer than two data sets"""
    sampling_error: Float[ndarray, " point"]
    """of the mean, from the finite samples alone; the spread between data sets has it in it, but for chance"""
    count: Int[ndarray, " point"]

    @staticmethod
    def of(values: Float[ndarray, "seed point"], variances: Float[ndarray, "seed point"] | None = None) -> Means:
        """`variances` are the values' own, from sampling; exact values have none."""
        count = np.isfinite(values).sum(axis=0)
        filled = np.where(np.isfinite(values), values, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = filled.sum(axis=0) / count
            squares = np.where(np.isfinite(values), values - mean, 0.0) ** 2
            sampling = np.sqrt(np.zeros(len(count)) if variances is None else np.nansum(variances, axis=0)) / count
            spread = np.sqrt(squares.sum(axis=0) / (count - 1) / count)
            error = np.where(count > 1, np.maximum(spread, sampling), np.nan)
        return Means(values, mean, error, sampling, count)

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


@dataclass(frozen=True)
class LineFit:
    """`intercept` + `slope`·x, each with the half width of its 95 % interval."""

    intercept: float
    slope: float
    intercept_reach: float
    slope_reach: float
    points: int
    data_sets: int
    """at the point that has the fewest"""


def fit_line(x: Float[ndarray, " point"], means: Means, chosen: Bool[ndarray, " point"]) -> LineFit:
    """mean = intercept + slope·x over the chosen points, weighted by their errors."""
    return _summary(_solve(_plain(x, means), chosen), means, chosen)


def fit_power_law(x: Float[ndarray, " point"], means: Means, chosen: Bool[ndarray, " point"]) -> LineFit:
    """log|mean| = intercept + slope·log x; the slope is the exponent. No mean among the chosen may be zero."""
    return _summary(_solve(_logarithmic(x, means), chosen), means, chosen)


def bend(x: Float[ndarray, " point"], means: Means, chosen: Bool[ndarray, " point"]) -> tuple[float, float] | None:
    """The exponents of the lower and of the upper half of the points, if they differ (95 %).

    None if they don't, or if there are fewer than four points. An odd number of points has its middle in both halves.
    """
    places = np.flatnonzero(chosen)
    if len(places) <= FEWEST_POINTS:
        return None
    places, half = places[np.argsort(x[places])], (len(places) + 1) // 2
    line, solved = _logarithmic(x, means), []
    for members in (places[:half], places[-half:]):
        part = np.zeros(len(chosen), dtype=np.bool_)
        part[members] = True
        solved.append(_solve(line, part))
    low, high = solved
    difference = _Solution(
        high.coefficients - low.coefficients, high.influence - low.influence, high.sampling + low.sampling
    )
    summary = _summary(difference, means, chosen)
    return (
        (float(low.coefficients[1]), float(high.coefficients[1])) if abs(summary.slope) > summary.slope_reach else None
    )


def weights(errors: Float[ndarray, " point"]) -> Float[ndarray, " point"]:
    """Inverse squares, none from an error that is small by chance; all alike if all errors are zero."""
    floor = _SMALLEST_ERROR * float(np.median(errors))
    if floor <= 0:
        floor = float(errors.max(initial=0.0)) or 1.0
    return np.asarray(1 / np.maximum(errors, floor) ** 2)


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


class _Line(NamedTuple):
    """What a straight line is fitted to, at every point."""

    x: Float[ndarray, " point"]
    height: Float[ndarray, " point"]
    error: Float[ndarray, " point"]
    shift: Float[ndarray, "seed point"]
    """by how much each data set moves the height"""
    sampling: Float[ndarray, " point"]
    """the part of the error that sampling makes"""


class _Solution(NamedTuple):
    coefficients: Float[ndarray, 2]
    influence: Float[ndarray, "seed 2"]
    """of each data set on the coefficients"""
    sampling: Float[ndarray, 2]
    """variance of the coefficients from sampling alone"""


def _plain(x: Float[ndarray, " point"], means: Means) -> _Line:
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = np.nan_to_num((means.values - means.mean) / means.count)
    return _Line(x, means.mean, means.standard_error, shift, means.sampling_error)


def _logarithmic(x: Float[ndarray, " point"], means: Means) -> _Line:
    line = _plain(x, means)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.abs(means.mean)
        return _Line(
            np.log(x), np.log(size), line.error / size, np.nan_to_num(line.shift / means.mean), line.sampling / size
        )


def _solve(line: _Line, chosen: Bool[ndarray, " point"]) -> _Solution:
    design = np.stack([np.ones(int(chosen.sum())), line.x[chosen]])
    weighted = design * weights(line.error[chosen])
    solve = np.linalg.solve(weighted @ design.T, weighted)
    sampling = np.square(solve) @ np.square(line.sampling[chosen])
    return _Solution(solve @ line.height[chosen], line.shift[:, chosen] @ solve.T, sampling)


def _summary(solution: _Solution, means: Means, chosen: Bool[ndarray, " point"]) -> LineFit:
    data_sets = int(means.count[chosen].min())
    spread = np.square(solution.influence).sum(axis=0) * data_sets / (data_sets - 1)
    reach = t_quantile(data_sets - 1) * np.sqrt(np.maximum(spread, solution.sampling))
    return LineFit(
        intercept=float(solution.coefficients[0]),
        slope=float(solution.coefficients[1]),
        intercept_reach=float(reach[0]),
        slope_reach=float(reach[1]),
        points=int(chosen.sum()),
        data_sets=data_sets,
    )
