"""The gradient of the training loss as a list of operations on fixed buffers: what is between the two passes of a step.

Each builder takes the buffers of the end-to-end matrices and of their gradients and returns the operations that fill
the second from the first. Runs are ordered seed by seed, so that the sweep points of a seed share its data as rows of
one product. Which builder serves a problem is decided by what was measured fastest (2 cores, OpenBLAS).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from engine.descent.optimizers.stochastic import Batches
from engine.problems.problem import EntryOperator, Problem

Operations = list[Callable[[], object]]


def operation(backend: Any, name: str, left: Any, right: Any, out: Any) -> Callable[[], object]:
    """`backend.name(left, right)` into `out`. By position in numpy: a keyword costs 0.15 of a call's 1.3 µs."""
    function = getattr(backend, name)
    return partial(function, left, right, out=out) if backend is torch else partial(function, left, right, out)


MOST_FOLDED = 1024
"""entries of W up to which (2/n) AᵀA is formed: 8 MB a data set"""
SPARSE_ENTRIES = 1 << 16
"""below this many entries the dense product is as fast, whatever is observed"""
SPARSE_DENSITY = 1 / 6
"""at 1,682×943, width 50, one step with 100,000 entries (density 1/16) takes 5 ms sparse and 14 ms dense"""
ALWAYS_SPARSE_ENTRIES = 1 << 22
"""beyond this a dense W costs more memory (32 MB a run) than it can save time"""


@dataclass(frozen=True)
class Scale:
    """What multiplies every run's gradient: the learning rates, or 1."""

    of_run: Float[Tensor, "seed point"]

    @property
    def of_seed(self) -> Float[Tensor, " seed"] | None:
        """The factor of each seed, if its sweep points agree: it can then be folded into the data."""
        first = self.of_run[:, 0]
        return first if bool((self.of_run == first[:, None]).all()) else None


def is_sparse(problem: Problem, rows: int, columns: int, depth: int) -> bool:
    """Whether a step should touch the observed entries only and never form W."""
    if depth == 1 or not isinstance(problem.measurements, EntryOperator):
        return False
    entries, observed = rows * columns, problem.targets.shape[-1]
    if entries > ALWAYS_SPARSE_ENTRIES:
        return True
    return entries >= SPARSE_ENTRIES and observed < SPARSE_DENSITY * entries


