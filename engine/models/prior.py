"""The prior P: independent weights, scaled layer by layer, and the end-to-end matrix they make.

Weights and matrices have their batch as the last axis (see `engine.batch_last`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from engine.batch_last import matmul
from engine.models.activations import activation
from engine.models.factorization import factor_shapes
from engine.randomness import Stream
from engine.spec.names import PriorName
from engine.spec.settings import PointSettings

SOFTENING = 1e-6
"""added to the norm that a normalized matrix is divided by [Alexander et al. 2025, experiments]"""

SMALLEST_DEFERRED_SCALE = 1e-9
"""unscaled products grow as the inverse of this; single precision ends at 1e38"""

Weights = Sequence[Float[Tensor, "_ _ batch"]]
"""W_1 … W_L before scaling"""


@dataclass(frozen=True)
class WeightLaw:
    """The distribution of one weight before scaling: symmetric, so that the width theorem's assumptions hold."""

    from_normal: Callable[[Tensor], Tensor]
    """a standard normal's image, elementwise: how samplers that move in Gaussian space see the law"""
    draw: Callable[[Stream, tuple[int, ...], torch.dtype], Tensor]
    """independent weights"""
    fourth_moment: bool = True
    """whether there is one"""


def _of_normal(from_normal: Callable[[Tensor], Tensor], *, fourth_moment: bool = True) -> WeightLaw:
    return WeightLaw(
        from_normal, lambda stream, shape, dtype: from_normal(stream.normal(*shape, dtype=dtype)), fourth_moment
    )


def _uniform(half_width: float) -> WeightLaw:
    """U[−h, h] = h (2Φ(x) − 1)."""
    return WeightLaw(
        from_normal=lambda x: torch.erf(x * math.sqrt(0.5)) * half_width,
        draw=lambda stream, shape, dtype: stream.uniform(*shape, dtype=dtype).mul_(half_width),
    )


def _signs(x: Tensor) -> Tensor:
    return torch.where(x >= 0, torch.ones_like(x), -1.0)


def _log_two_sided_tail(x: Tensor) -> Tensor:
    """log 2Φ(−|x|)."""
    tail: Tensor = torch.special.log_ndtr(-x.abs())
    return tail + math.log(2)


def _student_4(x: Tensor) -> Tensor:
    """Quantile of Student's t with 4 degrees of freedom, over its standard deviation √2.

    With α = 4p(1 − p): t = ±2 √(cos(⅓ arccos √α)/√α − 1) [Shaw 2006, eq. 36].
    """
    tail = _log_two_sided_tail(x).exp()
    root = (tail * (2 - tail)).clamp(1e-30, 1.0).sqrt()
    return _signs(x) * torch.sqrt(2 * ((torch.acos(root) / 3).cos() / root - 1).clamp_min(0))


LAWS: dict[PriorName, WeightLaw] = {
    "gaussian": _of_normal(lambda x: x),
    "uniform": _uniform(1.0),
    "uniform_matched": _uniform(math.sqrt(3)),
    "rademacher": _of_normal(_signs),
    "laplace": _of_normal(lambda x: -_signs(x) * _log_two_sided_tail(x) * math.sqrt(0.5)),
    "student_t": _of_normal(_student_4, fourth_moment=False),
}


def layer_scales(point: PointSettings) -> list[float]:
    """Factor on each layer's weights: 1/√(output dimension), or 1/√(input dimension) with fan_in."""
    return [
        1 / math.sqrt(rows if point.gnc.scaling == "fan_out" else columns) for rows, columns in factor_shapes(point)
    ]


def sample_weights(point: PointSettings, stream: Stream, batch: int, dtype: torch.dtype) -> Weights:
    """`batch` independent draws of all weights, not scaled yet."""
    law = LAWS[point.gnc.prior]
    return [law.draw(stream, (rows, columns, batch), dtype) for rows, columns in factor_shapes(point)]


def matrices_of(point: PointSettings, weights: Weights) -> Float[Tensor, "m n batch"]:
    """The end-to-end matrices of scaled weights, normalized if the settings say so."""
    function = activation(point.model).function
    scales = layer_scales(point)
    if point.model.activation == "linear" and math.prod(scales) > SMALLEST_DEFERRED_SCALE:
        scales = [*[1.0] * (len(scales) - 1), math.prod(scales)]  # one multiplication at the end, not one a layer
    matrices = weights[0] if scales[0] == 1.0 else weights[0] * scales[0]
    for factor, scale in zip(weights[1:], scales[1:], strict=True):
        matrices = matmul(factor, function(matrices))
        if scale != 1.0:
            matrices *= scale
    return normalized(matrices) if point.gnc.normalize else matrices


def sample_matrices(point: PointSettings, stream: Stream, batch: int, dtype: torch.dtype) -> Float[Tensor, "m n batch"]:
    """`batch` independent end-to-end matrices."""
    return matrices_of(point, sample_weights(point, stream, batch, dtype))


def normalized(matrices: Float[Tensor, "m n batch"]) -> Float[Tensor, "m n batch"]:
    """W / (‖W‖_F + 1e−6)."""
    norms: Tensor = torch.linalg.vector_norm(matrices, dim=(0, 1))
    return matrices / (norms + SOFTENING)
