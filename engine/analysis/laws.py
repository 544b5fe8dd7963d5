"""What `gnc.measure_laws` stored, over a sweep, and the exact values where there are some. Plain numpy.

Exact, for Gaussian weights and linear σ: with h_l a column of W_l ⋯ W_1, ‖h_l‖² is ‖h_{l−1}‖² times a χ²_k that is
independent of it, and E(χ²_k)²/(E χ²_k)² = 1 + 2/k. An entry of W is N(0, s) given s ∝ ‖h_{L−1}‖², so with
q = (1 + 2/k)^{L−1} its fourth moment is 3qν², ν its variance; two entries of a column share s and are independent given
it, so the product of their squares has the mean qν². Rows are as columns: the transpose's law is of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from engine.analysis.line_fit import Means
from engine.results import Estimate, LawRecord, TrialResult, place
from engine.spec.experiment import Experiment


def _entry(name: str) -> Callable[[LawRecord], Estimate | None]:
    return lambda record: None if record.entries is None else getattr(record.entries, name)


def _middle(name: str) -> Callable[[LawRecord], Estimate | None]:
    return lambda record: None if record.middle is None else getattr(record.middle, name)


QUANTITIES: Mapping[str, Callable[[LawRecord], Estimate | None]] = {
    "excess_kurtosis": _entry("excess_kurtosis"),
    "row_dependence": _entry("row_dependence"),
    "column_dependence": _entry("column_dependence"),
    "kolmogorov": _entry("kolmogorov"),
    "log_ratio": _middle("log_ratio"),
    "far_from_rank_one": _middle("far_from_rank_one"),
}
"""the numbers of `EntryLaw` and `MiddleLaw` that have a standard error, by their names"""


def measured(experiment: Experiment, results: Sequence[TrialResult], quantity: str) -> Means:
    """One of `QUANTITIES` over the trials of each sweep point: they differ in their draws only."""
    values = np.full((experiment.seeds, len(experiment.points)), np.nan)
    variances = np.full_like(values, np.nan)
    for result in results:
        estimate = None if result.laws is None else QUANTITIES[quantity](result.laws)
        if estimate is not None:
            trial = place(experiment, result)
            values[trial], variances[trial] = estimate.value, estimate.standard_error**2
    return Means.of(values, variances)


def remarks(results: Sequence[TrialResult]) -> tuple[str, ...]:
    """Why laws that were asked for are missing somewhere, each reason once."""
    return tuple(dict.fromkeys(remark for result in results if result.laws for remark in result.laws.remarks))


def exact_excess_kurtosis(width: int, depth: int) -> float:
    """Of an entry of W, 3(q − 1): 6/k at depth 2. Gaussian weights, linear σ."""
    return 3 * (_q(width, depth) - 1)


def exact_square_correlation(width: int, depth: int) -> float:
    """Between the squares of two entries of a row or of a column, (q − 1)/(3q − 1): 1/(k + 3) at depth 2."""
    q = _q(width, depth)
    return (q - 1) / (3 * q - 1)


def _q(width: int, depth: int) -> float:
    return float((1 + 2 / width) ** (depth - 1))


def exact_ratio_rate(width: int) -> float:
    """The limit of log(σ₂/σ₁)/n for products of n Gaussian k×k matrices, λ_2 − λ_1 = ½(ψ((k−1)/2) − ψ(k/2)).

    Applied to a frame, factor by factor with QR decompositions between, each R has independent χ_k, χ_{k−1}, … on its
    diagonal; the Lyapunov exponents are their mean logarithms, λ_i = ½(log 2 + ψ((k−i+1)/2)) [Newman 1986].
    """
    from scipy.special import digamma  # here: most who read results never need it, and would wait 0.1 s for it

    return float(digamma((width - 1) / 2) - digamma(width / 2)) / 2
