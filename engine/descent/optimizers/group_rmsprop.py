"""Group RMSprop: one adaptive step size for the whole gradient.

With g all gradients of a data set together, v ← α v + (1 − α) ‖g‖² and, at step t,
W ← W − η g / (√(v / (1 − α^t)) + ε), with α = 0.99 [Arora, Cohen, Hu, Luo 2019, experiments, ε = 1e−4; published code
of Alexander et al. 2025, ε = 1e−6]. The direction is plain gradient descent's; only the step's length adapts.
"""

from __future__ import annotations

from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from engine.spec.settings import GDSettings

DECAY = 0.99


class GroupRMSprop:
    scaled_gradient: ClassVar[bool] = False
    rotation_equivariant: ClassVar[bool] = True

    def __init__(self, settings: GDSettings) -> None:
        self._epsilon = settings.epsilon_in_use

    def init(self, weights: Float[Tensor, "run parameter"]) -> tuple[Tensor, ...]:
        """Moving average of the squared norm, and its weight 1 − α^t, shape (run, 1) each."""
        return weights.new_zeros(len(weights), 1), weights.new_zeros(len(weights), 1)

    def step(self, state: Any, weights: Any, gradient: Any, learning_rate: Any) -> None:
        average, weight = state
        gradient *= learning_rate / self.typical_norm(average, weight, gradient)
        weights -= gradient

    def typical_norm(self, average: Any, weight: Any, gradient: Any) -> Any:
        """√(v / (1 − α^t)) + ε with this step's gradient taken in: moves `average` and `weight`, in place."""
        squared_norm = (gradient[:, None] @ gradient[:, :, None])[:, 0]
        squared_norm *= 1 - DECAY
        average *= DECAY
        average += squared_norm
        weight *= DECAY
        weight += 1 - DECAY
        root = average / weight
        root **= 0.5
        root += self._epsilon
        return root
