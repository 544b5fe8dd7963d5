"""The width and the depth theorem as measurements on a sweep (Alexander, Slutzky, Ran-Milo, Cohen 2025).

Width: |P(L_gen < ε | L_train < ε_train) − P(L_gen < ε)| ≲ k^(−1/2), the first probability Guess & Check's, the second
the prior's. Depth: 1 − P(L_gen < c·ε_train | L_train < ε_train) = O(1/L) for some c. Both are about a limit, so
laws are fitted to the wider, or deeper, half of a sweep that has points enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from engine.analysis.line_fit import (
    FEWEST_CLEAR,
    FEWEST_DATA_SETS,
    FEWEST_POINTS,
    LineFit,
    Means,
    bend,
    far_points,
    fit_law,
    upper_half,
)
from engine.analysis.tails import (
    LAST_EDGE,
    loss_at,
    median_edge,
    nearest_edge,
    shares_below,
    single_data_sets,
    unusable,
)
from engine.analysis.verdict import left_out, two
from engine.results import Interval, TrialResult
from engine.spec.experiment import Experiment
from engine.spec.names import ACTIVATIONS
from engine.spec.settings import PointSettings

Theorem = Literal["width", "depth"]
FIRST_FACTOR = 1.0
"""the smallest c that is looked at where none is given, of the bin edge nearest to it"""
OTHER_FACTORS = (-6, -3, 3)
"""edges away from the c that was found, at which the limit is told as well: factors of 0.18, 0.42 and 2.4"""
WIDTH_EXPONENT = -0.5
MORE_THAN_MEAN = 2.0
"""times the mean difference: data sets that differ by more, of both signs, are told"""


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
    """width: the power law of |difference|; depth: 1 − P against 1/depth"""
    reference: float | None
    """factor of k^(−1/2), or of 1/L, that is nearest to the points; None without any"""
    verdict: str
    """what comes of it, or why nothing does yet"""
    searched: tuple[str, ...] = ()
    """depth, where c was not given: how it was found, and the limits at other c"""
    caveats: tuple[str, ...] = ()

    @property
    def estimate(self) -> Interval | None:
        """What decides, with its 95 % interval: the exponent, or the limit of 1 − P as the depth grows."""
        if self.fit is None:
            return None
        return self.fit.slope_interval if self.theorem == "width" else self.fit.intercept_interval

    @property
    def fitted_half(self) -> str:
        """Which half of the sweep the law was fitted to, for a legend; empty for all of it."""
        if self.fit is None or self.fit.points == self.means.fitted().with_errors().sum():
            return ""
        return ", wider half" if self.theorem == "width" else ", deeper half"

    def bound(self, x: Float[ndarray, " n"]) -> Float[ndarray, " n"] | None:
        """The bound's shape through the points, at widths or 1/depths; None without any."""
        return None if self.reference is None else self.reference * _shape(self.theorem, x)

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
    """Width: at the prior's median, which depends on no difference; depth: of the smallest c that may do."""
    if theorem_of(experiment) == "width":
        edge = median_edge(results, "prior")
        return nearest_edge(1.0) if edge is None else edge
    return _smallest_factor(experiment, results)


def _smallest_factor(experiment: Experiment, results: Sequence[TrialResult]) -> int:
    """The first edge from `FIRST_FACTOR` up where the limit of 1 − P is compatible with 0; the first without a fit.

    1 − P falls with c, and so does its limit. Tests in this order, up to the first that does not reject, need no
    correction for their number [Maurer, Hothorn, Lehmacher 1995]: with 97.5 %, no smaller c has the limit 0.
    """
    first = _first_edge(experiment)
    for edge in range(first, LAST_EDGE + 1):
        limit = _limit(_quantity(experiment, results, edge))
        if limit is None:
            return first
        if limit.low <= 0:
            return edge
    return LAST_EDGE


def _first_edge(experiment: Experiment) -> int:
    return nearest_edge(FIRST_FACTOR * experiment.points[0].gnc.eps_train)


def _limit(quantity: _Quantity) -> Interval | None:
    """Of 1 − P as the depth grows; None without a fit."""
    if _too_few(quantity, "depth"):
        return None
    return fit_law("line", quantity.x, quantity.part, _deep(quantity)).intercept_interval


