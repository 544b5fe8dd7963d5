"""Heavy-ball momentum on group RMSprop's step: v ← μ v − η g / (√(a / (1 − α^t)) + ε), W ← W + v, from v = 0.

g is the whole gradient and a the moving average of ‖g‖², as in `group_rmsprop`; a gradient is normalized when it enters
the velocity, as in RMSprop with momentum elsewhere. This is what the momentum experiments of Alexander et al. 2025 are
about. Their code computes a velocity (of gradients not yet normalized) and then steps by the gradient alone.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from engine.descent.optimizers.group_rmsprop import GroupRMSprop
from engine.spec.settings import GDSettings


class GroupRMSpropHeavyBall(GroupRMSprop):
    def __init__(self, settings: GDSettings) -> None:
        super().__init__(settings)
        self._momentum = settings.momentum

    def init(self, weights: Float[Tensor, "run parameter"]) -> tuple[Tensor, ...]:
        """Group RMSprop's state, and the velocity."""
        return *super().init(weights), torch.zeros_like(weights)

    def step(self, state: Any, weights: Any, gradient: Any, learning_rate: Any) -> None:
        average, weight, velocity = state
        gradient *= learning_rate / self.typical_norm(average, weight, gradient)
        velocity *= self._momentum
        velocity -= gradient
        weights += velocity
