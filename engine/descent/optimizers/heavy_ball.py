"""Heavy-ball momentum: v ← μ v − η ∂L_train/∂W, W ← W + v, from v = 0 [Polyak 1964].

The momentum experiments of the published code (Alexander et al. 2025) compute a velocity and then step by the raw
gradient, so they are gradient descent again. Here the velocity is applied; results therefore differ from theirs.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from engine.spec.settings import GDSettings


class HeavyBall:
    scaled_gradient: ClassVar[bool] = True
    rotation_equivariant: ClassVar[bool] = True

    def __init__(self, settings: GDSettings) -> None:
        self._momentum = settings.momentum

    def init(self, weights: Float[Tensor, "run parameter"]) -> tuple[Tensor, ...]:
        """The velocity."""
        return (torch.zeros_like(weights),)

    def step(self, state: Any, weights: Any, gradient: Any, learning_rate: Any) -> None:
        (velocity,) = state
        velocity *= self._momentum
        velocity -= gradient
        weights += velocity
