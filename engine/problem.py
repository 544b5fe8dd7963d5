"""The recovery problem: a low-rank ground truth, its measurements, and the two losses.

Everything carries a leading `seed` axis, one data set an index, so that gradient descent runs all of them at once.
Data are drawn in float64 on the CPU and then moved, so that they don't depend on device or dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from engine import problem_file
from engine.randomness import Stream
from engine.settings import ProblemSettings


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
class Problem:
    """Data sets that share their shape: truths, training measurements, and what is held out."""

    truth: Float[Tensor, "seed m n"] | None
    """W*; None if it is not known, as may be in a problem file"""
    measurements: Operator
    """A_1 … A_n"""
    held_out: Operator
    """an orthonormal basis of span{A_i}^⊥, or the held-out measurements of a problem file without truth"""
    targets: Float[Tensor, "seed obs"]
    """y_i = <A_i, W*>"""
    held_out_targets: Float[Tensor, "seed held"]
    """<B_i, W*>"""

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

    def one(self, index: int) -> Problem:
        """The data set of one seed, with a seed axis of length 1."""
        return Problem(
            truth=None if self.truth is None else self.truth[index : index + 1],
            measurements=self.measurements.one(index),
            held_out=self.held_out.one(index),
            targets=self.targets[index : index + 1],
            held_out_targets=self.held_out_targets[index : index + 1],
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
        )


def make_problem(settings: ProblemSettings, seeds: Sequence[int]) -> Problem:
    """One data set for each of `seeds`, a product of two Gaussian factors, scaled to `norm`.

    Sensing draws Gaussian A_i, each scaled to unit Frobenius norm; completion takes entries without replacement. A
    problem file gives every seed the same data.
    """
    if settings.kind == "file":
        return _from_file(Path(settings.path), len(seeds))
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


def _ground_truth(settings: ProblemSettings, seed: int) -> Float[Tensor, "m n"]:
    stream = Stream(seed, "truth")
    left, right = stream.normal(settings.rows, settings.rank), stream.normal(settings.rank, settings.columns)
    product = left @ right
    return product * (settings.norm / float(product.norm()))


def _sensing(settings: ProblemSettings, seeds: Sequence[int]) -> tuple[Operator, Operator]:
    entries = settings.rows * settings.columns
    gaussian = torch.stack([Stream(seed, "measurements").normal(settings.measurements, entries) for seed in seeds])
    unit = gaussian / gaussian.norm(dim=-1, keepdim=True)
    complete_basis = torch.linalg.qr(unit.mT, mode="complete").Q
    held_out = complete_basis[..., settings.measurements :].mT.contiguous()
    return DenseOperator(unit), DenseOperator(held_out)


def _completion(settings: ProblemSettings, seeds: Sequence[int]) -> tuple[Operator, Operator]:
    entries = settings.rows * settings.columns
    observed = torch.stack([Stream(seed, "measurements").subset(entries, settings.measurements) for seed in seeds])
    mask = torch.ones(len(seeds), entries, dtype=torch.bool).scatter_(1, observed, False)
    unobserved = mask.nonzero()[:, 1].view(len(seeds), entries - settings.measurements)
    return EntryOperator(observed), EntryOperator(unobserved)
