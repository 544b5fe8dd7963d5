"""What gradient flow on a deep linear factorization does to the singular values of W, predicted and measured.

For balanced factors (W_{j+1}ᵀ W_{j+1} = W_j W_jᵀ) and linear σ, with G = ∂ℓ/∂W:

    dσ_r/dt = −L (σ_r²)^{1−1/L} <G, u_r v_rᵀ>                        [Arora, Cohen, Hu, Luo 2019, theorem 3]
    dW/dt   = −Σ_{j=1..L} (W Wᵀ)^{(L−j)/L} G (Wᵀ W)^{(j−1)/L}        [Arora, Cohen, Hazan 2018, theorem 1]

A step of gradient descent lasts as long as its learning rate. For other factors, or larger steps, these are no
theorems: the relative error then says how far off they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from engine.descent.diagnostics import Spectrum

SETTLED = 1e-3
"""log points whose rates are, all together, under this share of the fastest are not judged: near the end of training a
relative error compares rounding with rounding"""
RESOLVED = 0.1
"""nor are those where one step changes the singular values by more than this share of them: the difference over such a
step is no derivative (the first step at depth 1 replaces a tiny W altogether)"""


def predicted_rates(now: Spectrum, gradient: Float[Tensor, "seed m n"], depth: int) -> Float[Tensor, "seed k"]:
    """dσ_r/dt of theorem 3, from the spectrum of W and ∂ℓ/∂W."""
    along = (now.left * (gradient @ now.right)).sum(-2)
    return -depth * now.values.pow(2 - 2 / depth) * along


def measured_rates(
    now: Float[Tensor, "seed k"], after_a_step: Float[Tensor, "seed k"], learning_rates: Float[Tensor, " seed"]
) -> Float[Tensor, "seed k"]:
    """The forward difference of the singular values over one step."""
    return (after_a_step - now) / learning_rates[:, None]


@dataclass(frozen=True)
class Comparison:
    """How far the predicted rates of one run are off the measured ones, at all its log points so far.

    Of two log points the slower one with the smaller error can never matter; what remains, with speeds rounded down to
    an eighth of an octave, is at most 81 log points.
    """

    worst: tuple[tuple[float, float], ...] = ()
    """log points that resolve the rates: ‖measured‖, and ‖measured − predicted‖ / ‖measured‖"""

    def extended(self, values: float, measured: float, error: float, learning_rate: float) -> Comparison:
        """With one more log point: Euclidean norms of the singular values, their measured rates, and the error."""
        if not 0 < measured * learning_rate <= RESOLVED * values:
            return self
        speed, relative = 2.0 ** (math.floor(8 * math.log2(measured)) / 8), error / measured
        if any(speed <= other and relative <= worse for other, worse in self.worst):
            return self
        fastest = max(speed, *(other for other, _ in self.worst), 0.0)
        kept = [(other, worse) for other, worse in self.worst if other > speed or worse > relative]
        return Comparison(tuple(one for one in [*kept, (speed, relative)] if one[0] > SETTLED * fastest))

    def relative_error(self) -> float | None:
        """The largest ‖measured − predicted‖ / ‖measured‖ of the log points that are judged; None if none is.

        See `SETTLED` and `RESOLVED` for those that are not.
        """
        return max((relative for _, relative in self.worst), default=None)
