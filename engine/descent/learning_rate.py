"""Learning rates: as given, or `auto`, half of what curvature allows.

Gradient descent is stable near a minimum if η < 2/λ, λ the largest eigenvalue of the Hessian there. Where the loss is 0
the Hessian of θ ↦ ℓ(W(θ)) is (2/n) Jᵀ Aᵀ A J, with A: W ↦ (<A_i, W>)_i and J the derivative of W. Off 0 it has the
eigenvalues of (2/n) A J Jᵀ Aᵀ, which acts on n numbers: where the A_i are single entries it needs no dense matrix. For
balanced factors J Jᵀ acts on V as Σ_j (W Wᵀ)^{(L−j)/L} V (Wᵀ W)^{(j−1)/L}, j = 1 … L
[Arora, Cohen, Hazan 2018, theorem 1]. W is taken of rank one, s u vᵀ, where J Jᵀ becomes

    V ↦ s^{2−2/L} (u uᵀ V + V v vᵀ + (L − 2) u uᵀ V v vᵀ)        (V itself at depth 1)

and λ follows by power iteration. Nothing but the measurements is looked at: s² = m n Σ y² / Σ ‖A_i‖² estimates ‖W*‖_F²
without bias (for Gaussian matrices, and for entries drawn evenly), and so leans to the large side for σ_1; u and v are
the leading singular vectors of Σ y_i A_i. Where the initial factors are larger than that, their own ‖J‖² counts:
Σ_j ‖W_L ⋯ W_{j+1}‖² ‖W_{j−1} ⋯ W_1‖². `auto` is 1/λ. Activations are taken for linear: none here is steeper than 1.13.

Momentum does not lower the limit 2/λ below 1.3/λ (Nesterov, μ → 1: 4/3; heavy ball: 2 (1 + μ)), so they share the rate.
A batch of b sees at most n/b times the full curvature, and SGD's rate is that much smaller.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor

from engine.problems.problem import EntryOperator, Problem
from engine.randomness import Stream
from engine.spec.names import OPTIMIZERS
from engine.spec.settings import PointSettings

ITERATIONS = 50
"""power iterations: they approach λ from below, by here within a few percent"""
Factors = Sequence[Float[Tensor, "seed _ _"]]


@dataclass(frozen=True)
class LearningRates:
    """The learning rates in force, in float64 on the CPU."""

    of_run: Float[Tensor, " run"]
    time: Float[Tensor, " run"]
    """how long the steps before the last change took, a step being as long as its learning rate"""
    since: int = -1
    """the step of the last change; -1 if there was none"""

    @staticmethod
    def initial(of_run: Float[Tensor, " run"]) -> LearningRates:
        return LearningRates(of_run, torch.zeros_like(of_run))

    def changed(self, step: int, rate: float) -> LearningRates:
        """With `rate` for all runs from `step` on."""
        return LearningRates(torch.full_like(self.of_run, checked(rate)), self.time_at(step), step)

    def time_at(self, step: int) -> Float[Tensor, " run"]:
        """How long the steps before `step` took; no step before the last change can be asked for."""
        return self.time + (step - max(self.since, 0)) * self.of_run


def checked(rate: float) -> float:
    """`rate` if it can be a learning rate; `ValueError` if not."""
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"learning rate: expected a finite number > 0, got {rate}")
    return rate


def learning_rates(point: PointSettings, problem: Problem, factors: Factors) -> Float[Tensor, " seed"]:
    """The step size of each data set, in float64; `factors` are the initial W_1 … W_L."""
    seeds = len(problem.targets)
    if point.gd.learning_rate != "auto":
        return torch.full((seeds,), point.gd.learning_rate, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse invariant checks", UserWarning)  # torch 2.11 warns that it makes none
        return torch.stack(
            [
                _stable(point, problem.one(index), [factor[index : index + 1] for factor in factors])
                for index in range(seeds)
            ]
        )


def _stable(point: PointSettings, problem: Problem, factors: Factors) -> Float[Tensor, ""]:
    rows, columns, depth = point.problem.rows, point.problem.columns, point.model.depth
    stream = Stream(0, "sketch")
    count = problem.targets.shape[-1]
    left, right = _leading_vectors(_adjoint(problem, problem.targets[0], rows, columns), stream.normal(columns, 1))
    start = stream.normal(count, 1)[:, 0]

    def curvature(coefficients: Tensor) -> Tensor:
        return (2 / count) * _gram(problem, coefficients, rows, columns)

    def end_to_end(coefficients: Tensor) -> Tensor:
        direction = _adjoint(problem, coefficients, rows, columns)
        return (2 / count) * _apply(problem, *_moved(direction, left, right, depth))

    at_init = _power_iteration(curvature, start)
    at_truth = _power_iteration(end_to_end, start) if depth > 1 else at_init
    at_truth = at_truth * _size(problem, rows, columns) ** (2 - 2 / depth)
    eigenvalue = torch.maximum(at_truth, at_init * _squared_jacobian(factors))
    batch = min(point.gd.batch_size, count) if OPTIMIZERS[point.gd.optimizer].batches else count
    return batch / count / eigenvalue.clamp_min(torch.finfo(torch.float64).tiny)


def _adjoint(problem: Problem, coefficients: Float[Tensor, " obs"], rows: int, columns: int) -> Tensor:
    """Σ c_i A_i of the one data set in `problem`; a sparse matrix where the A_i are single entries."""
    operator = problem.measurements
    if not isinstance(operator, EntryOperator):
        return operator.adjoint(coefficients[None, None], rows, columns)[0, 0]
    indices = torch.stack([operator.indices[0] // columns, operator.indices[0] % columns])
    return torch.sparse_coo_tensor(indices, coefficients, (rows, columns), check_invariants=False)


def _apply(problem: Problem, left: Float[Tensor, "m k"], right: Float[Tensor, "n k"]) -> Float[Tensor, " obs"]:
    """<A_i, left·rightᵀ>; k is small."""
    operator = problem.measurements
    if not isinstance(operator, EntryOperator):
        return operator.apply((left @ right.mT)[None, None])[0, 0]
    indices, columns = operator.indices[0], len(right)
    return (left[indices // columns] * right[indices % columns]).sum(-1)


def _gram(problem: Problem, coefficients: Float[Tensor, " obs"], rows: int, columns: int) -> Float[Tensor, " obs"]:
    """A Aᵀ c; single entries are orthonormal."""
    operator = problem.measurements
    if isinstance(operator, EntryOperator):
        return coefficients
    return operator.apply(operator.adjoint(coefficients[None, None], rows, columns))[0, 0]


def _moved(
    direction: Tensor, left: Float[Tensor, "m 1"], right: Float[Tensor, "n 1"], depth: int
) -> tuple[Float[Tensor, "m 2"], Float[Tensor, "n 2"]]:
    """J Jᵀ at u vᵀ, applied to a direction (which may be sparse): both sides of a product of rank two."""
    on_left, on_right = direction.t() @ left, direction @ right
    on_right = on_right + (depth - 2) * left * (on_left.mT @ right)
    return torch.cat([left, on_right], dim=1), torch.cat([on_left, right], dim=1)


def _power_iteration(operator: Callable[[Tensor], Tensor], start: Float[Tensor, " obs"]) -> Float[Tensor, ""]:
    """The largest eigenvalue of a linear map that has only eigenvalues ≥ 0."""
    direction, value = start / start.norm(), start.new_zeros(())
    for _ in range(ITERATIONS):
        image = operator(direction)
        value = image.norm()
        if not value > 0:
            break
        direction = image / value
    return value


def _leading_vectors(matrix: Tensor, start: Float[Tensor, "n 1"]) -> tuple[Float[Tensor, "m 1"], Float[Tensor, "n 1"]]:
    right = start / start.norm()
    for _ in range(ITERATIONS):
        image = matrix.t() @ (matrix @ right)
        if not image.norm() > 0:
            break
        right = image / image.norm()
    left = matrix @ right
    return left / left.norm().clamp_min(torch.finfo(left.dtype).tiny), right


def _size(problem: Problem, rows: int, columns: int) -> Float[Tensor, ""]:
    """An estimate of ‖W*‖_F."""
    operator = problem.measurements
    if isinstance(operator, EntryOperator):
        squares = torch.tensor(float(operator.indices.numel()), dtype=torch.float64)
    else:
        squares = operator.dense(rows * columns).square().sum()
    return (rows * columns * problem.targets.square().sum() / squares).sqrt()


def _squared_jacobian(factors: Factors) -> Float[Tensor, ""]:
    """Σ_j ‖W_L ⋯ W_{j+1}‖² ‖W_{j−1} ⋯ W_1‖² in spectral norms: at least ‖J‖² where σ is linear.

    Infinite where a product overflows.
    """
    below, above = [torch.ones((), dtype=torch.float64)], [torch.ones((), dtype=torch.float64)]
    inner = [factor[0] for factor in factors[1:-1]]
    if len(factors) > 1:
        below += map(_spectral_norm, accumulate(inner, lambda done, factor: factor @ done, initial=factors[0][0]))
        above += map(_spectral_norm, accumulate(reversed(inner), torch.matmul, initial=factors[-1][0]))
    pairs = zip(below, reversed(above), strict=True)
    return torch.stack([one.square() * other.square() for one, other in pairs]).sum()


def _spectral_norm(matrix: Float[Tensor, "_ _"]) -> Float[Tensor, ""]:
    if not bool(torch.isfinite(matrix).all()):
        return matrix.new_tensor(math.inf)  # LAPACK would not converge
    norm: Tensor = torch.linalg.matrix_norm(matrix, 2)
    return norm
