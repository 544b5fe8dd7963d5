"""Near-zero initial weights for gradient descent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from engine.factorization import factor_shapes
from engine.randomness import Stream
from engine.settings import InitName, PointSettings


def _default_uniform(stream: Stream, rows: int, columns: int) -> Float[Tensor, "rows columns"]:
    """U(±1/√columns): what PyTorch's linear layer starts from (Kaiming uniform with a = √5)."""
    return stream.uniform(rows, columns) / math.sqrt(columns)


def _gaussian(stream: Stream, rows: int, columns: int) -> Float[Tensor, "rows columns"]:
    """N(0, 1/columns)."""
    return stream.normal(rows, columns) / math.sqrt(columns)


_INITS: dict[InitName, Callable[[Stream, int, int], Tensor]] = {
    "default_uniform": _default_uniform,
    "gaussian": _gaussian,
}


def initial_factors(point: PointSettings, seeds: Sequence[int]) -> list[Float[Tensor, "seed _ _"]]:
    """W_1 … W_L of every seed in float64, each entry times `gd.init_scale`."""
    init = _INITS[point.gd.init]
    streams = [Stream(seed, "init") for seed in seeds]
    return [
        torch.stack([init(stream, rows, columns) for stream in streams]) * point.gd.init_scale
        for rows, columns in factor_shapes(point)
    ]
