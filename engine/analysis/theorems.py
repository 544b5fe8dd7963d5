"""The width and the depth theorem as measurements on a sweep (Alexander, Slutzky, Ran-Milo, Cohen 2025).

Width: |P(L_gen < ε | L_train < ε_train) − P(L_gen < ε)| ≲ k^(−1/2), the first probability Guess & Check's, the second
the prior's. Depth: 1 − P(L_gen < c·ε_train | L_train < ε_train) = O(1/L) for some c.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from engine.analysis.line_fit import (
    FEWEST_DATA_SETS,
    FEWEST_POINTS,
    LineFit,
    Means,
    bend,
    fit_line,
    fit_power_law,
    weights,
)
from engine.analysis.tails import LAST_EDGE, loss_at, median_edge, nearest_edge, shares_below, unusable
from engine.results import TrialResult
from engine.spec.experiment import Experiment
from engine.spec.names import ACTIVATIONS
from engine.spec.settings import PointSettings

Theorem = Literal["width", "depth"]
DEFAULT_FACTOR = 2.0
"""c, of the bin edge nearest to it"""
WIDTH_EXPONENT = -0.5


@dataclass(frozen=True, eq=False)
class Measured:
    """What a sweep measures of a theorem, as far as it has come."""

    theorem: Theorem
    edge: int
    """index into `engine.results.HISTOGRAM_EDGES`"""
    threshold: float
    """the generalization loss at that edge: ε, or c·ε_train"""
    x: Float[ndarray, " point"]
    """width, or 1/depth"""
    means: Means
    """over data sets: the difference of the probabilities, or 1 − P"""
    fit: LineFit | None
    """width: of log|difference| against log width; depth: of 1 − P against 1/depth"""
    reference: float | None
    """factor of k^(−1/2), or of 1/L, that is nearest to the points; None without any"""
    verdict: str
    """what comes of it, or why nothing does yet"""
    caveats: tuple[str, ...] = ()

    def bound(self, x: Float[ndarray, " n"]) -> Float[ndarray, " n"] | None:
        """The bound's shape through the points, at widths or 1/depths; None without any."""
        if self.reference is None:
            return None
        return self.reference * (x**WIDTH_EXPONENT if self.theorem == "width" else x)

    def fitted(self, x: Float[ndarray, " n"]) -> Float[ndarray, " n"] | None:
        """The line fitted, as a power law for the width; None without one."""
        if self.fit is None:
            return None
        if self.theorem == "width":
            return np.asarray(np.exp(self.fit.intercept) * x**self.fit.slope)
        return self.fit.intercept + self.fit.slope * x


def theorem_of(experiment: Experiment) -> Theorem | None:
    """The theorem that a sweep can measure."""
    swept: dict[str | None, Theorem] = {"model.width": "width", "model.depth": "depth"}
    theorem = swept.get(experiment.over)
    wanted = {"gnc", "prior"} if theorem == "width" else {"gnc"}
    return theorem if wanted <= set(experiment.methods) else None


def default_edge(experiment: Experiment, results: Sequence[TrialResult]) -> int:
    """Width: at the prior's median, which depends on no difference; depth: at twice ε_train."""
    if theorem_of(experiment) == "width":
        edge = median_edge(results, "prior")
        return nearest_edge(1.0) if edge is None else edge
    return nearest_edge(DEFAULT_FACTOR * experiment.points[0].gnc.eps_train)


def measure(experiment: Experiment, results: Sequence[TrialResult], edge: int | None = None) -> Measured | None:
    """None if the experiment sweeps neither width nor depth with the methods it takes."""
    theorem = theorem_of(experiment)
    if theorem is None:
        return None
    edge = min(max(1, default_edge(experiment, results) if edge is None else edge), LAST_EDGE)
    given, variances = shares_below(experiment, results, "gnc", edge)
    if theorem == "width":
        unconditioned, more = shares_below(experiment, results, "prior", edge)
        values, variances = given - unconditioned, variances + more
        x = np.array([point.model.width for point in experiment.points], dtype=np.float64)
        left_out = unusable(results, ("gnc", "prior"))
    else:
        values = 1 - given
        x = np.array([1 / point.model.depth for point in experiment.points])
        left_out = unusable(results, ("gnc",))
    means = Means.of(values, np.where(np.isfinite(values), variances, np.nan))
    fit, verdict = (_width if theorem == "width" else _depth)(x, means)
    caveats = list(_unmet(theorem, experiment.points))
    if left_out:
        caveats.append(f"{left_out} trial{'s' * (left_out > 1)} without a reliable histogram left out")
    return Measured(
        theorem=theorem,
        edge=edge,
        threshold=loss_at(edge),
        x=x,
        means=means,
        fit=fit,
        reference=_reference(theorem, x, means),
        verdict=verdict,
        caveats=tuple(caveats),
    )


