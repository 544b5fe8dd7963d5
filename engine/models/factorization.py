"""The factorization W = W_L σ(W_{L−1} σ(… σ(W_1))) and its gradient, side by side.

All functions act on any leading batch axes at once; the last two axes of each factor are its rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor

from engine.models.activations import Activation
from engine.spec.settings import PointSettings

Factors = Sequence[Float[Tensor, "*batch _ _"]]
"""W_1 … W_L, the first applied first"""


def factor_shapes(point: PointSettings) -> list[tuple[int, int]]:
    """(rows, columns) of W_1: k×n, W_j: k×k, W_L: m×k; of the one m×n matrix at depth 1."""
    dimensions = [point.problem.columns, *[point.model.width] * (point.model.depth - 1), point.problem.rows]
    return [(rows, columns) for columns, rows in pairwise(dimensions)]


def pre_activations(factors: Factors, activation: Activation) -> list[Float[Tensor, "*batch _ n"]]:
    """Z_1 = W_1, Z_j = W_j σ(Z_{j−1}); the last one is the end-to-end matrix."""
    outputs = [factors[0]]
    for factor in factors[1:]:
        outputs.append(factor @ activation.function(outputs[-1]))
    return outputs


def end_to_end_matrix(factors: Factors, activation: Activation) -> Float[Tensor, "*batch m n"]:
    """W."""
    return pre_activations(factors, activation)[-1]


def factor_gradients(
    factors: Factors,
    outputs: Sequence[Float[Tensor, "*batch _ n"]],
    gradient: Float[Tensor, "*batch m n"],
    activation: Activation,
) -> list[Float[Tensor, "*batch _ _"]]:
    """∂ℓ/∂W_j for every factor, from `outputs = pre_activations(factors)` and `gradient` = ∂ℓ/∂W.

    With Δ_L = ∂ℓ/∂W and Δ_{j−1} = (W_jᵀ Δ_j) ⊙ σ′(Z_{j−1}), the chain rule through Z_j = W_j σ(Z_{j−1}) gives
    ∂ℓ/∂W_j = Δ_j σ(Z_{j−1})ᵀ, and ∂ℓ/∂W_1 = Δ_1.
    """
    delta = gradient
    gradients = []
    for factor, below in zip(reversed(factors[1:]), reversed(outputs[:-1]), strict=True):
        gradients.append(delta @ activation.function(below).mT)
        delta = (factor.mT @ delta) * activation.derivative(below)
    gradients.append(delta)
    return gradients[::-1]
