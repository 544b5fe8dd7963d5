"""First-order optimizers, one a file: `init` makes the state, `step` turns a gradient into an update.

An update is what is *added* to the factors. State and updates keep the leading seed axis: data sets never mix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from engine.optimizers.gradient_descent import GradientDescent
from engine.optimizers.group_rmsprop import GroupRMSprop
from engine.settings import OptimizerName

Gradients = Sequence[Float[Tensor, "seed _ _"]]
State = tuple[Tensor, ...]


@runtime_checkable
class Optimizer(Protocol):
    def init(self, factors: Gradients) -> State: ...

    def step(
        self, state: State, gradients: Gradients, learning_rate: float
    ) -> tuple[State, list[Float[Tensor, "seed _ _"]]]:
        """The next state, and what to add to each factor."""
        ...


OPTIMIZERS: dict[OptimizerName, Optimizer] = {
    "gradient_descent": GradientDescent(),
    "group_rmsprop": GroupRMSprop(),
}
