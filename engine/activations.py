"""Activations, each beside its derivative.

`antisymmetric` marks σ(−a) = −σ(a), which the width theorem assumes (Alexander, Slutzky, Ran-Milo, Cohen 2025).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.settings import ActivationName, ModelSettings

_Elementwise = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Activation:
    """σ and σ′, both elementwise in the pre-activation."""

    function: _Elementwise
    derivative: _Elementwise
    antisymmetric: bool


def _leaky_relu(slope: float) -> Activation:
    return Activation(
        function=lambda z: torch.where(z > 0, z, slope * z),
        derivative=lambda z: torch.where(z > 0, torch.ones_like(z), slope),
        antisymmetric=slope == 1.0,
    )


def _normal_density(z: Tensor) -> Tensor:
    return torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


_FIXED: dict[ActivationName, Activation] = {
    "linear": Activation(lambda z: z, torch.ones_like, antisymmetric=True),
    "tanh": Activation(torch.tanh, lambda z: 1 - torch.tanh(z) ** 2, antisymmetric=True),
    "relu": _leaky_relu(0.0),
    "gelu": Activation(
        lambda z: z * torch.special.ndtr(z),
        lambda z: torch.special.ndtr(z) + z * _normal_density(z),
        antisymmetric=False,
    ),
    "erf": Activation(torch.erf, lambda z: 2 / math.sqrt(math.pi) * torch.exp(-z * z), antisymmetric=True),
    "sin": Activation(torch.sin, torch.cos, antisymmetric=True),
}


def activation(model: ModelSettings) -> Activation:
    """The activation that `model` names."""
    if model.activation == "leaky_relu":
        return _leaky_relu(model.negative_slope)
    return _FIXED[model.activation]
