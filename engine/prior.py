"""The prior P: independent weights, scaled layer by layer, and the end-to-end matrix they make."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from engine.activations import activation
from engine.factorization import end_to_end_matrix, factor_shapes
from engine.randomness import Stream
from engine.settings import PointSettings

SOFTENING = 1e-6
"""added to the norm that a normalized matrix is divided by [Alexander et al. 2025, experiments]"""


def layer_scales(point: PointSettings) -> list[float]:
    """Factor on each layer's unit weights: 1/√(output dimension), or 1/√(input dimension) with fan_in."""
    return [
        1 / math.sqrt(rows if point.gnc.scaling == "fan_out" else columns) for rows, columns in factor_shapes(point)
    ]


def sample_factors(
    point: PointSettings, stream: Stream, batch: int, dtype: torch.dtype
) -> list[Float[Tensor, "batch _ _"]]:
    """`batch` independent draws of W_1 … W_L."""
    draw = {"gaussian": stream.normal, "uniform": stream.uniform}[point.gnc.prior]
    return [
        draw(batch, rows, columns, dtype=dtype).mul_(scale)
        for (rows, columns), scale in zip(factor_shapes(point), layer_scales(point), strict=True)
    ]


def sample_matrices(point: PointSettings, stream: Stream, batch: int, dtype: torch.dtype) -> Float[Tensor, "batch m n"]:
    """`batch` independent end-to-end matrices, normalized if the settings say so."""
    matrices = end_to_end_matrix(sample_factors(point, stream, batch, dtype), activation(point.model))
    return normalized(matrices) if point.gnc.normalize else matrices


def normalized(matrices: Float[Tensor, "*batch m n"]) -> Float[Tensor, "*batch m n"]:
    """W / (‖W‖_F + 1e−6)."""
    norms: Tensor = torch.linalg.matrix_norm(matrices, keepdim=True)
    return matrices / (norms + SOFTENING)
