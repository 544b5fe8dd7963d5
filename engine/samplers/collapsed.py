"""Rejection on the collapsed prior: the same law as plain rejection, drawn without the hidden weight matrices.

Given the last features, the rows of W are independent N(0, CCᵀ), C as in `engine.samplers.collapse`; a draw costs
O(width) for a nonlinear model and is free of the width for a linear one. Gaussian prior, any activation and
normalization.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from engine.batch_last import matmul
from engine.models.prior import normalized
from engine.randomness import Stream
from engine.samplers.collapse import covariance_factor
from engine.samplers.rejection import Rejection
from engine.spec.names import SamplerName
from engine.spec.settings import PointSettings


class Collapsed(Rejection):
    name: SamplerName = "collapsed"

    def numbers_per_draw(self, point: PointSettings) -> int:
        columns, width, hidden = point.problem.columns, point.model.width, point.model.depth - 1
        if width <= columns:
            return super().numbers_per_draw(point)
        per_layer = columns * (columns + 1) // 2 if point.model.activation == "linear" else width * columns
        return point.problem.rows * columns + hidden * per_layer

    def draw(self, point: PointSettings, stream: Stream, batch: int, dtype: torch.dtype) -> Float[Tensor, "m n batch"]:
        factor = covariance_factor(point, stream, batch).to(dtype)
        rows = stream.normal(point.problem.rows, factor.shape[1], batch, dtype=torch.float32).to(dtype)
        matrices = matmul(rows, factor.transpose(0, 1))
        return normalized(matrices) if point.gnc.normalize else matrices
