"""What gradient flow on a deep linear factorization does to the singular values of W, predicted and measured.

For balanced factors (W_{j+1}ᵀ W_{j+1} = W_j W_jᵀ) and linear σ, with G = ∂ℓ/∂W:

    dσ_r/dt = −L (σ_r²)^{1−1/L} <G, u_r v_rᵀ>                        [Arora, Cohen, Hu, Luo 2019, theorem 3]
    dW/dt   = −Σ_{j=1..L} (W Wᵀ)^{(L−j)/L} G (Wᵀ W)^{(j−1)/L}        [Arora, Cohen, Hazan 2018, theorem 1]

A step of gradient descent lasts as long as its learning rate. For other factors, or larger steps, these are no
theorems: the relative error then says how far off they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from engine.descent.diagnostics import Spectrum

MOVING = 1e3
"""roundings of the singular values that one step must change them by for a log point to be judged. The measured rates
are a difference of singular values and carry about three roundings, which are then at most 0.3 % of them"""
RESOLVED = 0.1
"""nor are log points judged where one step changes the singular values by more than this share of them: the difference
over such a step is no derivative (the first step at depth 1 replaces a tiny W altogether)"""


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
    """How far the predicted rates of one run are off the measured ones, over its log points so far."""

    worst: tuple[tuple[float, float], ...] = ()
    """‖measured‖, and ‖measured − predicted‖ / ‖measured‖, of the log point judged that is furthest off; checkpoints of
    earlier versions may hold more of them"""
    judged: int = 0
    """log points that resolve the rates"""
    passed_over: int = 0
    """log points that don't"""

    def extended(
        self, values: float, measured: float, error: float, learning_rate: float, rounding: float
    ) -> Comparison:
        """With one more log point: Euclidean norms of the singular values, their measured rates, and the error.

        `rounding` is the dtype's relative one.
        """
        change = measured * learning_rate
        if not MOVING * rounding * values <= change <= RESOLVED * values or change == 0:
            return replace(self, passed_over=self.passed_over + 1)
        worst = max([*self.worst, (measured, error / measured)], key=lambda point: point[1])
        return Comparison((worst,), self.judged + 1, self.passed_over)

    def relative_error(self) -> float | None:
        """The largest ‖measured − predicted‖ / ‖measured‖ of the log points judged; None if none is.

        See `MOVING` and `RESOLVED` for those that are not.
        """
        return max((relative for _, relative in self.worst), default=None)
