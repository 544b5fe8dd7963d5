"""Linear algebra on many small matrices at once, the batch as the last axis.

A 5×5 product costs about 30 ns this way on one core and 170–430 ns through `torch.bmm`: each line below is one long
vector operation, where bmm runs a loop of tiny ones. Sizes are those of W, so loops over rows and columns are short.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

ENTRIES_AT_ONCE = 1 << 18
"""of a product: its sums stay in a core's cache, 1 MB"""


def matmul(left: Float[Tensor, "i j batch"], right: Float[Tensor, "j l batch"]) -> Float[Tensor, "i l batch"]:
    """left · right, matrix by matrix."""
    product = torch.empty(left.shape[0], *right.shape[1:], dtype=right.dtype, device=right.device)
    rows = max(1, ENTRIES_AT_ONCE // max(1, right[0].numel())) if right.device.type == "cpu" else len(left)
    for start in range(0, len(left), rows):
        part, factor = product[start : start + rows], left[start : start + rows]
        torch.mul(factor[:, 0, None], right[0], out=part)
        for inner in range(1, left.shape[1]):
            part.addcmul_(factor[:, inner, None], right[inner])
    return product


def gram(matrices: Float[Tensor, "i j batch"]) -> Float[Tensor, "j j batch"]:
    """HᵀH in float64: deep Gram matrices are nearly singular, and float32 would lose their small directions."""
    columns = matrices.double().transpose(0, 1)
    count = columns.shape[0]
    product = torch.empty(count, count, matrices.shape[-1], dtype=torch.float64, device=matrices.device)
    for a in range(count):
        for b in range(a + 1):
            product[a, b] = product[b, a] = (columns[a] * columns[b]).sum(0)
    return product


def cholesky(matrices: Float[Tensor, "n n batch"]) -> Float[Tensor, "n n batch"]:
    """Lower Cholesky factors, zeros above. Where a matrix is singular up to rounding, the column is zero."""
    factor = matrices.clone()
    size = factor.shape[0]
    rounding = size * torch.finfo(factor.dtype).eps * factor.diagonal(dim1=0, dim2=1).amax(-1)
    for j in range(size):
        pivot = factor[j, j]
        factor[j:, j].mul_(torch.where(pivot > rounding, pivot.rsqrt(), 0.0))
        factor[j, j + 1 :] = 0
        if j + 1 < size:
            factor[j + 1 :, j + 1 :].addcmul_(factor[j + 1 :, None, j], factor[None, j + 1 :, j], value=-1)
    return factor


def solve_lower(factor: Float[Tensor, "n n batch"], right: Float[Tensor, "n batch"]) -> Float[Tensor, "n batch"]:
    """L⁻¹ b."""
    solution = right.clone()
    for j in range(len(solution)):
        solution[j].div_(factor[j, j])
        solution[j + 1 :].addcmul_(factor[j + 1 :, j], solution[j], value=-1)
    return solution


def solve_lower_transposed(
    factor: Float[Tensor, "n n batch"], right: Float[Tensor, "n batch"]
) -> Float[Tensor, "n batch"]:
    """L⁻ᵀ b."""
    solution = right.clone()
    for j in reversed(range(len(solution))):
        solution[j].div_(factor[j, j])
        solution[:j].addcmul_(factor[j, :j], solution[j], value=-1)
    return solution
