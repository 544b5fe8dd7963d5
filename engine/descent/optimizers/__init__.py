"""First-order optimizers, one a file: `init` makes the state, `step` moves the weights, in place.

Weights and gradients are one row a run, all parameters of its factors side by side. Only plain operators are used, so
the same code serves NumPy arrays, torch tensors and CUDA graphs. Runs never mix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from engine.descent.optimizers.adam import Adam
from engine.descent.optimizers.gradient_descent import GradientDescent
from engine.descent.optimizers.group_rmsprop import GroupRMSprop
from engine.descent.optimizers.group_rmsprop_heavy_ball import GroupRMSpropHeavyBall
from engine.descent.optimizers.heavy_ball import HeavyBall
from engine.descent.optimizers.nesterov import Nesterov
from engine.descent.optimizers.stochastic import StochasticGradientDescent
from engine.spec.names import OptimizerName
from engine.spec.settings import GDSettings

State = tuple[Tensor, ...]


@runtime_checkable
class Optimizer(Protocol):
    scaled_gradient: ClassVar[bool]
    """whether `step` wants the gradient times the learning rate (it is then folded into the measurements, for free)"""
    rotation_equivariant: ClassVar[bool]
    """whether rotating the hidden units only rotates the steps: true of all that treat no entry by itself"""

    def init(self, weights: Float[Tensor, "run parameter"]) -> State:
        """What the first step needs besides the weights."""
        ...

    def step(self, state: Any, weights: Any, gradient: Any, learning_rate: Any) -> None:
        """Move `weights` (run, parameter) and `state`; `learning_rate` is (run, 1). May overwrite `gradient`."""
        ...


_OPTIMIZERS: dict[OptimizerName, Callable[[GDSettings], Optimizer]] = {
    "gradient_descent": GradientDescent,
    "heavy_ball": HeavyBall,
    "nesterov": Nesterov,
    "group_rmsprop": GroupRMSprop,
    "group_rmsprop_heavy_ball": GroupRMSpropHeavyBall,
    "adam": Adam,
    "sgd": StochasticGradientDescent,
}


def optimizer(settings: GDSettings) -> Optimizer:
    """The optimizer that `settings` names, with its constants."""
    return _OPTIMIZERS[settings.optimizer](settings)
