"""What the factors and the end-to-end matrix look like at a log point: ranks, norms, balance, and how near to W*.

Everything acts on a batch (the `seed` axis) at once and stays on its device. Zero padding of the hidden dimensions
changes nothing here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from engine.descent.spectrum import Spectrum, leading_spectrum, spectrum
from engine.events import MAX_COMPLETE_SPECTRUM, diagnostic_names

NUMERICAL_RANK_TOLERANCE = 1e-3
"""singular values below this fraction of the largest don't count towards the numerical rank"""
GAP_ENTRIES = 1 << 15
"""of the matrices whose gaps are worked out at once, 256 kB: 1,024 runs of width 10 take 0.5 ms by such blocks, 2 ms at
once, in memory that comes from the kernel page by page and goes back each time"""
SUMMED_AT_ONCE = 1 << 14
"""squares of a matrix's entries, at most: of a million, a sum in single precision keeps five digits"""

Factors = Sequence[Float[Tensor, "seed _ _"]]


def effective_rank(values: Float[Tensor, "seed k"]) -> Float[Tensor, " seed"]:
    """exp of the entropy of σ/Σσ, from 1 to the number of values [Roy, Vetterli 2007]; 0 for the zero matrix."""
    total = values.sum(-1)
    share = values / _or_one(total)[:, None]
    return torch.where(total > 0, torch.special.entr(share).sum(-1).exp(), 0.0)


def numerical_rank(values: Float[Tensor, "seed k"]) -> Float[Tensor, " seed"]:
    """How many singular values exceed `NUMERICAL_RANK_TOLERANCE` times the largest; 0 for the zero matrix."""
    return (values > NUMERICAL_RANK_TOLERANCE * values[:, :1]).sum(-1).to(values.dtype)


def stable_rank(frobenius_norm: Float[Tensor, " seed"], largest: Float[Tensor, " seed"]) -> Float[Tensor, " seed"]:
    """‖W‖_F² / σ_1²; 0 for the zero matrix."""
    return (frobenius_norm / _or_one(largest)).square()


def schatten_norm(values: Float[Tensor, "seed k"], depth: int) -> Float[Tensor, " seed"]:
    """The Schatten-2/L quasi-norm (Σ σ^{2/L})^{L/2}: what the layers' squared norms cost at least, to the power L/2."""
    return values.pow(2 / depth).sum(-1).pow(depth / 2)


def balancedness_gap(factors: Factors) -> Float[Tensor, " seed"]:
    """max_j ‖W_{j+1}ᵀ W_{j+1} − W_j W_jᵀ‖_F; 0 at depth 1. Gradient flow with linear σ keeps each of these matrices."""
    if len(factors) == 1:
        return factors[0].new_zeros(factors[0].shape[0])
    runs, width = factors[0].shape[:2]
    count = min(runs, math.ceil(runs * (len(factors) - 1) * width**2 / GAP_ENTRIES))
    blocks = (factor.tensor_split(count) for factor in factors)
    return torch.cat([_largest_gap(block) for block in zip(*blocks, strict=True)])


def _largest_gap(factors: Factors) -> Float[Tensor, " seed"]:
    first, last, inner = factors[0], factors[-1], _stacked(factors[1:-1])
    if inner is None:
        return _frobenius(torch.baddbmm(first @ first.mT, last.mT, last, beta=-1))
    gaps = torch.cat([inner.mT @ inner, (last.mT @ last)[None]])
    gaps[0] -= first @ first.mT
    gaps[1:] -= inner @ inner.mT
    return _frobenius(gaps).amax(0)


def layer_norms(factors: Factors) -> Float[Tensor, "depth seed"]:
    """‖W_j‖_F, first layer first."""
    first = _frobenius(factors[0])[None]
    if len(factors) == 1:
        return first
    inner, last = _stacked(factors[1:-1]), _frobenius(factors[-1])[None]
    return torch.cat([first, last] if inner is None else [first, _frobenius(inner), last])


def frobenius_norm_of_product(
    left: Float[Tensor, "seed m k"], right: Float[Tensor, "seed k n"]
) -> Float[Tensor, " seed"]:
    """‖left·right‖_F from the two k×k Gram matrices."""
    return ((left.mT @ left) * (right @ right.mT)).sum((-2, -1)).clamp_min(0).sqrt()


