"""Verdicts on the theorems' reasons, which the prior's draws show: W's entries, the middle product."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from engine.analysis import laws
from engine.analysis.line_fit import (
    FEWEST_CLEAR,
    Law,
    LineFit,
    Means,
    bend,
    far_points,
    fit_law,
    t_quantile,
    upper_half,
)
from engine.analysis.theorems import WIDTH_EXPONENT
from engine.analysis.verdict import Verdict, course, left_out, plus_minus, too_few
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
    for part in ("row", "column"):
        yield _decay(
            experiment, results, f"W's entries become independent, in a {part}", f"{part}_dependence", dependence
        )


_IN_WORDS = {
    "excess_kurtosis": "excess kurtosis of an entry",
    "kolmogorov": "Kolmogorov distance of an entry from the normal",
    "row_dependence": "correlation of the squares of two entries of a row",
    "column_dependence": "correlation of the squares of two entries of a column",
}


def _decay(
    experiment: Experiment, results: Sequence[TrialResult], name: str, quantity: str, exact: Sequence[float] | None
) -> Verdict:
    """A power law of the width, over the wider half, and whether exact values are met."""
    x = np.array([point.model.width for point in experiment.points], dtype=np.float64)
    means = laws.measured(experiment, results, quantity)
    if why := too_few(means, "width", results):
        return Verdict(name, why, None)
    part = means.fitted()
    every, wide = part.with_errors(), far_points(x, part)
    words = f"{_IN_WORDS[quantity]} {course(x, part, 'width')}"
    if (part.beyond_zero() & wide).sum() < FEWEST_CLEAR:
        return Verdict(name, f"{words}; compatible with zero at most widths (95 %): no exponent", None)
    fit = fit_law(_power_law(part, wide), x, part, wide)
    exponent = fit.slope_interval
    if exponent.high >= 0:
        judged = "no approach to be seen"
    elif exponent.high < WIDTH_EXPONENT:
        judged = "faster than the theorem's k^(−1/2)"
    else:
        judged = "slower than the theorem's k^(−1/2)" if exponent.low > WIDTH_EXPONENT else "as the theorem's k^(−1/2)"
    where = " over the wider half" * bool(wide.sum() < every.sum())
    text = f"{words}, exponent {plus_minus(exponent)} (95 %){where}: {judged}"
    if (halves := bend(_power_law(part, every), x, part, every)) is not None:
        text += f"; {halves[0].slope:.2f} for narrow"
        text += "" if where else f", {halves[1].slope:.2f} for wide"
    if exact is not None:
        text += f"; {_agreement(means, np.array(exact))}"
    if any(not ACTIVATIONS[point.model.activation].antisymmetric for point in experiment.points):
        text += "; the theorem assumes an antisymmetric σ"
    return Verdict(name, "; ".join([text, *left_out(experiment, means)]), exponent)


def _power_law(means: Means, chosen: Bool[ndarray, " point"]) -> Law:
    """Of logarithms where all means are well away from zero: for the Gaussian prior their relative errors are alike."""
    return "logarithmic" if means.beyond_zero()[chosen].all() else "additive"


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
    part = means.fitted()
    every, deep = part.with_errors(), upper_half(x, part.with_errors())
    fit = fit_law("line", x, part, deep)
    falls = fit.slope_interval.high < 0
    text = (
        f"mean log(σ₂/σ₁) of W_(L−1)⋯W_2 {course(x, part, 'depth')}; {_rate(fit, every)} (95 %): "
        f"{f'a factor of {math.exp(fit.slope):.2f} a layer' if falls else 'no fall to be seen'}"
    )
    if (halves := bend("line", x, part, every)) is not None:
        text += f"; {halves[0].slope:.3f} over the shallower half"
    widths = {point.model.width for point in experiment.points}
    if _linear_gaussian(experiment.points) and len(widths) == 1 and min(widths) > 1:
        text += f"; theory, in the limit of depth: {laws.exact_ratio_rate(min(widths)):.3f}"
    yield Verdict(name, "; ".join([text, *left_out(experiment, means)]), fit.slope_interval)
    yield _far_from_rank_one(experiment, x, laws.measured(experiment, results, "far_from_rank_one"))


def _far_from_rank_one(experiment: Experiment, x: Float[ndarray, " point"], means: Means) -> Verdict:
    """P(σ₂/σ₁ > ½), whose logarithm the theorem's proof bounds by a line in the depth: a power law of e^L."""
    name, part = "the middle product is near rank one but for a probability e^(−Ω(L))", means.fitted()
    every, deep = part.with_errors(), far_points(x, part)
    if not every.any():
        return Verdict(name, "too few data sets", None)
    words = f"P(σ₂/σ₁ > ½) {course(x, part, 'depth')}"
    if (part.beyond_zero() & deep).sum() < FEWEST_CLEAR:
        return Verdict(name, f"{words}; seen at too few depths for a rate", None)
    fit = fit_law(_power_law(part, deep), np.exp(x), part, deep)
    text = f"{words}; its logarithm by {_rate(fit, every)} (95 %)"
    if (halves := bend(_power_law(part, every), np.exp(x), part, every)) is not None:
        text += f", {halves[0].slope:.3f} over the shallower half"
    return Verdict(name, "; ".join([text, *left_out(experiment, means)]), fit.slope_interval)


def _rate(fit: LineFit, every: Bool[ndarray, " point"]) -> str:
    where = " over the deeper half" * bool(fit.points < every.sum())
    return f"{plus_minus(fit.slope_interval)} a layer{where}"