class EndToEnd:
    """Buffers of W and of the gradient at W, shape (seed, point, m·n), and the operations between them."""

    def __init__(self, problem: Problem, scale: Scale, rows: int, columns: int, backend: Any) -> None:
        """`backend` is numpy or torch; what is computed with numpy lies in the same memory."""
        self._problem, self._scale, self._backend = problem, scale, backend
        self._entries = rows * columns
        seeds, points = scale.of_run.shape
        # The last column is 1: it carries the constant term where the operator is folded.
        self._augmented = problem.targets.new_ones(seeds, points, self._entries + 1)
        self._flat = self._augmented[..., :-1]
        self._flat_gradient = torch.zeros_like(self._flat).contiguous()
        shape = (seeds * points, rows, columns)
        self.matrix = self._augmented.view(seeds * points, -1)[:, :-1].view(shape)
        self.gradient = self._flat_gradient.view(shape)

    def operations(self, batch: Int[Tensor, "seed drawn"] | None) -> Operations:
        """`batch` holds the measurements of the step where not all are used."""
        operator = self._problem.measurements
        if isinstance(operator, EntryOperator):
            return self._entry_batch(operator, batch) if batch is not None else self._masked(operator)
        matrices = operator.dense(self._entries)
        if batch is not None:
            return self._dense_batch(matrices, batch)
        folded = self._entries <= min(MOST_FOLDED, 2 * matrices.shape[1])
        return self._folded(matrices) if folded else self._two_products(matrices)

    def _factor(self, count: int) -> tuple[Float[Tensor, "seed 1 1"], Operations]:
        """2/n and what of the scale can be folded, and the operations for what can't."""
        of_seed = self._scale.of_seed
        if of_seed is not None:
            return (2 / count) * of_seed[:, None, None], []
        rest = self._array(self._scale.of_run[..., None].contiguous())
        gradient = self._array(self._flat_gradient)
        ones = torch.ones_like(self._scale.of_run[:, :1, None])
        return (2 / count) * ones, [operation(self._backend, "multiply", gradient, rest, gradient)]

    def _folded(self, matrices: Float[Tensor, "seed obs mn"]) -> Operations:
        """G = M vec(W) − b with M = (2/n) AᵀA and b = (2/n) Aᵀy: one product, for few entries."""
        factor, rest = self._factor(matrices.shape[1])
        constant = -(self._problem.targets[:, None] @ matrices)
        operator = (factor * torch.cat([matrices.mT @ matrices, constant], dim=1)).contiguous()
        product = operation(
            self._backend,
            "matmul",
            self._array(self._augmented),
            self._array(operator),
            self._array(self._flat_gradient),
        )
        return [product, *rest]

    def _two_products(self, matrices: Float[Tensor, "seed obs mn"]) -> Operations:
        """G = (2/n) Aᵀ(A vec(W) − y)."""
        factor, rest = self._factor(matrices.shape[1])
        xp, array = self._backend, self._array
        residual = array(self._problem.targets.new_empty(*self._scale.of_run.shape, matrices.shape[1]))
        targets, measured, factor_ = array(self._problem.targets[:, None]), array(matrices), array(factor)
        return [
            operation(xp, "matmul", array(self._flat), measured.swapaxes(-1, -2), residual),
            operation(xp, "subtract", residual, targets, residual),
            operation(xp, "multiply", residual, factor_, residual),
            operation(xp, "matmul", residual, measured, array(self._flat_gradient)),
            *rest,
        ]

    def _masked(self, operator: EntryOperator) -> Operations:
        """G = (2/n) (W − Y) at the observed entries, 0 elsewhere: AᵀA is diagonal."""
        factor, rest = self._factor(operator.indices.shape[1])
        targets = self._problem.targets
        zeros = targets.new_zeros(len(targets), self._entries)
        mask = zeros.scatter_add(1, operator.indices, torch.ones_like(targets))[:, None] * factor
        constant = zeros.scatter_add(1, operator.indices, targets)[:, None] * factor
        gradient = self._array(self._flat_gradient)
        return [
            operation(self._backend, "multiply", self._array(self._flat), self._array(mask), gradient),
            operation(self._backend, "subtract", gradient, self._array(constant), gradient),
            *rest,
        ]

    def _dense_batch(self, matrices: Float[Tensor, "seed obs mn"], batch: Int[Tensor, "seed drawn"]) -> Operations:
        factor = (2 / batch.shape[1]) * self._scale.of_run[..., None]
        seeds = torch.arange(len(batch), device=batch.device)[:, None]
        targets = self._problem.targets

        def step() -> None:
            drawn = matrices[seeds, batch]
            residual = self._flat @ drawn.mT
            residual -= targets.gather(1, batch)[:, None]
            residual *= factor
            torch.matmul(residual, drawn, out=self._flat_gradient)

        return [step]

    def _entry_batch(self, operator: EntryOperator, batch: Int[Tensor, "seed drawn"]) -> Operations:
        factor = (2 / batch.shape[1]) * self._scale.of_run[..., None]
        points = self._scale.of_run.shape[1]

        def step() -> None:
            indices = operator.indices.gather(1, batch)[:, None].expand(-1, points, -1)
            residual = self._flat.gather(2, indices)
            residual -= self._problem.targets.gather(1, batch)[:, None]
            residual *= factor
            self._flat_gradient.zero_().scatter_add_(2, indices, residual)

        return [step]

    def _array(self, tensor: Tensor) -> Any:
        return tensor if self._backend is torch else tensor.numpy()


@dataclass(frozen=True)
class LastProduct:
    """One run's buffers around W = W_L Fᵀ."""

    last: Float[Tensor, "m width"]
    features: Float[Tensor, "n width"]
    last_gradient: Float[Tensor, "m width"]
    features_gradient: Float[Tensor, "n width"]


