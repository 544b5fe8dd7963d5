"""Why the theorems hold, measured on the prior: W's entries near i.i.d. Gaussian, the middle product near rank one.

Both are properties of the prior alone: they know no data set, and have draws of their own, from a stream of their own,
on the CPU whatever the device.

Entries (of W before normalization). Given the last features, the rows of W are independent N(0, K), K = CCᵀ as in
`engine.samplers.collapse`; so for the Gaussian prior the moments of W given K are known, and only K need be drawn:

    E W_ij² = E K_jj    E W_ij⁴ = 3 E K_jj²    E W_ij² W_i'j² = E K_jj²    E W_ij² W_ij'² = E (K_jj K_j'j' + 2 K_jj'²)

The variance of these estimates falls as W becomes Gaussian: their relative errors do not depend on the width. Other
priors have their W drawn, and the moments of its entries taken. Columns are exchangeable, and so are rows: what is told
of one entry or pair is the mean over all of them.

Middle product (linear σ). Neither the scale of the weights nor the normalization of W changes σ₂/σ₁.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from engine.batch_last import matmul
from engine.models.factorization import factor_shapes
from engine.models.prior import LAWS, sample_matrices
from engine.randomness import Stream
from engine.results import QUANTILES, EntryLaw, Estimate, LawRecord, MiddleLaw
from engine.samplers.collapse import covariance_factor
from engine.samplers.collapsed import Collapsed
from engine.samplers.rejection import Rejection
from engine.spec.settings import PointSettings

BATCHES = 20
"""independent ones, whose spread gives the standard error: itself uncertain by 16 %"""
MOST_DRAWS, FEWEST_DRAWS = 1_000, 50
"""in a batch; with fewer, what is not linear in the draws would be biased by more than 2 % of its value"""
NUMBERS = 1 << 24
"""random numbers for one law, at most"""
SIDE = 8
"""rows and columns of W that are looked at: there are as many pairs as the square of it"""
GRID = 30
"""points at which distribution functions are compared, up to `REACH` standard deviations: a narrow mixture of normals
differs most from the normal at √(3 − √6) = 0.74 of them, where He_3's density is largest, a broad one nearer to 0"""
REACH = 1.5
ACCURATE = 1e-8
"""ratios of singular values above this have eight digits"""
RESOLVED = 1e-12
"""smaller ratios may be rounding errors altogether, and so are the zeros of singular factors"""
MOST_COMPOUNDED = 8
"""width up to which compound matrices are affordable: 28×28 of 8×8"""
FAR = 0.5
"""a matrix is far from rank one if σ₂/σ₁ is above this"""
_ENTRIES, _MIDDLE = range(2)


def measure_laws(point: PointSettings, seed: int) -> LawRecord:
    """Both laws, as far as they apply: 0.05 to 0.5 s of one core."""
    reasons = (_no_entries(point), _no_middle(point))
    return LawRecord(
        entries=None if reasons[_ENTRIES] else entry_law(point, seed),
        middle=None if reasons[_MIDDLE] else middle_law(point, seed),
        remarks=tuple(filter(None, reasons)),
    )


def _no_entries(point: PointSettings) -> str:
    """Why the entries are not looked at; empty if they are."""
    if point.model.depth == 1:
        return "W's entries are those of the prior itself at depth 1"
    if not LAWS[point.gnc.prior].fourth_moment:
        return f"weights of the {point.gnc.prior} prior have no fourth moment, so W's entries have no kurtosis"
    if _draws(_numbers_for_entries(point)) < FEWEST_DRAWS:
        return f"the entries of W take too many random numbers a draw for their law: {_numbers_for_entries(point):,}"
    return ""


def _no_middle(point: PointSettings) -> str:
    """The same for the middle product."""
    if point.model.activation != "linear" or point.model.depth < 3:
        return "there is a product of middle layers only with linear σ and from depth 3 on"
    if point.model.width == 1:
        return "at width 1 the middle layers' product has no second singular value"
    if _draws(_numbers_for_middle(point)) < FEWEST_DRAWS:
        return f"the middle layers take too many random numbers a draw: {_numbers_for_middle(point):,}"
    return ""


def _numbers_for_entries(point: PointSettings) -> int:
    sampler = Collapsed() if point.gnc.prior == "gaussian" else Rejection()
    return sampler.numbers_per_draw(point)


