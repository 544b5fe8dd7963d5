"""Verdicts on the theorems' reasons, which the prior's draws show: W's entries, the middle product."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from engine.analysis import laws
from engine.analysis.line_fit import FEWEST_POINTS, LineFit, Means, bend, fit_line, fit_power_law, t_quantile
from engine.analysis.theorems import WIDTH_EXPONENT
from engine.analysis.verdict import Verdict, course, digits, places, slope, too_few
from engine.results import TrialResult
from engine.spec.experiment import Experiment
from engine.spec.names import ACTIVATIONS
from engine.spec.settings import PointSettings


def _measures_laws(experiment: Experiment) -> bool:
    return "prior" in experiment.methods and any(point.gnc.measure_laws for point in experiment.points)


def entries(experiment: Experiment, results: Sequence[TrialResult]) -> Iterator[Verdict]:
    """W's entries against i.i.d. Gaussian, over a sweep of the width."""
    if experiment.over != "model.width" or not _measures_laws(experiment):
        return
    exact = _linear_gaussian(experiment.points)
    kurtosis = [laws.exact_excess_kurtosis(p.model.width, p.model.depth) for p in experiment.points] if exact else None
    dependence = (
        [laws.exact_square_correlation(p.model.width, p.model.depth) for p in experiment.points] if exact else None
    )
    yield _decay(experiment, results, "W's entries become Gaussian", "excess_kurtosis", kurtosis)
    if experiment.points[0].gnc.prior == "gaussian":
        yield _decay(experiment, results, "W's entries become Gaussian, as a distance", "kolmogorov", None)
    yield _decay(experiment, results, "W's entries become independent", "row_dependence", dependence)


_IN_WORDS = {
    "excess_kurtosis": "excess kurtosis of an entry",
    "kolmogorov": "Kolmogorov distance of an entry from the normal",
    "row_dependence": "correlation of the squares of two entries of a row",
}


def _decay(
    experiment: Experiment, results: Sequence[TrialResult], name: str, quantity: str, exact: Sequence[float] | None
) -> Verdict:
    """A power law of the width, and whether exact values are met."""
    x = np.array([point.model.width for point in experiment.points], dtype=np.float64)
    means = laws.measured(experiment, results, quantity)
    if why := too_few(means, "width", results):
        return Verdict(name, why, None)
    clear = means.beyond_zero()
    words = f"{_IN_WORDS[quantity]} {course(x, means, 'width')}"
    if clear.sum() < FEWEST_POINTS:
        return Verdict(name, f"{words}; compatible with zero at most widths (95 %): no exponent", None)
    fit = fit_power_law(x, means, clear)
    low, high = fit.slope - fit.slope_reach, fit.slope + fit.slope_reach
    if low > 0 or (low <= 0 <= high):
        judged = "no approach to be seen"
    elif high < WIDTH_EXPONENT:
        judged = "faster than the theorem's k^(−1/2)"
    else:
        judged = "slower than the theorem's k^(−1/2)" if low > WIDTH_EXPONENT else "as the theorem's k^(−1/2)"
    text = f"{words}, exponent {fit.slope:.{places(fit.slope_reach)}f} ± {digits(fit.slope_reach)} (95 %): {judged}"
    if (halves := bend(x, means, clear)) is not None:
        text += f"; {halves[0]:.2f} for narrow, {halves[1]:.2f} for wide"
    if exact is not None:
        text += f"; {_agreement(means, np.array(exact))}"
    if any(not ACTIVATIONS[point.model.activation].antisymmetric for point in experiment.points):
        text += "; the theorem assumes an antisymmetric σ"
    return Verdict(name, text, slope(fit))


def _linear_gaussian(points: Sequence[PointSettings]) -> bool:
    return all(point.model.activation == "linear" and point.gnc.prior == "gaussian" for point in points)