def _too_few(means: Means, what: str) -> str:
    """Why no line can be fitted; empty if one can."""
    if not means.count.any():
        return f"no {what} is done yet"
    enough = int(means.with_errors().sum())
    if enough >= FEWEST_POINTS:
        return ""
    most = int(means.count.max())
    if most < FEWEST_DATA_SETS:
        return f"{most} data set{'s' * (most > 1)} so far: no error bar, so no fit (it takes {FEWEST_DATA_SETS})"
    return (
        f"{enough} {what}{'s' * (enough > 1)} with {FEWEST_DATA_SETS} data sets or more: too few for a fit "
        f"(it takes {FEWEST_POINTS})"
    )


def _width(x: Float[ndarray, " point"], means: Means) -> tuple[LineFit | None, str]:
    if why := _too_few(means, "width"):
        return None, why
    candidates, clear = means.with_errors(), means.beyond_zero()
    compatible = int(candidates.sum() - clear.sum())
    if clear.sum() < FEWEST_POINTS:
        return None, (
            f"{compatible} of {candidates.sum()} differences are compatible with zero (95 %): no exponent; "
            "more data sets or another ε may help"
        )
    if len(set(np.sign(means.mean[clear]).tolist())) > 1:
        return None, "the difference changes its sign over the widths: no power law, no exponent"
    fit = fit_power_law(x, means, clear)
    low, high = fit.slope - fit.slope_reach, fit.slope + fit.slope_reach
    if high < WIDTH_EXPONENT:
        judged = "faster than the bound k^(−1/2)"
    elif low > WIDTH_EXPONENT:
        judged = "slower than k^(−1/2) at these widths; the bound is one for large k"
    else:
        judged = "compatible with k^(−1/2)"
    verdict = f"exponent {fit.slope:.2f} ± {fit.slope_reach:.2f} (95 %): {judged}"
    if (halves := bend(x, means, clear)) is not None:
        verdict += f"; not one power law: {halves[0]:.2f} for narrow, {halves[1]:.2f} for wide"
    if compatible:
        verdict += f"; {compatible} compatible with zero left out, so the decay may be faster"
    return fit, verdict


def _depth(x: Float[ndarray, " point"], means: Means) -> tuple[LineFit | None, str]:
    if why := _too_few(means, "depth"):
        return None, why
    chosen = means.with_errors()
    if not means.beyond_zero().any():
        return None, "1 − P is compatible with zero at every depth (95 %): nothing to fit; a smaller c shows more"
    fit = fit_line(x, means, chosen)
    law = (
        f"1 − P = {fit.intercept:.2f} ± {fit.intercept_reach:.2f} + ({fit.slope:.2f} ± {fit.slope_reach:.2f})/depth "
        "(95 %): "
    )
    if abs(fit.slope) <= fit.slope_reach:
        return fit, law + "no dependence on depth to be seen"
    if fit.slope < 0:
        return fit, law + "grows with depth, against the bound for this c"
    if fit.intercept > fit.intercept_reach:
        return fit, law + "a limit above 0, so this c is too small for the bound (theory: for some c)"
    if fit.intercept < -fit.intercept_reach:
        return fit, law + "falls faster than the bound 1/depth at these depths"
    return fit, law + "compatible with the bound 1/depth, which has the limit 0"


def _reference(theorem: Theorem, x: Float[ndarray, " point"], means: Means) -> float | None:
    """Of a bound's shape, the factor that least squares give: of logarithms for the width, else of the means."""
    if theorem == "width":
        chosen = means.beyond_zero()
        if not chosen.any():
            return None
        heights = np.log(np.abs(means.mean[chosen])) - WIDTH_EXPONENT * np.log(x[chosen])
        weight = weights(means.standard_error[chosen] / np.abs(means.mean[chosen]))
        return float(np.exp(np.average(heights, weights=weight)))
    chosen = means.with_errors()
    if not chosen.any():
        return None
    weight = weights(means.standard_error[chosen])
    return float((weight * x[chosen] * means.mean[chosen]).sum() / (weight * x[chosen] ** 2).sum())


def _unmet(theorem: Theorem, points: Sequence[PointSettings]) -> Iterable[str]:
    """Assumptions of the theorem that the experiment doesn't meet."""
    if theorem == "width":
        if any(not ACTIVATIONS[point.model.activation].antisymmetric for point in points):
            yield "the theorem assumes an antisymmetric σ"
        return
    conditions = {
        "linear σ": all(point.model.activation == "linear" for point in points),
        "rank one": all(point.problem.rank == 1 for point in points),
        "a normalized W": all(point.gnc.normalize for point in points),
        "a Gaussian prior": all(point.gnc.prior == "gaussian" for point in points),
    }
    missing = [name for name, met in conditions.items() if not met]
    if missing:
        yield f"the theorem assumes {', '.join(missing)}"
    if len({point.gnc.eps_train for point in points}) > 1:
        yield "ε_train differs between the depths, so c does too"