def _numbers_for_middle(point: PointSettings) -> int:
    return (point.model.depth - 2) * point.model.width**2


def _draws(numbers: int) -> int:
    """Draws in a batch."""
    return min(MOST_DRAWS, NUMBERS // BATCHES // numbers)


# --- entries ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Moments:
    """Of W's entries in one batch; expectations over the draws of the batch."""

    variance: float
    """E W_ij²"""
    squared_variance: float
    """(E W_ij²)², without the bias that the square of a mean has"""
    fourth: float
    """E W_ij⁴"""
    row: float
    """E W_ij² W_ij'², j ≠ j'"""
    column: float
    """E W_ij² W_i'j², i ≠ i'"""

    @staticmethod
    def of(
        seconds: Float[Tensor, " batch"],
        fourths: Float[Tensor, " batch"],
        rows: Float[Tensor, " batch"],
        columns: Float[Tensor, " batch"],
    ) -> _Moments:
        """From their means over the entries of each draw."""
        variance = float(seconds.mean())
        bias = float(seconds.var()) / len(seconds)
        means = (float(moment.mean()) for moment in (fourths, rows, columns))
        return _Moments(variance, variance**2 - bias, *means)


def entry_law(point: PointSettings, seed: int) -> EntryLaw:
    """How far W's entries are from i.i.d. Gaussian. For any prior whose weights have a fourth moment."""
    gaussian = point.gnc.prior == "gaussian"
    draws = _draws(_numbers_for_entries(point))
    rows, columns = point.problem.rows, point.problem.columns
    moments, distances = [], []
    for batch in range(BATCHES):
        stream = Stream(seed, "laws", _ENTRIES, batch)
        if gaussian:
            covariance = _covariance(point, stream, draws)
            moments.append(_conditional_moments(covariance))
            distances.append(_distance(covariance.diagonal(dim1=0, dim2=1)))
        else:
            moments.append(_plain_moments(sample_matrices(_unnormalized(point), stream, draws, torch.float64)))
    return EntryLaw(
        excess_kurtosis=_estimate([m.fourth / m.squared_variance - 3 for m in moments]),
        row_dependence=_estimate([_correlation(m, m.row) for m in moments]) if columns > 1 else None,
        column_dependence=_estimate([_correlation(m, m.column) for m in moments]) if rows > 1 else None,
        kolmogorov=_estimate(distances) if gaussian else None,
    )


def _unnormalized(point: PointSettings) -> PointSettings:
    return point.model_copy(update={"gnc": point.gnc.model_copy(update={"normalize": False})})


def _covariance(point: PointSettings, stream: Stream, draws: int) -> Float[Tensor, "n n batch"]:
    """K, of up to `SIDE` columns of W."""
    factor = covariance_factor(point, stream, draws)[:SIDE]
    return matmul(factor, factor.transpose(0, 1))


def _conditional_moments(covariance: Float[Tensor, "n n batch"]) -> _Moments:
    variances = covariance.diagonal(dim1=0, dim2=1)
    fourths = variances.square().mean(-1)
    products = variances[:, :, None] * variances[:, None, :] + 2 * covariance.square().permute(2, 0, 1)
    return _Moments.of(variances.mean(-1), 3 * fourths, _off_diagonal_mean(products), fourths)


def _plain_moments(matrices: Float[Tensor, "m n batch"]) -> _Moments:
    squares = matrices[:SIDE, :SIDE].permute(2, 0, 1).square()
    return _Moments.of(
        squares.mean((1, 2)),
        squares.square().mean((1, 2)),
        _off_diagonal_mean(squares.mT @ squares / squares.shape[1]),
        _off_diagonal_mean(squares @ squares.mT / squares.shape[2]),
    )


def _off_diagonal_mean(products: Float[Tensor, "batch n n"]) -> Float[Tensor, " batch"]:
    """Over the pairs of two; NaN if there is only one."""
    size = products.shape[-1]
    pairs = products.sum((1, 2)) - products.diagonal(dim1=1, dim2=2).sum(-1)
    return pairs / (size * (size - 1)) if size > 1 else torch.full_like(pairs, math.nan)


def _correlation(moments: _Moments, product: float) -> float:
    """Between the squares of two entries, from the mean of their product."""
    return (product - moments.squared_variance) / (moments.fourth - moments.squared_variance)


def _distance(variances: Float[Tensor, "batch n"]) -> float:
    """Kolmogorov's, of a mixture of N(0, s) over the variances given from N(0, mean of them).

    sup_t |E Φ(t/√s) − Φ(t/√ν)|, both sides symmetric in t.
    """
    relative = (variances / variances.mean()).flatten()
    points = torch.linspace(REACH / GRID, REACH, GRID, dtype=torch.float64)
    mixture = torch.special.ndtr(points[:, None] / relative.sqrt()).mean(1)
    return float((mixture - torch.special.ndtr(points)).abs().max())


# --- middle product --------------------------------------------------------------------------------------------------


def middle_law(point: PointSettings, seed: int) -> MiddleLaw:
    """How near W_{L−1} ⋯ W_2 is to rank one: the law of σ₂/σ₁. For linear σ, depth ≥ 3 and width ≥ 2."""
    draws = _draws(_numbers_for_middle(point))
    logarithms = [_log_ratios(_middle(point, Stream(seed, "laws", _MIDDLE, batch), draws)) for batch in range(BATCHES)]
    together = np.concatenate(logarithms)
    resolved = bool(np.isfinite(together).all())
    return MiddleLaw(
        log_ratio=_estimate([float(batch.mean()) for batch in logarithms]) if resolved else None,
        quantiles=tuple(map(float, np.quantile(np.exp(together), QUANTILES))),
        far_from_rank_one=_estimate([float((batch > math.log(FAR)).mean()) for batch in logarithms]),
    )


def _middle(point: PointSettings, stream: Stream, draws: int) -> list[Float[Tensor, "batch k k"]]:
    """W_2 … W_{L−1}, not scaled."""
    law = LAWS[point.gnc.prior]
    return [law.draw(stream, (draws, *shape), torch.float64) for shape in factor_shapes(point)[1:-1]]


def _log_ratios(factors: list[Float[Tensor, "batch k k"]]) -> Float[ndarray, " batch"]:
    """log(σ₂/σ₁) of the factors' product, −∞ where σ₂ can't be told from 0.

    Rounding errors of the product are of the size of σ₁. Where that matters, σ₁σ₂ is taken as the largest singular
    value of the second compound matrices' product, which has no larger one to be lost beside [Horn, Johnson 2013,
    section 0.8.1: C(AB) = C(A) C(B)].
    """
    scale, product = _product(factors)
    values = torch.linalg.svdvals(product)
    ratios = values[:, 1] / values[:, 0]
    if float(ratios.min()) > ACCURATE:
        return np.asarray(ratios.log().numpy())
    if product.shape[-1] > MOST_COMPOUNDED:
        return np.asarray(torch.where(ratios > RESOLVED, ratios.log(), -math.inf).numpy())
    compound_scale, compound = _product([_second_compound(factor) for factor in factors])
    both = compound_scale + torch.linalg.matrix_norm(compound, ord=2).log()
    return np.asarray((both - 2 * (scale + values[:, 0].log())).nan_to_num(nan=-math.inf).numpy())


def _product(factors: list[Float[Tensor, "batch k k"]]) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch k k"]]:
    """The logarithm of the product's Frobenius norm, and the product over that."""
    scale = torch.zeros(len(factors[0]), dtype=torch.float64)
    product = torch.eye(factors[0].shape[-1], dtype=torch.float64)
    for factor in factors:
        product = factor @ product
        norms = torch.linalg.matrix_norm(product)
        scale = scale + norms.log()
        product = product / norms[:, None, None].clamp_min(torch.finfo(torch.float64).tiny)
    return scale, product


def _second_compound(matrices: Float[Tensor, "batch k k"]) -> Float[Tensor, "batch pairs pairs"]:
    """All 2×2 minors."""
    first, second = torch.combinations(torch.arange(matrices.shape[-1])).T
    above, below = matrices[:, first], matrices[:, second]
    return above[:, :, first] * below[:, :, second] - above[:, :, second] * below[:, :, first]


def _estimate(batches: list[float]) -> Estimate:
    """The mean of independent batches."""
    return Estimate(float(np.mean(batches)), float(np.std(batches, ddof=1)) / math.sqrt(len(batches)))
