"""Activations, each beside its derivative."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.spec.names import ActivationName
from engine.spec.settings import ModelSettings

_Elementwise = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Activation:
    """σ and σ′, both elementwise in the pre-activation."""

    function: _Elementwise
    derivative: _Elementwise
    fill: Callable[[Any, Any, Any, Any], None]
    """(backend, z, values, slopes): put σ(z) and σ′(z) into the arrays given, numpy's or torch's"""


def _leaky_relu(slope: float) -> Activation:
    def fill(backend: Any, z: Any, values: Any, slopes: Any) -> None:
        slopes[...] = z > 0
        slopes *= 1 - slope
        slopes += slope
        backend.multiply(z, slopes, out=values)

    return Activation(
        function=lambda z: torch.where(z > 0, z, slope * z),
        derivative=lambda z: torch.where(z > 0, torch.ones_like(z), slope),
        fill=fill,
    )


def _fill_linear(backend: Any, z: Any, values: Any, slopes: Any) -> None:
    values[...] = z
    slopes[...] = 1


def _fill_tanh(backend: Any, z: Any, values: Any, slopes: Any) -> None:
    backend.tanh(z, out=values)
    backend.multiply(values, values, out=slopes)
    slopes *= -1
    slopes += 1


def _fill_gelu(backend: Any, z: Any, values: Any, slopes: Any) -> None:
    _special(backend).ndtr(z, out=slopes)
    backend.multiply(z, slopes, out=values)
    slopes += z * backend.exp(-0.5 * z * z) * (1 / math.sqrt(2 * math.pi))


def _fill_erf(backend: Any, z: Any, values: Any, slopes: Any) -> None:
    _special(backend).erf(z, out=values)
    backend.multiply(z, z, out=slopes)
    slopes *= -1
    backend.exp(slopes, out=slopes)
    slopes *= 2 / math.sqrt(math.pi)


def _fill_sin(backend: Any, z: Any, values: Any, slopes: Any) -> None:
    backend.sin(z, out=values)
    backend.cos(z, out=slopes)


def _special(backend: Any) -> Any:
    if backend is torch:
        return torch.special
    import scipy.special  # here: a run that needs none of it would start 0.15 s later

    return scipy.special


def _tanh(z: Tensor) -> Tensor:
    """On the CPU by numpy, whose vector tanh takes 0.4 ns a number where torch's takes 2.6."""
    if z.device.type == "cpu" and not z.requires_grad:
        return torch.from_numpy(np.asarray(np.tanh(z.numpy())))
    return torch.tanh(z)


def _normal_density(z: Tensor) -> Tensor:
    return torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


_FIXED: dict[ActivationName, Activation] = {
    "linear": Activation(lambda z: z, torch.ones_like, _fill_linear),
    "tanh": Activation(_tanh, lambda z: 1 - _tanh(z) ** 2, _fill_tanh),
    "relu": _leaky_relu(0.0),
    "gelu": Activation(
        lambda z: z * torch.special.ndtr(z),
        lambda z: torch.special.ndtr(z) + z * _normal_density(z),
        _fill_gelu,
    ),
    "erf": Activation(torch.erf, lambda z: 2 / math.sqrt(math.pi) * torch.exp(-z * z), _fill_erf),
    "sin": Activation(torch.sin, torch.cos, _fill_sin),
}


def activation(model: ModelSettings) -> Activation:
    """The activation that `model` names."""
    if model.activation == "leaky_relu":
        return _leaky_relu(model.negative_slope)
    return _FIXED[model.activation]
