"""Learning rates: as given, or `auto`, half of what curvature allows.

Gradient descent is stable near a minimum if η < 2/λ, λ the largest eigenvalue of the Hessian there. Where the loss is 0
the Hessian of θ ↦ ℓ(W(θ)) is Jᵀ H J, with H = (2/n) Σ A_i A_iᵀ and J the derivative of W. It has the eigenvalues of
H J Jᵀ off 0, and for balanced factors J Jᵀ acts on V as Σ_j (W Wᵀ)^{(L−j)/L} V (Wᵀ W)^{(j−1)/L}, j = 1 … L
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    back_projected = problem.measurements.adjoint(problem.targets[:, None], rows, columns)[0, 0]
    left, right = _leading_vectors(back_projected, stream.normal(columns, 1))
    start = stream.normal(rows, columns)
    curvature = _power_iteration(lambda v: _hessian(problem, v), start)
    scale = _size(problem, rows, columns) ** (2 - 2 / depth)
    at_truth = scale * _power_iteration(lambda v: _hessian(problem, _end_to_end(v, left, right, depth)), start)
    at_init = curvature * _squared_jacobian(factors)
    eigenvalue = torch.maximum(at_truth, at_init)
    batch = min(point.gd.batch_size, count) if OPTIMIZERS[point.gd.optimizer].batches else count
    return batch / count / eigenvalue.clamp_min(torch.finfo(torch.float64).tiny)


def _hessian(problem: Problem, direction: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    measured = problem.measurements.apply(direction[None, None])
    return problem.measurements.adjoint(measured * (2 / measured.shape[-1]), *direction.shape)[0, 0]


def _end_to_end(
    direction: Float[Tensor, "m n"], left: Float[Tensor, "m 1"], right: Float[Tensor, "n 1"], depth: int
) -> Float[Tensor, "m n"]:
    """J Jᵀ at u vᵀ."""
    if depth == 1:
        return direction
    on_left, on_right = left.mT @ direction, direction @ right
    return left @ on_left + (on_right + (depth - 2) * left * (on_left @ right)) @ right.mT


def _power_iteration(operator: Callable[[Tensor], Tensor], start: Float[Tensor, "m n"]) -> Float[Tensor, ""]:
    """The largest eigenvalue of a linear map that has only eigenvalues ≥ 0."""
    direction, value = start / start.norm(), start.new_zeros(())
    for _ in range(ITERATIONS):
        image = operator(direction)
        value = image.norm()
        if not value > 0:
            break
        direction = image / value
    return value


def _leading_vectors(
    matrix: Float[Tensor, "m n"], start: Float[Tensor, "n 1"]
) -> tuple[Float[Tensor, "m 1"], Float[Tensor, "n 1"]]:
    right = start / start.norm()
    for _ in range(ITERATIONS):
        image = matrix.mT @ (matrix @ right)
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
    products = [factors[0][0]]
    for factor in factors[1:]:
        products.append(factor[0] @ products[-1])
    below += [_spectral_norm(product) for product in products[:-1]]
    products = [factors[-1][0]]
    for factor in reversed(factors[:-1]):
        products.append(products[-1] @ factor[0])
    above += [_spectral_norm(product) for product in products[:-1]]
    pairs = zip(below, reversed(above), strict=True)
    return torch.stack([one.square() * other.square() for one, other in pairs]).sum()


def _spectral_norm(matrix: Float[Tensor, "_ _"]) -> Float[Tensor, ""]:
    if not bool(torch.isfinite(matrix).all()):
        return matrix.new_tensor(math.inf)  # LAPACK would not converge
    norm: Tensor = torch.linalg.matrix_norm(matrix, 2)
    return norm
