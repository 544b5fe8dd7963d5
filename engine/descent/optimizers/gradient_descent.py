"""Gradient descent: W ← W − η ∂L_train/∂W."""

from __future__ import annotations

from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from engine.spec.settings import GDSettings


class GradientDescent:
    scaled_gradient: ClassVar[bool] = True
    rotation_equivariant: ClassVar[bool] = True

    def __init__(self, settings: GDSettings) -> None:
        pass

    def init(self, weights: Float[Tensor, "run parameter"]) -> tuple[Tensor, ...]:
        return ()

    def step(self, state: Any, weights: Any, gradient: Any, learning_rate: Any) -> None:
        weights -= gradient
