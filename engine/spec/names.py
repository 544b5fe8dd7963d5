"""What is chosen by name: what each name means, and what must be known of it without torch.

Names are types, so that a misspelled one is a type error. What a name computes is where torch is, under the same name:
`engine.models.activations`, `engine.models.prior`, `engine.descent.inits`, `engine.descent.optimizers`,
`engine.samplers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ActivationName = Literal["linear", "tanh", "leaky_relu", "relu", "gelu", "erf", "sin"]
InitName = Literal["default_uniform", "gaussian", "balanced", "identity", "orthogonal"]
OptimizerName = Literal[
    "gradient_descent", "heavy_ball", "nesterov", "group_rmsprop", "group_rmsprop_heavy_ball", "adam", "sgd"
]
PriorName = Literal["gaussian", "uniform", "uniform_matched", "rademacher", "laplace", "student_t"]
SamplerName = Literal["auto", "rejection", "collapsed", "conditional", "splitting"]


@dataclass(frozen=True)
class Traits:
    meaning: str
    """in a few words, for the form and the reference of presets"""


@dataclass(frozen=True)
class ActivationTraits(Traits):
    antisymmetric: bool = False
    """σ(−a) = −σ(a), which the width theorem assumes (Alexander, Slutzky, Ran-Milo, Cohen 2025)"""


@dataclass(frozen=True)
class InitTraits(Traits):
    balanced: bool = False
    """W_{j+1}ᵀ W_{j+1} = W_j W_jᵀ: the law of the singular values assumes it"""


@dataclass(frozen=True)
class OptimizerTraits(Traits):
    epsilon: float | None = None
    """what `gd.epsilon` is where it is auto; None for an optimizer without one"""
    momentum: bool = False
    """has `gd.momentum`"""
    batches: bool = False
    """is given the gradient of `gd.batch_size` measurements"""

    @property
    def adaptive(self) -> bool:
        """Whether it scales its steps by itself, so that `gd.learning_rate` can't be auto."""
        return self.epsilon is not None


@dataclass(frozen=True)
class SamplerTraits(Traits):
    counts: bool = False
    """makes literal guesses: hits over draws estimate P(hit) at any time"""


ACTIVATIONS: dict[ActivationName, ActivationTraits] = {
    "linear": ActivationTraits("σ(a) = a", antisymmetric=True),
    "tanh": ActivationTraits("the hyperbolic tangent", antisymmetric=True),
    "leaky_relu": ActivationTraits("a above zero, negative_slope · a below"),
    "relu": ActivationTraits("max(a, 0)"),
    "gelu": ActivationTraits("a Φ(a), Φ the normal distribution function"),
    "erf": ActivationTraits("the error function", antisymmetric=True),
    "sin": ActivationTraits("the sine", antisymmetric=True),
}
INITS: dict[InitName, InitTraits] = {
    "default_uniform": InitTraits("U(±1/√fan_in), PyTorch's default for linear layers"),
    "gaussian": InitTraits("N(0, 1/fan_in)"),
    "balanced": InitTraits("equal Gram matrices on both sides of each hidden layer", balanced=True),
    "identity": InitTraits("ones on the diagonal, as many in each layer", balanced=True),
    "orthogonal": InitTraits("orthonormal rows or columns"),
}
OPTIMIZERS: dict[OptimizerName, OptimizerTraits] = {
    "gradient_descent": OptimizerTraits("the learning rate times the gradient"),
    "heavy_ball": OptimizerTraits("with momentum", momentum=True),
    "nesterov": OptimizerTraits("with momentum, the gradient taken ahead", momentum=True),
    "group_rmsprop": OptimizerTraits("adaptive, by the whole gradient's norm", epsilon=1e-6),
    "group_rmsprop_heavy_ball": OptimizerTraits("group_rmsprop with momentum", epsilon=1e-6, momentum=True),
    "adam": OptimizerTraits("adaptive, entry by entry", epsilon=1e-8),
    "sgd": OptimizerTraits("gradient descent on random batches", batches=True),
}
PRIORS: dict[PriorName, Traits] = {
    "gaussian": Traits("N(0, 1)"),
    "uniform": Traits("U[-1, 1], of variance 1/3 as published"),
    "uniform_matched": Traits("U[-√3, √3]"),
    "rademacher": Traits("±1"),
    "laplace": Traits("exponential on both sides"),
    "student_t": Traits("Student's t with 4 degrees of freedom"),
}
SAMPLERS: dict[SamplerName, SamplerTraits] = {
    "auto": SamplerTraits("the cheapest that is reliable"),
    "rejection": SamplerTraits("the literal way", counts=True),
    "collapsed": SamplerTraits("literal guesses of W alone, without its hidden weights (Gaussian prior)", counts=True),
    "conditional": SamplerTraits("guesses of hidden features, the last layer given the data (Gaussian prior)"),
    "splitting": SamplerTraits("from the prior to ε_train by a ladder of thresholds"),
}

CHOICES: Mapping[str, Mapping[Any, Traits]] = {
    "model.activation": ACTIVATIONS,
    "gd.optimizer": OPTIMIZERS,
    "gd.init": INITS,
    "gnc.prior": PRIORS,
    "gnc.sampler": SAMPLERS,
}
"""by the field that takes one of them"""
