"""The Gaussian prior, collapsed: features through their Gram matrix, never drawing a hidden k×k weight matrix.

Given the features H (k×n) under a layer, the rows of W_j H are independent N(0, s² HᵀH), s the layer's scale: only the
n×n Gram matrix matters, or any factor C of it, CCᵀ = HᵀH. For linear σ, H = W_j H' has Gram C' G C'ᵀ with G a Wishart
matrix of k degrees of freedom, drawn by Bartlett's decomposition (Bartlett 1933): G = TTᵀ, T lower triangular with
χ_{k−i} on the diagonal and N(0, 1) below. Then C = C'T, a product of triangles whose cost does not know the width.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from engine.batch_last import cholesky, gram, matmul
from engine.models.activations import activation
from engine.models.factorization import factor_shapes
from engine.models.prior import layer_scales
from engine.randomness import Stream
from engine.spec.settings import PointSettings


def covariance_factor(point: PointSettings, stream: Stream, batch: int) -> Float[Tensor, "n q batch"]:
    """`batch` independent factors C in float64: given the hidden weights, the rows of W are independent N(0, CCᵀ).

    q = min(width, n), or n at depth 1. Gaussian prior only.
    """
    return features_factor(point, stream, batch) * layer_scales(point)[-1]


def features_factor(point: PointSettings, stream: Stream, batch: int) -> Float[Tensor, "n q batch"]:
    """C with CCᵀ = HᵀH, H the features under the last layer, or the identity at depth 1."""
    columns, width = point.problem.columns, point.model.width
    if point.model.depth == 1:
        identity = torch.eye(columns, dtype=torch.float64, device=stream.device)
        return identity[:, :, None].expand(-1, -1, batch)
    if width <= columns:
        return _narrow_features(point, stream, batch).transpose(0, 1).contiguous()
    if point.model.activation == "linear":
        return _wishart_chain(point, stream, batch)
    return _gram_chain(point, stream, batch)


def _narrow_features(point: PointSettings, stream: Stream, batch: int) -> Float[Tensor, "k n batch"]:
    """H itself: with no more features than columns it is the smaller factor, and drawing weights costs no more."""
    function = activation(point.model).function
    shapes, scales = factor_shapes(point)[:-1], layer_scales(point)[:-1]
    features = torch.empty(0)
    for layer, ((rows, columns), scale) in enumerate(zip(shapes, scales, strict=True)):
        weights = stream.normal(rows, columns, batch, dtype=torch.float32).double().mul_(scale)
        features = function(matmul(weights, features) if layer else weights)
    return features


def _wishart_chain(point: PointSettings, stream: Stream, batch: int) -> Float[Tensor, "n n batch"]:
    first, *scales = layer_scales(point)[:-1]
    factor = _bartlett(point.model.width, point.problem.columns, stream, batch) * first
    for scale in scales:
        factor = matmul(factor, _bartlett(point.model.width, point.problem.columns, stream, batch) * scale)
    return factor


def _bartlett(degrees: int, size: int, stream: Stream, batch: int) -> Float[Tensor, "n n batch"]:
    """T, lower triangular, with TTᵀ Wishart of `degrees` ≥ size degrees of freedom."""
    factor = torch.zeros(size, size, batch, dtype=torch.float64, device=stream.device)
    for column in range(size):
        factor[column, column] = stream.chi(degrees - column, batch)
        below = size - column - 1
        if below:
            factor[column + 1 :, column] = stream.normal(below, batch, dtype=torch.float32)
    return factor


def _gram_chain(point: PointSettings, stream: Stream, batch: int) -> Float[Tensor, "n n batch"]:
    function = activation(point.model).function
    scales = layer_scales(point)[:-1]
    width, columns = point.model.width, point.problem.columns
    features = function(stream.normal(width, columns, batch, dtype=torch.float32).mul_(scales[0]))
    for scale in scales[1:]:
        factor = cholesky(gram(features)).float() * scale
        rows = stream.normal(width, columns, batch, dtype=torch.float32)
        features = function(matmul(rows, factor.transpose(0, 1)))
    return cholesky(gram(features))
