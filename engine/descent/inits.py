"""Initial weights for gradient descent; `gd.init_scale` then multiplies every entry."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from engine.models.factorization import factor_shapes
from engine.randomness import Stream
from engine.spec.names import InitName
from engine.spec.settings import PointSettings

Shapes = Sequence[tuple[int, int]]


def _default_uniform(stream: Stream, shapes: Shapes) -> list[Float[Tensor, "_ _"]]:
    """U(±1/√columns): what PyTorch's linear layer starts from (Kaiming uniform with a = √5)."""
    return [stream.uniform(rows, columns) / math.sqrt(columns) for rows, columns in shapes]


def _gaussian(stream: Stream, shapes: Shapes) -> list[Float[Tensor, "_ _"]]:
    """N(0, 1/columns)."""
    return [stream.normal(rows, columns) / math.sqrt(columns) for rows, columns in shapes]


def _balanced(stream: Stream, shapes: Shapes) -> list[Float[Tensor, "_ _"]]:
    """W_{j+1}ᵀ W_{j+1} = W_j W_jᵀ for all j [Arora, Cohen, Golowich, Hu 2018, procedure 1; Arora et al. 2019].

    An m×n matrix A with entries N(0, 1/n) is split by its singular value decomposition A = U S Vᵀ into
    W_1 = S^{1/L} Vᵀ, W_j = S^{1/L}, W_L = U S^{1/L}, each padded with zeros to its shape. With fewer hidden units than
    min(m, n), only as many of the leading singular values fit.
    """
    depth, rows, columns = len(shapes), shapes[-1][0], shapes[0][1]
    left, values, right = torch.linalg.svd(stream.normal(rows, columns) / math.sqrt(columns), full_matrices=False)
    count = min([len(values), *(columns for _, columns in shapes[1:])])
    root = torch.diag(values[:count] ** (1 / depth))
    factors = [root] * depth
    factors[0] = factors[0] @ right[:count]
    factors[-1] = left[:, :count] @ factors[-1]
    return [_padded(factor, shape) for factor, shape in zip(factors, shapes, strict=True)]


def _identity(stream: Stream, shapes: Shapes) -> list[Float[Tensor, "_ _"]]:
    """Ones on the diagonal, zeros elsewhere (Arora et al. 2019, figure 3).

    As many ones in each layer as fit into all of them: more in some would only unbalance the factors.
    """
    count = min(min(shape) for shape in shapes)
    return [_padded(torch.eye(count, dtype=torch.float64), shape) for shape in shapes]


def _orthogonal(stream: Stream, shapes: Shapes) -> list[Float[Tensor, "_ _"]]:
    """Uniformly distributed matrices with orthonormal rows or columns, whichever are fewer [Saxe et al. 2014]."""
    return [_orthonormal(stream, rows, columns) for rows, columns in shapes]


def _orthonormal(stream: Stream, rows: int, columns: int) -> Float[Tensor, "rows columns"]:
    basis, triangle = torch.linalg.qr(stream.normal(max(rows, columns), min(rows, columns)))
    # QR fixes the signs by convention; undone, the law is uniform [Mezzadri 2007].
    basis *= triangle.diagonal().sign()
    matrix: Tensor = basis if rows >= columns else basis.mT
    return matrix


def _padded(factor: Float[Tensor, "_ _"], shape: tuple[int, int]) -> Float[Tensor, "_ _"]:
    whole = factor.new_zeros(*shape)
    whole[: factor.shape[0], : factor.shape[1]] = factor
    return whole


_INITS: dict[InitName, Callable[[Stream, Shapes], list[Tensor]]] = {
    "default_uniform": _default_uniform,
    "gaussian": _gaussian,
    "balanced": _balanced,
    "identity": _identity,
    "orthogonal": _orthogonal,
}


def initial_factors(point: PointSettings, seeds: Sequence[int]) -> list[Float[Tensor, "seed _ _"]]:
    """W_1 … W_L of every seed in float64, each entry times `gd.init_scale`."""
    init, shapes = _INITS[point.gd.init], factor_shapes(point)
    each_seed = [init(Stream(seed, "init"), shapes) for seed in seeds]
    return [torch.stack(layer) * point.gd.init_scale for layer in zip(*each_seed, strict=True)]
