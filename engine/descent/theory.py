"""What gradient flow on a deep linear factorization does to the singular values of W, predicted and measured.

For balanced factors (W_{j+1}ᵀ W_{j+1} = W_j W_jᵀ) and linear σ, with G = ∂ℓ/∂W:

    dσ_r/dt = −L (σ_r²)^{1−1/L} <G, u_r v_rᵀ>                        [Arora, Cohen, Hu, Luo 2019, theorem 3]
    dW/dt   = −Σ_{j=1..L} (W Wᵀ)^{(L−j)/L} G (Wᵀ W)^{(j−1)/L}        [Arora, Cohen, Hazan 2018, theorem 1]

A step of gradient descent lasts as long as its learning rate. For other factors, or larger steps, these are no
theorems: the relative error then says how far off they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from engine.descent.spectrum import Spectrum

ROUNDINGS = 1e3
"""log points where one step changes the singular values by less than this many roundings are not judged: the measured
rates are a difference of singular values and carry about three, which are otherwise at most 0.3 % of them"""
RESOLVED = 0.1
"""nor is a log point judged where one step changes the singular values by more than this share of them: the difference
over such a step is no derivative (the first step at depth 1 replaces a tiny W altogether)"""


def predicted_rates(now: Spectrum, gradient: Float[Tensor, "seed m n"], depth: int) -> Float[Tensor, "seed k"]:
    """dσ_r/dt of theorem 3, from the spectrum of W and ∂ℓ/∂W."""
    along = (now.left * (gradient @ now.right)).sum(-2)
    return -depth * now.values.pow(2 - 2 / depth) * along


def gradient_between_singular_vectors(
    now: Spectrum, gradient: Float[Tensor, "seed m n"]
) -> tuple[Float[Tensor, " seed"], Float[Tensor, " seed"]]:
    """Mean size of the entries of Uᵀ ∂ℓ/∂W V on its diagonal and off it; NaN where there is nothing off it.

    Singular vectors stand still exactly where this matrix is diagonal [Arora, Cohen, Hu, Luo 2019, corollary 1].
    """
    sizes = (now.left.mT @ gradient @ now.right).abs()
    count = sizes.shape[-1]
    diagonal = sizes.diagonal(dim1=-2, dim2=-1).mean(-1)
    rest = sizes.masked_fill(torch.eye(count, dtype=torch.bool, device=sizes.device), 0.0).sum((-2, -1))
    return diagonal, rest / (count * (count - 1) or math.nan)


def measured_rates(
    now: Float[Tensor, "seed k"], after_a_step: Float[Tensor, "seed k"], learning_rates: Float[Tensor, " seed"]
) -> Float[Tensor, "seed k"]:
    """The forward difference of the singular values over one step."""
    return (after_a_step - now) / learning_rates[:, None]


def resolves(
    now: Float[Tensor, "seed k"], measured: Float[Tensor, "seed k"], learning_rates: Float[Tensor, " seed"]
) -> Bool[Tensor, " seed"]:
    """Whether a log point can be judged: see `ROUNDINGS` and `RESOLVED`.

    Nor can it where two singular values are equal, as from the identity: their vectors are any of a plane then, and the
    theorem speaks of those that the gradient makes of them.
    """
    rounding = ROUNDINGS * torch.finfo(now.dtype).eps
    size, change = now.norm(dim=-1), measured.norm(dim=-1) * learning_rates
    nonzero, gaps = now[:, :-1] > rounding * now[:, :1], now[:, :-1] - now[:, 1:]
    tied = (nonzero & (gaps <= rounding * now[:, :-1])).any(-1)
    judged: Tensor = (change > 0) & (change >= rounding * size) & (change <= RESOLVED * size) & ~tied
    return judged


@dataclass(frozen=True)
class Comparison:
    """How far the predicted rates of one run are off the measured ones, over its log points so far."""

    worst: tuple[tuple[float, float], ...] = ()
    """‖measured‖, and ‖measured − predicted‖ / ‖measured‖, of the log point judged that is furthest off; checkpoints of
    earlier versions may hold more of them"""
    judged: int = 0
    """log points that resolve the rates"""
    passed_over: int = 0
    """log points that don't"""

    def extended(self, measured: float, error: float, resolved: bool) -> Comparison:
        """With one more log point: Euclidean norms of the measured rates and of the error, and whether to judge it."""
        if not resolved:
            return replace(self, passed_over=self.passed_over + 1)
        worst = max([*self.worst, (measured, error / measured)], key=lambda point: point[1])
        return Comparison((worst,), self.judged + 1, self.passed_over)

    def relative_error(self) -> float | None:
        """The largest ‖measured − predicted‖ / ‖measured‖ of the log points judged; None if none is."""
        return max((relative for _, relative in self.worst), default=None)