def _agreement(means: Means, exact: Float[ndarray, " point"]) -> str:
    """How the means lie to exact values."""
    chosen = means.with_errors()
    errors = np.abs(means.mean - exact)[chosen] / means.standard_error[chosen]
    reaches = [t_quantile(int(count) - 1) for count in means.count[chosen]]
    inside = int((errors <= reaches).sum())
    return f"the exact values lie in {inside} of {len(errors)} intervals"


def middle(experiment: Experiment, results: Sequence[TrialResult]) -> Iterator[Verdict]:
    """log(σ₂/σ₁) of W_{L−1} ⋯ W_2 against the depth, and how often that is far from rank one."""
    if experiment.over != "model.depth" or not _measures_laws(experiment):
        return
    if any(point.model.activation != "linear" for point in experiment.points):
        return
    x = np.array([point.model.depth for point in experiment.points], dtype=np.float64)
    name, means = "the middle product's rank falls to one", laws.measured(experiment, results, "log_ratio")
    if why := too_few(means, "depth", results):
        yield Verdict(name, why, None)
        return
    shallow, deep = _halves(x, means.with_errors())
    fit = fit_line(x, means, deep)
    falls = fit.slope + fit.slope_reach < 0
    text = (
        f"mean log(σ₂/σ₁) of W_(L−1)⋯W_2 {course(x, means, 'depth')}; {_rate(fit)} (95 %): "
        f"{f'a factor of {math.exp(fit.slope):.2f} a layer' if falls else 'no fall to be seen'}"
    )
    if shallow.sum() >= FEWEST_POINTS:
        text += f"; {fit_line(x, means, shallow).slope:.3f} over the shallower half"
    widths = {point.model.width for point in experiment.points}
    if _linear_gaussian(experiment.points) and len(widths) == 1 and min(widths) > 1:
        text += f"; theory, in the limit of depth: {laws.exact_ratio_rate(min(widths)):.3f}"
    yield Verdict(name, text, slope(fit))
    yield _far_from_rank_one(x, laws.measured(experiment, results, "far_from_rank_one"))


def _far_from_rank_one(x: Float[ndarray, " point"], means: Means) -> Verdict:
    """P(σ₂/σ₁ > ½), whose logarithm the theorem's proof bounds by a line in the depth."""
    name = "the middle product is near rank one but for a probability e^(−Ω(L))"
    shown = means.mean > 0
    words = f"P(σ₂/σ₁ > ½) {course(x, means, 'depth')}"
    seen = np.where(np.isfinite(means.values), means.values > 0, True).all(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = Means.of(np.where(seen & shown, np.log(means.values), np.nan))
    chosen = logarithms.with_errors()
    if chosen.sum() < FEWEST_POINTS:
        return Verdict(name, f"{words}; seen at too few depths for a rate", None)
    shallow, deep = _halves(x, chosen)
    fit = fit_line(x, logarithms, deep)
    text = f"{words}; its logarithm by {_rate(fit)} (95 %)"
    if shallow.sum() >= FEWEST_POINTS:
        text += f", {fit_line(x, logarithms, shallow).slope:.3f} over the shallower half"
    return Verdict(name, text, slope(fit))


def _rate(fit: LineFit) -> str:
    return f"{fit.slope:.{places(fit.slope_reach)}f} ± {digits(fit.slope_reach)} a layer over the deeper half"


def _halves(
    x: Float[ndarray, " point"], chosen: Bool[ndarray, " point"]
) -> tuple[Bool[ndarray, " point"], Bool[ndarray, " point"]]:
    """The lower and the upper points; all of them are upper where half would be too few for a line.

    The statements are about the limit of depth, and the first layers behave otherwise.
    """
    where = np.flatnonzero(chosen)
    where = where[np.argsort(x[where])]
    half = len(where) // 2 if len(where) >= 2 * FEWEST_POINTS else 0
    lower, upper = np.zeros_like(chosen), np.zeros_like(chosen)
    lower[where[:half]], upper[where[half:]] = True, True
    return lower, upper