@dataclass(frozen=True)
class Truth:
    """What the diagnostics need of W*, worked out once."""

    matrices: Float[Tensor, "seed m n"] | None
    """None where it is large"""
    left: Float[Tensor, "seed m aligned"]
    right: Float[Tensor, "seed n aligned"]

    @staticmethod
    def of(matrices: Float[Tensor, "seed m n"], aligned: int) -> Truth:
        """Of a large W* the leading singular vectors only, by the randomized method: exact up to rank 10."""
        small = min(matrices.shape[-2:]) <= MAX_COMPLETE_SPECTRUM
        whole = (spectrum(matrices) if small else leading_spectrum([matrices], aligned)).leading(aligned)
        return Truth(matrices if small else None, whole.left, whole.right)


def diagnose(
    factors: Factors,
    spectrum: Spectrum,
    truth: Truth | None,
    matrices: Float[Tensor, "seed m n"] | None = None,
    frobenius_norm: Float[Tensor, " seed"] | None = None,
    distance: Float[Tensor, " seed"] | None = None,
) -> dict[str, Float[Tensor, " seed"]]:
    """Every diagnostic by its name, in the order of `engine.events.diagnostic_names`.

    Without a truth there are no alignments; the distance to W* is as given, or worked out where there are `matrices`.
    Of an incomplete spectrum the alignments are known, the Frobenius norm (if given) and the stable rank, and the
    numerical rank where it is less than the number of values found; what needs all singular values is NaN.
    """
    values = spectrum.values
    unknown = values.new_full(values.shape[:1], torch.nan)
    depth, aligned = len(factors), 0 if truth is None else truth.left.shape[-1]
    frobenius = frobenius_norm if frobenius_norm is not None else values.square().sum(-1).sqrt()
    if not spectrum.complete and frobenius_norm is None:
        frobenius = unknown
    complete = spectrum.complete
    if matrices is not None and truth is not None and truth.matrices is not None:
        distance = _frobenius(matrices - truth.matrices)
    rank = numerical_rank(values)
    found = [
        effective_rank(values) if complete else unknown,
        rank if complete else torch.where(rank < values.shape[-1], rank, unknown),
        stable_rank(frobenius, values[:, 0]),
        values.sum(-1) if complete else unknown,
        frobenius,
        schatten_norm(values, depth) if complete else unknown,
        balancedness_gap(factors),
        unknown if distance is None else distance,
        *layer_norms(factors),
    ]
    if truth is not None:
        found += _alignments(spectrum.left, truth.left).unbind(-1)
        found += _alignments(spectrum.right, truth.right).unbind(-1)
    return dict(zip(diagnostic_names(depth, aligned), found, strict=True))


def _alignments(
    vectors: Float[Tensor, "seed m k"], true: Float[Tensor, "seed m aligned"]
) -> Float[Tensor, "seed aligned"]:
    """|<u_i, u*_i>|; NaN where the factors are too narrow for an i-th vector."""
    count = true.shape[-1]
    cosines = (vectors[..., :count] * true[..., : vectors.shape[-1]]).sum(-2).abs()
    return torch.nn.functional.pad(cosines, (0, count - cosines.shape[-1]), value=torch.nan)


def _stacked(factors: Factors) -> Float[Tensor, "inner seed width width"] | None:
    """The hidden layers, all of one shape, as one tensor: one operation for all of them.

    A step holds them transposed, and they are copied faster as they lie.
    """
    return torch.stack([factor.mT for factor in factors]).mT if factors else None


def _frobenius(matrices: Float[Tensor, "*batch m n"]) -> Float[Tensor, "*batch"]:
    rows, columns = matrices.shape[-2:]
    if rows * columns <= SUMMED_AT_ONCE:
        norms: Tensor = torch.linalg.vector_norm(matrices, dim=(-2, -1))
    else:
        together = -1 if matrices.stride(-1) == 1 else -2
        norms = torch.linalg.vector_norm(torch.linalg.vector_norm(matrices, dim=together), dim=-1)
    return norms


def _or_one(values: Tensor) -> Tensor:
    """A divisor: 1 where the value is 0."""
    return torch.where(values > 0, values, 1.0)