def sparse_operations(
    problem: Problem, scale: Scale, products: list[LastProduct], batch: Int[Tensor, "seed drawn"] | None
) -> Operations:
    """Both gradients of the last product from the observed entries alone: W_ij = <(W_L)_i, F_j>.

    With R the sparse matrix of the residuals times 2/n, ∂ℓ/∂W_L = R F and ∂ℓ/∂F = Rᵀ W_L. Memory O(n) a run.
    """
    operator = problem.measurements
    if not isinstance(operator, EntryOperator):
        raise TypeError("only single entries can be worked on sparsely")
    points = scale.of_run.shape[1]
    operations: Operations = []
    for run, product in enumerate(products):
        seed, point = divmod(run, points)
        indices, targets = operator.indices[seed], problem.targets[seed]
        factor = float(scale.of_run[seed, point])
        if batch is None:
            operations.append(_all_entries(product, indices, targets, factor))
        else:
            operations.append(_some_entries(product, indices, targets, factor, batch[seed]))
    return operations


def _all_entries(
    product: LastProduct, indices: Int[Tensor, " obs"], targets: Float[Tensor, " obs"], factor: float
) -> Callable[[], object]:
    rows, columns = len(product.last), len(product.features)
    factor *= 2 / len(indices)
    order = indices.argsort()
    row, column = indices[order] // columns, indices[order] % columns
    observed = _csr(row, column, targets[order], (rows, columns))
    by_column = (column * rows + row).argsort()
    transposed = _csr(column[by_column], row[by_column], targets[order][by_column], (columns, rows))

    def step() -> None:
        residual = torch.sparse.sampled_addmm(observed, product.last, product.features.mT, beta=-factor, alpha=factor)
        torch.index_select(residual.values(), 0, by_column, out=transposed.values())
        product.last_gradient.copy_(_sparse_product(residual, product.features))
        product.features_gradient.copy_(_sparse_product(transposed, product.last))

    return step


def _some_entries(
    product: LastProduct,
    indices: Int[Tensor, " obs"],
    targets: Float[Tensor, " obs"],
    factor: float,
    batch: Int[Tensor, " drawn"],
) -> Callable[[], object]:
    columns = len(product.features)
    factor *= 2 / len(batch)

    def step() -> None:
        drawn = indices[batch]
        row, column = drawn // columns, drawn % columns
        last, features = product.last[row], product.features[column]
        residual = (last * features).sum(-1, keepdim=True)
        residual -= targets[batch][:, None]
        residual *= factor
        _add_rows(product.last_gradient.zero_(), row, residual * features)
        _add_rows(product.features_gradient.zero_(), column, residual * last)

    return step


def _add_rows(
    sums: Float[Tensor, "rows width"], rows: Int[Tensor, " drawn"], values: Float[Tensor, "drawn width"]
) -> None:
    """Add each of the values to its row, to the same bits every time.

    On a GPU index_add_ adds what falls on one row in any order, where index_put_ sorts; on the CPU it is the other way.
    """
    if sums.is_cuda:
        sums.index_put_((rows,), values, accumulate=True)
    else:
        sums.index_add_(0, rows, values)


def _sparse_product(matrix: Tensor, factor: Float[Tensor, "columns width"]) -> Float[Tensor, "rows width"]:
    """A sparse matrix (CSR) times a dense one, to the same bits every time.

    On a GPU the library's product adds up a row in any order; a bag takes its members in turn, in half the time. On the
    CPU a bag takes 2.5 times as long.
    """
    if not factor.is_cuda:
        return matrix @ factor
    return torch.nn.functional.embedding_bag(
        matrix.col_indices(),
        factor,
        matrix.crow_indices(),
        mode="sum",
        per_sample_weights=matrix.values(),
        include_last_offset=True,
    )


def _csr(
    row: Int[Tensor, " obs"], column: Int[Tensor, " obs"], values: Float[Tensor, " obs"], shape: tuple[int, int]
) -> Tensor:
    """A sparse matrix from entries sorted by row."""
    starts = torch.searchsorted(row, torch.arange(shape[0] + 1, device=row.device))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse", UserWarning)  # "in beta state": only plain products are used
        return torch.sparse_csr_tensor(starts, column, values.clone(), shape)


class Draw:
    """Puts the batch of each step in turn into a fixed buffer."""

    def __init__(self, batches: Batches, buffer: Int[Tensor, "seed obs"]) -> None:
        self._batches, self._buffer = batches, buffer
        self.step = 0

    def __call__(self) -> None:
        self._buffer.copy_(self._batches.at(self.step))
        self.step += 1
