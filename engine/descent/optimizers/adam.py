"""Adam: a step size for every entry, from moving averages of its gradient and its square.

m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², and at step t, with m̂ = m / (1 − β₁^t) and v̂ = v / (1 − β₂^t),
W ← W − η m̂ / (√v̂ + ε); β₁ = 0.9, β₂ = 0.999, and by default ε = 1e−8 [Kingma, Ba 2015, algorithm 1].
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from engine.spec.settings import GDSettings

FIRST_DECAY = 0.9
SECOND_DECAY = 0.999


class Adam:
    scaled_gradient: ClassVar[bool] = False
    rotation_equivariant: ClassVar[bool] = False

    def __init__(self, settings: GDSettings) -> None:
        self._epsilon = settings.epsilon_in_use

    def init(self, weights: Float[Tensor, "run parameter"]) -> tuple[Tensor, ...]:
        """Both moving averages, and the number of steps made, shape (run, 1)."""
        return torch.zeros_like(weights), torch.zeros_like(weights), weights.new_zeros(len(weights), 1)

    def step(self, state: Any, weights: Any, gradient: Any, learning_rate: Any) -> None:
        first, second, count = state
        count += 1
        first *= FIRST_DECAY
        first += (1 - FIRST_DECAY) * gradient
        gradient **= 2
        gradient *= 1 - SECOND_DECAY
        second *= SECOND_DECAY
        second += gradient
        root = second / (1 - SECOND_DECAY**count)
        root **= 0.5
        root += self._epsilon
        update = first / root
        update *= learning_rate / (1 - FIRST_DECAY**count)
        weights -= update
