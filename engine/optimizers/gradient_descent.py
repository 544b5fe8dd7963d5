"""Gradient descent: W_j ← W_j − η ∂L_train/∂W_j."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor


class GradientDescent:
    def init(self, factors: Sequence[Float[Tensor, "seed _ _"]]) -> tuple[Tensor, ...]:
        return ()

    def step(
        self, state: tuple[Tensor, ...], gradients: Sequence[Float[Tensor, "seed _ _"]], learning_rate: float
    ) -> tuple[tuple[Tensor, ...], list[Float[Tensor, "seed _ _"]]]:
        return state, [-learning_rate * gradient for gradient in gradients]
