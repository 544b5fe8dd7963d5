"""The recovery problem: a low-rank ground truth, its measurements, and the two losses.

Everything carries a leading `seed` axis, one data set an index, so that gradient descent runs all of them at once.
Data are drawn in float64 on the CPU and then moved, so that they don't depend on device or dtype.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from engine.randomness import Stream
from engine.spec import problem_file, ratings
from engine.spec.settings import ProblemSettings

MAX_EXPLICIT_BASIS = 1_600
"""entries of W up to which the held-out basis of sensing is written out: a QR of that size takes half a second"""


MOST_ENTRIES_AT_ONCE = 1 << 18
"""entries of a large product that are held at once: 2 MB"""


@runtime_checkable
class Operator(Protocol):
    """A linear map W ↦ (<A_1, W>, …, <A_obs, W>), one for each seed."""

    def apply(self, matrices: Float[Tensor, "seed batch m n"]) -> Float[Tensor, "seed batch obs"]: ...

    def adjoint(
        self, coefficients: Float[Tensor, "seed batch obs"], rows: int, columns: int
    ) -> Float[Tensor, "seed batch m n"]:
        """Σ_i c_i A_i."""
        ...

    def apply_to_columns(self, columns: Float[Tensor, "mn batch"]) -> Float[Tensor, "obs batch"]:
        """The same for matrices given as columns; for a single seed."""
        ...

    def dense(self, entries: int) -> Float[Tensor, "seed obs mn"]:
        """The A_i written out, as rows of length m·n = `entries`."""
        ...

    def one(self, index: int) -> Operator:
        """The map of one seed, with a seed axis of length 1."""
        ...

    def to(self, device: torch.device, dtype: torch.dtype) -> Operator: ...


@dataclass(frozen=True)
class DenseOperator:
    """General measurement matrices, stored as rows of length m·n."""

    matrices: Float[Tensor, "seed obs mn"]

    def apply(self, matrices: Float[Tensor, "seed batch m n"]) -> Float[Tensor, "seed batch obs"]:
        return matrices.flatten(-2) @ self.matrices.mT

    def adjoint(
        self, coefficients: Float[Tensor, "seed batch obs"], rows: int, columns: int
    ) -> Float[Tensor, "seed batch m n"]:
        return (coefficients @ self.matrices).reshape(*coefficients.shape[:2], rows, columns)

    def apply_to_columns(self, columns: Float[Tensor, "mn batch"]) -> Float[Tensor, "obs batch"]:
        return self.matrices[0] @ columns

    def dense(self, entries: int) -> Float[Tensor, "seed obs mn"]:
        return self.matrices

    def one(self, index: int) -> DenseOperator:
        return DenseOperator(self.matrices[index : index + 1])

    def to(self, device: torch.device, dtype: torch.dtype) -> DenseOperator:
        return DenseOperator(self.matrices.to(device, dtype))


@dataclass(frozen=True)
class EntryOperator:
    """Single entries, stored as flat indices row·n + column: memory O(obs), never a dense A_i."""

    indices: Int[Tensor, "seed obs"]

    def apply(self, matrices: Float[Tensor, "seed batch m n"]) -> Float[Tensor, "seed batch obs"]:
        batch = matrices.shape[1]
        return matrices.flatten(-2).gather(-1, self.indices[:, None].expand(-1, batch, -1))

    def adjoint(
        self, coefficients: Float[Tensor, "seed batch obs"], rows: int, columns: int
    ) -> Float[Tensor, "seed batch m n"]:
        seeds, batch = coefficients.shape[:2]
        flat = coefficients.new_zeros(seeds, batch, rows * columns)
        index = self.indices[:, None].expand(-1, batch, -1)
        return flat.scatter_(-1, index, coefficients).reshape(seeds, batch, rows, columns)

    def apply_to_columns(self, columns: Float[Tensor, "mn batch"]) -> Float[Tensor, "obs batch"]:
        return columns[self.indices[0]]

    def dense(self, entries: int) -> Float[Tensor, "seed obs mn"]:
        return torch.nn.functional.one_hot(self.indices, entries).double()

    def one(self, index: int) -> EntryOperator:
        return EntryOperator(self.indices[index : index + 1])

    def to(self, device: torch.device, dtype: torch.dtype) -> EntryOperator:
        return EntryOperator(self.indices.to(device))


@dataclass(frozen=True)
class ComplementOperator:
    """What the measurements don't see, without a basis of it: the projection of vec(W) onto span{A_i}^⊥.

    Scaled by √(m·n / |B|), so that the mean square over its m·n components is (1/|B|) Σ_B <B, W>². The projection
    I − Aᵀ(A Aᵀ)⁻¹A costs an n×n Cholesky factor, where a basis costs an orthogonal matrix of m·n × m·n.
    """

    matrices: Float[Tensor, "seed obs mn"]
    """linearly independent A_i as rows"""
    gram_factor: Float[Tensor, "seed obs obs"]
    """lower Cholesky factor of A Aᵀ"""

    @staticmethod
    def of(matrices: Float[Tensor, "seed obs mn"]) -> ComplementOperator:
        return ComplementOperator(matrices, torch.linalg.cholesky(matrices @ matrices.mT))

    @property
    def _scale(self) -> float:
        count, entries = self.matrices.shape[-2:]
        return math.sqrt(entries / (entries - count))

    def _project(self, rows: Float[Tensor, "seed batch mn"]) -> Float[Tensor, "seed batch mn"]:
        coefficients = torch.cholesky_solve(self.matrices @ rows.mT, self.gram_factor)
        return self._scale * (rows - coefficients.mT @ self.matrices)

    def apply(self, matrices: Float[Tensor, "seed batch m n"]) -> Float[Tensor, "seed batch mn"]:
        return self._project(matrices.flatten(-2))

    def adjoint(
        self, coefficients: Float[Tensor, "seed batch mn"], rows: int, columns: int
    ) -> Float[Tensor, "seed batch m n"]:
        return self._project(coefficients).reshape(*coefficients.shape[:2], rows, columns)

    def apply_to_columns(self, columns: Float[Tensor, "mn batch"]) -> Float[Tensor, "mn batch"]:
        return self._project(columns.mT[None])[0].mT.contiguous()

    def dense(self, entries: int) -> Float[Tensor, "seed mn mn"]:
        eye = torch.eye(entries, dtype=self.matrices.dtype, device=self.matrices.device)
        return self._project(eye.expand(len(self.matrices), entries, entries))

    def one(self, index: int) -> ComplementOperator:
        return ComplementOperator(self.matrices[index : index + 1], self.gram_factor[index : index + 1])

    def to(self, device: torch.device, dtype: torch.dtype) -> ComplementOperator:
        return ComplementOperator(self.matrices.to(device, dtype), self.gram_factor.to(device, dtype))


def apply_to_product(
    operator: Operator, left: Float[Tensor, "seed m k"], right: Float[Tensor, "seed n k"]
) -> Float[Tensor, "seed obs"]:
    """What `operator` measures of W = left·rightᵀ; single entries are computed without ever holding all of W."""
    if not isinstance(operator, EntryOperator):
        return operator.apply((left @ right.mT)[:, None])[:, 0]
    return torch.stack([_entries_of_product(*operands) for operands in zip(left, right, operator.indices, strict=True)])


def _entries_of_product(
    left: Float[Tensor, "m k"], right: Float[Tensor, "n k"], indices: Int[Tensor, " obs"]
) -> Float[Tensor, " obs"]:
    """(left·rightᵀ) at flat indices in any order, some rows of it at a time.

    Rows as a dense product, because picking both sides' rows for each entry takes ten times longer at width 50.
    """
    count, columns = max(1, MOST_ENTRIES_AT_ONCE // len(right)), len(right)
    if not bool((indices[1:] > indices[:-1]).all()):
        ascending, order = indices.sort()
        return left.new_empty(len(indices)).index_copy_(0, order, _entries_of_product(left, right, ascending))
    starts = torch.arange(0, len(left) + count, count, device=indices.device)
    bounds = torch.searchsorted(indices, starts * columns).tolist()
    parts = []
    for block, (start, stop) in enumerate(pairwise(bounds)):
        part = left[block * count : (block + 1) * count] @ right.mT
        parts.append(part.flatten()[indices[start:stop] - block * count * columns])
    return torch.cat(parts)


@dataclass(frozen=True)
class Problem:
    """Data sets that share their shape: truths, training measurements, and what is held out."""

    truth: Float[Tensor, "seed m n"] | None
    """W*; None if it is not known, as may be in a problem file"""
    measurements: Operator
    """A_1 … A_n"""
    held_out: Operator
    """an orthonormal basis of span{A_i}^⊥ (where that is large, what has the same mean square), or the held-out
    measurements or ratings of a problem without truth"""
    targets: Float[Tensor, "seed obs"]
    """y_i = <A_i, W*>"""
    held_out_targets: Float[Tensor, "seed held"]
    """<B_i, W*>"""
    offset: Float[Tensor, " seed"] | None = None
    """what was subtracted from every rating; None where nothing was"""

    def training_loss(self, matrices: Float[Tensor, "seed batch m n"]) -> Float[Tensor, "seed batch"]:
        """(1/n) Σ (<A_i, W> − y_i)²."""
        return (self.measurements.apply(matrices) - self.targets[:, None]).square().mean(-1)

    def training_gradient(self, matrices: Float[Tensor, "seed batch m n"]) -> Float[Tensor, "seed batch m n"]:
        """∂L_train/∂W = (2/n) Σ (<A_i, W> − y_i) A_i."""
        residual = self.measurements.apply(matrices) - self.targets[:, None]
        return self.measurements.adjoint(residual * (2 / residual.shape[-1]), *matrices.shape[-2:])

    def generalization_loss(self, matrices: Float[Tensor, "seed batch m n"]) -> Float[Tensor, "seed batch"]:
        """(1/|B|) Σ_{B} (<B, W> − <B, W*>)²."""
        return (self.held_out.apply(matrices) - self.held_out_targets[:, None]).square().mean(-1)

    def losses_of_product(
        self, left: Float[Tensor, "seed m k"], right: Float[Tensor, "seed n k"]
    ) -> tuple[Float[Tensor, " seed"], Float[Tensor, " seed"]]:
        """Training and generalization loss of W = left·rightᵀ, one for each seed."""
        training = apply_to_product(self.measurements, left, right) - self.targets
        held_out = apply_to_product(self.held_out, left, right) - self.held_out_targets
        return training.square().mean(-1), held_out.square().mean(-1)

    def distance_to_truth(
        self, training_loss: Float[Tensor, "*any"], generalization_loss: Float[Tensor, "*any"]
    ) -> Float[Tensor, "*any"] | None:
        """‖W − W*‖_F of what has these losses: single entries, the observed and the others, are all of W.

        None for other measurements, which are not orthonormal, and where W* is not known.
        """
        if self.truth is None or not isinstance(self.measurements, EntryOperator):
            return None
        observed, others = self.targets.shape[-1], self.held_out_targets.shape[-1]
        return (observed * training_loss + others * generalization_loss).sqrt()

    def one(self, index: int) -> Problem:
        """The data set of one seed, with a seed axis of length 1."""
        return Problem(
            truth=None if self.truth is None else self.truth[index : index + 1],
            measurements=self.measurements.one(index),
            held_out=self.held_out.one(index),
            targets=self.targets[index : index + 1],
            held_out_targets=self.held_out_targets[index : index + 1],
            offset=None if self.offset is None else self.offset[index : index + 1],
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> Problem:
        """The same data elsewhere."""
        return replace(
            self,
            truth=None if self.truth is None else self.truth.to(device, dtype),
            measurements=self.measurements.to(device, dtype),
            held_out=self.held_out.to(device, dtype),
            targets=self.targets.to(device, dtype),
            held_out_targets=self.held_out_targets.to(device, dtype),
            offset=None if self.offset is None else self.offset.to(device, dtype),
        )


def observed_entries(problem: Problem) -> list[int] | None:
    """Flat indices row·n + column of the entries in the one training set in `problem`; None where none is an entry."""
    operator = problem.measurements
    return operator.indices[0].tolist() if isinstance(operator, EntryOperator) else None


def ratings_tables(
    problem: Problem, matrix: Float[Tensor, "m n"]
) -> tuple[list[list[float | None]], list[list[float]]]:
    """Of the one data set in `problem`: the training ratings (None where there is none), and `matrix` as ratings."""
    offset = 0.0 if problem.offset is None else float(problem.offset)
    operator = problem.measurements
    if not isinstance(operator, EntryOperator):
        raise TypeError("ratings are entries")
    observed: list[list[float | None]] = [[None] * matrix.shape[1] for _ in range(matrix.shape[0])]
    for index, value in zip(operator.indices[0].tolist(), problem.targets[0].tolist(), strict=True):
        row, column = divmod(index, matrix.shape[1])
        observed[row][column] = value + offset
    return observed, (matrix + offset).tolist()


def make_problem(settings: ProblemSettings, seeds: Sequence[int]) -> Problem:
    """One data set for each of `seeds`, a product of two Gaussian factors, scaled to `norm`.

    Sensing draws Gaussian A_i, each scaled to unit Frobenius norm; completion takes entries without replacement. A
    problem file gives every seed the same data, and so do ratings, but for which of them are held out at random.
    """
    if settings.kind == "file":
        return _from_file(Path(settings.path), len(seeds))
    if settings.kind == "ratings":
        return _from_ratings(settings, seeds)
    truth = torch.stack([_ground_truth(settings, seed) for seed in seeds])
    measurements, held_out = {"sensing": _sensing, "completion": _completion}[settings.kind](settings, seeds)
    return Problem(
        truth=truth,
        measurements=measurements,
        held_out=held_out,
        targets=measurements.apply(truth[:, None])[:, 0],
        held_out_targets=held_out.apply(truth[:, None])[:, 0],
    )


def _from_file(path: Path, seeds: int) -> Problem:
    arrays = problem_file.read(path)

    def each_seed(array: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(array).expand(seeds, *array.shape)

    return Problem(
        truth=None if arrays.truth is None else each_seed(arrays.truth),
        measurements=DenseOperator(each_seed(arrays.measurements).flatten(2)),
        held_out=DenseOperator(each_seed(arrays.held_out).flatten(2)),
        targets=each_seed(arrays.targets),
        held_out_targets=each_seed(arrays.held_out_targets),
    )


def _from_ratings(settings: ProblemSettings, seeds: Sequence[int]) -> Problem:
    """Ratings are entries without a truth: the training set is measured, the test set held out."""
    data = ratings.load(settings.path, settings.test_path, settings.rows, settings.columns, settings.first_index)
    flat, values = torch.from_numpy(data.flat(data.ratings)), torch.from_numpy(data.ratings.values)
    if data.test is not None:
        indices, targets = flat.expand(len(seeds), -1), values.expand(len(seeds), -1)
        test_indices = torch.from_numpy(data.flat(data.test)).expand(len(seeds), -1)
        test_targets = torch.from_numpy(data.test.values).expand(len(seeds), -1)
    else:
        count = data.test_count(settings.test_fraction)
        test = torch.stack([Stream(seed, "split").subset(len(flat), count) for seed in seeds])
        kept = torch.ones(len(seeds), len(flat), dtype=torch.bool).scatter_(1, test, False)
        training = kept.nonzero()[:, 1].view(len(seeds), len(flat) - count)
        indices, targets, test_indices, test_targets = flat[training], values[training], flat[test], values[test]
    offset = targets.mean(-1) if settings.center else None
    if offset is not None:
        targets, test_targets = targets - offset[:, None], test_targets - offset[:, None]
    return Problem(
        truth=None,
        measurements=EntryOperator(indices),
        held_out=EntryOperator(test_indices),
        targets=targets,
        held_out_targets=test_targets,
        offset=offset,
    )


def _ground_truth(settings: ProblemSettings, seed: int) -> Float[Tensor, "m n"]:
    stream = Stream(seed, "truth")
    left, right = stream.normal(settings.rows, settings.rank), stream.normal(settings.rank, settings.columns)
    product = left @ right
    return product * (settings.norm / float(product.norm()))


def _sensing(settings: ProblemSettings, seeds: Sequence[int]) -> tuple[Operator, Operator]:
    entries = settings.rows * settings.columns
    gaussian = torch.stack([Stream(seed, "measurements").normal(settings.measurements, entries) for seed in seeds])
    unit = gaussian.div_(gaussian.norm(dim=-1, keepdim=True))
    if entries > MAX_EXPLICIT_BASIS:
        return DenseOperator(unit), ComplementOperator.of(unit)
    complete_basis = torch.linalg.qr(unit.mT, mode="complete").Q
    held_out = complete_basis[..., settings.measurements :].mT.contiguous()
    return DenseOperator(unit), DenseOperator(held_out)


def _completion(settings: ProblemSettings, seeds: Sequence[int]) -> tuple[Operator, Operator]:
    entries = settings.rows * settings.columns
    observed = torch.stack([Stream(seed, "measurements").subset(entries, settings.measurements) for seed in seeds])
    mask = torch.ones(len(seeds), entries, dtype=torch.bool).scatter_(1, observed, False)
    unobserved = mask.nonzero()[:, 1].clone()  # a view would keep the rows' numbers in memory too
    return EntryOperator(observed), EntryOperator(unobserved.view(len(seeds), entries - settings.measurements))
