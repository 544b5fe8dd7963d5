"""Group RMSprop: one adaptive step size for the whole gradient.

With g all gradients of a data set together, v ← α v + (1 − α) ‖g‖² and, at step t,
W ← W − η g / (√(v / (1 − α^t)) + ε), with α = 0.99, ε = 1e−6 [Arora, Cohen, Hu, Luo 2019, experiments; constants of the
published code of Alexander et al. 2025]. The direction is plain gradient descent's; only the step's length adapts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

DECAY = 0.99
EPSILON = 1e-6


class GroupRMSprop:
    def init(self, factors: Sequence[Float[Tensor, "seed _ _"]]) -> tuple[Tensor, ...]:
        """Moving average of the squared norm, shape (seed,), and its weight 1 − α^t."""
        average = factors[0].new_zeros(factors[0].shape[0])
        return average, torch.zeros_like(average)

    def step(
        self, state: tuple[Tensor, ...], gradients: Sequence[Float[Tensor, "seed _ _"]], learning_rate: float
    ) -> tuple[tuple[Tensor, ...], list[Float[Tensor, "seed _ _"]]]:
        average, weight = state
        squared_norm = torch.stack([gradient.square().sum((-2, -1)) for gradient in gradients]).sum(0)
        average = DECAY * average + (1 - DECAY) * squared_norm
        weight = DECAY * weight + (1 - DECAY)
        scale = -learning_rate / ((average / weight).sqrt() + EPSILON)
        return (average, weight), [scale[:, None, None] * gradient for gradient in gradients]