def measure(experiment: Experiment, results: Sequence[TrialResult], edge: int | None = None) -> Measured | None:
    """None if the experiment sweeps neither width nor depth with the methods it takes.

    Without an `edge` it is the default one, and for the depth the verdict says how that was found.
    """
    theorem = theorem_of(experiment)
    if theorem is None:
        return None
    at = min(max(1, default_edge(experiment, results) if edge is None else edge), LAST_EDGE)
    quantity = _quantity(experiment, results, at)
    fit, verdict = (_width if theorem == "width" else _depth)(quantity)
    if theorem == "depth" and not _too_few(quantity, "depth"):
        verdict = f"c = {_factor(experiment, at):.2g}: {verdict}"
    caveats = [*_unmet(theorem, experiment.points), *left_out(experiment, quantity.means)]
    if lost := unusable(results, ("gnc", "prior") if theorem == "width" else ("gnc",)):
        caveats.append(f"{lost} trial{'s' * (lost > 1)} without a reliable histogram left out")
    if theorem == "width":
        caveats += _of_both_signs(quantity)
    return Measured(
        theorem=theorem,
        edge=at,
        threshold=loss_at(at),
        x=quantity.x,
        means=quantity.means,
        fit=fit,
        reference=_reference(theorem, quantity),
        verdict=verdict,
        searched=tuple(_how_found(experiment, results, at)) if theorem == "depth" and edge is None else (),
        caveats=tuple(caveats),
    )


class _Quantity(NamedTuple):
    """What a theorem bounds, at one edge."""

    x: Float[ndarray, " point"]
    means: Means
    part: Means
    """what is fitted of it: `Means.fitted`"""


def _quantity(experiment: Experiment, results: Sequence[TrialResult], edge: int) -> _Quantity:
    given, variances = shares_below(experiment, results, "gnc", edge)
    if theorem_of(experiment) == "depth":
        x = np.array([1 / point.model.depth for point in experiment.points])
        means = Means.of(1 - given, variances)
    else:
        unconditioned, more = shares_below(experiment, results, "prior", edge)
        x = np.array([point.model.width for point in experiment.points], dtype=np.float64)
        means = Means.of(given - unconditioned, variances + more)
    return _Quantity(x, means, means.fitted())


def _deep(quantity: _Quantity) -> Bool[ndarray, " point"]:
    """The points that the depth's line is fitted to."""
    return upper_half(1 / quantity.x, quantity.part.with_errors())


def _too_few(quantity: _Quantity, what: str) -> str:
    """Why no line can be fitted; empty if one can."""
    count = quantity.means.count
    if not count.any():
        return f"no {what} is done yet"
    if (most := int(count.max())) < FEWEST_DATA_SETS:
        return f"{most} data set{'s' * (most > 1)} so far: no error bar, so no fit (it takes {FEWEST_DATA_SETS})"
    enough = int(quantity.part.with_errors().sum())
    if enough >= FEWEST_POINTS:
        return ""
    return (
        f"{enough} {what}{'s' * (enough != 1)} with the same {FEWEST_DATA_SETS} data sets or more: too few for a fit "
        f"(it takes {FEWEST_POINTS})"
    )


def _width(quantity: _Quantity) -> tuple[LineFit | None, str]:
    if why := _too_few(quantity, "width"):
        return None, why
    x, _, part = quantity
    every, clear = part.with_errors(), part.beyond_zero()
    if clear.sum() < FEWEST_CLEAR:
        return None, (
            f"{every.sum() - clear.sum()} of {every.sum()} differences are compatible with zero (95 %): no exponent; "
            "more data sets or another ε may help"
        )
    if len(set(np.sign(part.mean[clear]).tolist())) > 1:
        return None, "the difference changes its sign over the widths: no power law, no exponent"
    far = far_points(x, part)
    halved = bool(far.sum() < every.sum())
    fit = fit_law("additive", x, part, far)
    if fit.slope_interval.high < WIDTH_EXPONENT:
        judged = "faster than the bound k^(−1/2)"
    elif fit.slope_interval.low > WIDTH_EXPONENT:
        judged = "slower than k^(−1/2) at these widths; the bound is one for large k"
    else:
        judged = "compatible with k^(−1/2)"
    verdict = f"exponent {two(fit.slope_interval)} (95 %){' over the wider half' * halved}: {judged}"
    if (halves := bend("additive", x, part, every)) is not None:
        verdict += f"; not one power law: {two(halves[0].slope_interval)} for narrow"
        verdict += "" if halved else f", {two(halves[1].slope_interval)} for wide"
    return fit, verdict


