"""Singular values and vectors of the end-to-end matrix: all of them, or of a large product the leading ones.

Everything acts on a batch (the `seed` axis) at once; what comes out is on the device of what goes in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from engine.events import MAX_COMPLETE_SPECTRUM
from engine.parallel import map_blocks
from engine.randomness import Stream

OVERSAMPLING = 10
LARGEST_AS_ONE_BATCH = 32
"""Rows and columns of a matrix up to which a batch is decomposed at once. On the CPU numpy then takes less time than
torch (3.4 against 4.0 µs at 5×5, 10 against 12 at 10×10, 87 against 98 at 32×32; several times as long at 64×64). On a
GPU the library's batched Jacobi method ends here: beyond, it takes one matrix after another, 4.2 ms each at 100×100,
where one core of a CPU takes 1.6 (H200, Xeon)."""
POWER_ITERATIONS = 4
"""two suffice where the spectrum decays; four keep the first ten of a Gaussian matrix, the flattest, within 4 %"""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Spectrum:
    """The leading singular values, largest first, with their vectors as columns."""

    left: Float[Tensor, "seed m k"]
    values: Float[Tensor, "seed k"]
    right: Float[Tensor, "seed n k"]
    complete: bool
    """whether these are all that differ from 0, so that norms and ranks can be told from them"""

    def leading(self, count: int) -> Spectrum:
        """The first `count` of them."""
        if count >= self.values.shape[-1]:
            return self
        return Spectrum(self.left[..., :count], self.values[..., :count], self.right[..., :count], False)


def estimated_seconds(rows: int, columns: int, inner: int) -> float:
    """Rough time of the spectrum of one m×n matrix, or product over `inner` dimensions if it is large, on one core."""
    short, long = sorted((rows, columns))
    if short <= MAX_COMPLETE_SPECTRUM:
        return 3e-6 + 1.2e-9 * short**2 * long  # 3.4 µs at 5×5, 1.2 ms at 100×100
    return 4e-8 * inner * (rows + columns)  # the passes through both factors


def spectrum(matrices: Float[Tensor, "seed m n"]) -> Spectrum:
    """All singular values of matrices given entry by entry, with their vectors."""
    if max(matrices.shape[-2:]) > LARGEST_AS_ONE_BATCH:
        left, values, right = _one_by_one(partial(torch.linalg.svd, full_matrices=False), matrices)
    elif matrices.is_cuda:  # a batch that is not square is taken at once only if all vectors are asked for
        left, values, right = torch.linalg.svd(matrices, full_matrices=True)
        left, right = left[..., : values.shape[-1]], right[..., : values.shape[-1], :]
    else:
        left, values, right = map(torch.from_numpy, np.linalg.svd(matrices.numpy(), full_matrices=False))
    return Spectrum(left, values, right.mT, True)


def singular_values(matrices: Float[Tensor, "seed m n"]) -> Float[Tensor, "seed k"]:
    """All of them, largest first, without their vectors."""
    if max(matrices.shape[-2:]) > LARGEST_AS_ONE_BATCH:
        (values,) = _one_by_one(lambda matrix: (torch.linalg.svdvals(matrix),), matrices)
    elif matrices.is_cuda:
        values = spectrum(matrices).values
    else:
        values = torch.linalg.svdvals(matrices)
    return values


def spectrum_of_product(left: Float[Tensor, "seed m k"], right: Float[Tensor, "seed k n"], count: int) -> Spectrum:
    """The spectrum of left·right, without ever forming the product.

    Where one of m, n and k is at most `MAX_COMPLETE_SPECTRUM` it is complete and exact, by QR of both sides; otherwise
    the leading `count` values are found.
    """
    rows, inner, columns = *left.shape[-2:], right.shape[-1]
    if min(rows, inner, columns) > MAX_COMPLETE_SPECTRUM:
        return leading_spectrum([left, right], count)
    if rows == min(rows, inner, columns):
        return _spectrum_of_wide(left @ right)
    if columns == min(rows, inner, columns):
        basis, triangle = torch.linalg.qr(left @ right)
        small = spectrum(triangle)
        return Spectrum(basis @ small.left, small.values, small.right, True)
    left_basis, left_triangle = torch.linalg.qr(left)
    right_basis, right_triangle = torch.linalg.qr(right.mT)
    small = spectrum(left_triangle @ right_triangle.mT)
    return Spectrum(left_basis @ small.left, small.values, right_basis @ small.right, True)


def leading_spectrum(product: Sequence[Float[Tensor, "seed _ _"]], count: int) -> Spectrum:
    """The leading `count` values of a product of matrices, which is never formed; exact where its rank is no more.

    A randomized range finder with power iterations [Halko, Martinsson, Tropp 2011, algorithms 4.4 and 5.1].
    """
    first, columns = product[0], product[-1].shape[-1]
    sketch = min(count + OVERSAMPLING, *(size for matrices in product for size in matrices.shape[-2:]))
    test = Stream(0, "sketch").normal(columns, sketch).to(first.device, first.dtype)
    forward, backward = list(reversed(product)), [matrices.mT for matrices in product]
    basis = torch.linalg.qr(_applied(forward, test)).Q
    for _ in range(POWER_ITERATIONS):
        basis = torch.linalg.qr(_applied(backward, basis)).Q
        basis = torch.linalg.qr(_applied(forward, basis)).Q
    compressed = basis.mT
    for matrices in product:
        compressed = compressed @ matrices
    small = _spectrum_of_wide(compressed)
    return Spectrum(basis @ small.left, small.values, small.right, False).leading(count)


def _spectrum_of_wide(matrices: Float[Tensor, "seed m n"]) -> Spectrum:
    """Of matrices with few rows: that of an m×m triangle."""
    basis, triangle = torch.linalg.qr(matrices.mT)
    small = spectrum(triangle.mT)
    return Spectrum(small.left, small.values, basis @ small.right, True)


def _one_by_one(
    function: Callable[[Float[Tensor, "m n"]], Sequence[Tensor]], matrices: Float[Tensor, "seed m n"]
) -> list[Tensor]:
    """`function` of each matrix, on all cores of the CPU, wherever the matrices are.

    One by one, since the library rounds by where in memory a matrix lies: the numbers must not depend on the cores.
    """
    on_cpu = matrices.cpu()
    found = map_blocks(CPU, lambda index: function(on_cpu[index]), range(len(on_cpu)))
    return [torch.stack(parts).to(matrices.device) for parts in zip(*found, strict=True)]


def _applied(matrices: Sequence[Tensor], vectors: Tensor) -> Tensor:
    """The first matrix first."""
    for matrix in matrices:
        vectors = matrix @ vectors
    return vectors