def _depth(quantity: _Quantity) -> tuple[LineFit | None, str]:
    if why := _too_few(quantity, "depth"):
        return None, why
    x, _, part = quantity
    every, deep = part.with_errors(), _deep(quantity)
    if not part.beyond_zero().any():
        return None, "1 − P is compatible with zero at every depth (95 %): nothing to fit; a smaller c shows more"
    fit = fit_law("line", x, part, deep)
    limit, slope = fit.intercept_interval, fit.slope_interval
    if slope.low <= 0 <= slope.high:
        judged = "no dependence on depth to be seen"
    elif slope.high < 0:
        judged = "grows with depth, against the bound for this c"
    elif limit.low > 0:
        judged = "a limit above 0, so this c is too small for the bound (theory: for some c)"
    elif limit.high < 0:
        judged = "falls faster than the bound 1/depth at these depths"
    else:
        judged = "compatible with the bound 1/depth, which has the limit 0"
    where = " over the deeper half" * bool(deep.sum() < every.sum())
    verdict = f"1 − P = {two(limit)} + ({two(slope)})/depth (95 %){where}: {judged}"
    if (halves := bend("line", x, part, every)) is not None:  # as it must somewhere: 1 − P is at most 1
        verdict += f"; not one line: slope {two(halves[1].slope_interval)} for shallow"
        verdict += "" if where else f", {two(halves[0].slope_interval)} for deep"
    return fit, verdict


def _factor(experiment: Experiment, edge: int) -> float:
    """c at an edge; where ε_train differs between the depths, of the first."""
    return loss_at(edge) / experiment.points[0].gnc.eps_train


def _how_found(experiment: Experiment, results: Sequence[TrialResult], edge: int) -> Iterator[str]:
    """What was seen at other c than the smallest that may do; nothing where no line can be fitted yet."""
    first = _first_edge(experiment)
    if edge > first:
        yield (
            f"this c was searched for: at all from c = {_factor(experiment, first):.2g} to "
            f"{_factor(experiment, edge - 1):.2g} the limit is above 0 (97.5 % for all)"
        )
    elsewhere = [edge + step for step in OTHER_FACTORS if first <= edge + step <= LAST_EDGE]
    limits = [(at, _limit(_quantity(experiment, results, at))) for at in elsewhere]
    others = [f"{two(limit)} at c = {_factor(experiment, at):.2g}" for at, limit in limits if limit is not None]
    if others:
        yield f"limits: {', '.join(others)}"


def _shape(theorem: Theorem, x: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """Of the bound, at widths or 1/depths."""
    return np.asarray(x**WIDTH_EXPONENT if theorem == "width" else x)


def _reference(theorem: Theorem, quantity: _Quantity) -> float | None:
    """Of the bound's shape, the factor that least squares give, without its sign."""
    part, chosen = quantity.part, quantity.part.with_errors()
    if not chosen.any():
        return None
    shape = _shape(theorem, quantity.x[chosen])
    return abs(float(shape @ part.mean[chosen] / (shape @ shape)))


def _of_both_signs(quantity: _Quantity) -> Iterator[str]:
    """At the widest point: the theorem bounds the difference of every data set, and a mean may hide them."""
    part = quantity.part
    if not part.with_errors().any():
        return
    widest = max(np.flatnonzero(part.with_errors()).tolist(), key=lambda point: float(quantity.x[point]))
    single = single_data_sets(part.values[:, widest], part.variances[:, widest])
    if single.apart and single.size > MORE_THAN_MEAN * abs(part.mean[widest]):
        yield (
            f"at width {quantity.x[widest]:g} single data sets differ by {single.size:.2g} on average, of both signs: "
            "the theorem bounds each, and the mean hides it"
        )


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
