"""What gradient flow on a deep linear factorization does to the singular values of W, predicted and measured.

For balanced factors (W_{j+1}ᵀ W_{j+1} = W_j W_jᵀ) and linear σ, with G = ∂ℓ/∂W:

    dσ_r/dt = −L (σ_r²)^{1−1/L} <G, u_r v_rᵀ>                        [Arora, Cohen, Hu, Luo 2019, theorem 3]
    dW/dt   = −Σ_{j=1..L} (W Wᵀ)^{(L−j)/L} G (Wᵀ W)^{(j−1)/L}        [Arora, Cohen, Hazan 2018, theorem 1]

A step of gradient descent lasts as long as its learning rate. For other factors, or larger steps, these are no
theorems: the relative error then says how far off they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from torch import Tensor

from engine.descent.diagnostics import Spectrum, spectrum
from engine.problems.problem import Problem
from engine.spec.settings import PointSettings

RELATIVE_TOLERANCE = 1e-7
"""of the integrated trajectory, at each of its internal steps"""
ABSOLUTE_TOLERANCE = 1e-12
"""the same, relative to the largest singular value; a value that starts smaller is not followed"""
SETTLED = 1e-3
"""log points whose rates are, all together, under this share of the fastest are not judged: near the end of training a
relative error compares rounding with rounding"""
RESOLVED = 0.1
"""nor are those where one step changes the singular values by more than this share of them: the difference over such a
step is no derivative (the first step at depth 1 replaces a tiny W altogether)"""


def applies(point: PointSettings) -> bool:
    """Whether the theory speaks of this point (linear σ, plain gradient descent), and is asked to."""
    linear = point.model.activation == "linear"
    return linear and point.gd.optimizer == "gradient_descent" and point.gd.predict_from >= 0


def predicted_rates(now: Spectrum, gradient: Float[Tensor, "seed m n"], depth: int) -> Float[Tensor, "seed k"]:
    """dσ_r/dt of theorem 3, from the spectrum of W and ∂ℓ/∂W."""
    along = (now.left * (gradient @ now.right)).sum(-2)
    return -depth * now.values.pow(2 - 2 / depth) * along


def measured_rates(
    now: Float[Tensor, "seed k"], after_a_step: Float[Tensor, "seed k"], learning_rates: Float[Tensor, " seed"]
) -> Float[Tensor, "seed k"]:
    """The forward difference of the singular values over one step."""
    return (after_a_step - now) / learning_rates[:, None]


def flow(
    matrices: Float[Tensor, "seed m n"], gradient: Float[Tensor, "seed m n"], depth: int
) -> Float[Tensor, "seed m n"]:
    """dW/dt of the end-to-end dynamics.

    In the bases of W's singular vectors a power of W Wᵀ only scales rows, and one of Wᵀ W columns; the powers 0, at
    j = L on the left and j = 1 on the right, act on the whole space and are left out instead.
    """
    if depth == 1:
        return -gradient
    now = spectrum(matrices)
    on_left = now.left.mT @ gradient
    on_right = gradient @ now.right
    highest = now.values.pow(2 - 2 / depth)
    velocity = now.left @ (highest[..., None] * on_left) + (on_right * highest[:, None]) @ now.right.mT
    if depth > 2:
        powers = torch.arange(1, depth - 1, device=matrices.device, dtype=matrices.dtype) * (2 / depth)
        of_rows = now.values[..., None].pow(2 - 2 / depth - powers)
        of_columns = now.values[..., None].pow(powers)
        inside = (on_left @ now.right) * (of_rows @ of_columns.mT)
        velocity = velocity + now.left @ inside @ now.right.mT
    return -velocity


def predicted_trajectory(
    gradient: Callable[[Float[Tensor, "1 m n"]], Float[Tensor, "1 m n"]],
    start: Float[Tensor, "m n"],
    times: Sequence[float],
    depth: int,
) -> NDArray[np.float64]:
    """Singular values at `times` (ascending, ≥ 0) of the end-to-end flow from `start` at time 0; shape (times, k).

    Integrated by an explicit Runge–Kutta method of order 5 with step control. `gradient` is ∂ℓ/∂W. NaN from where the
    integration fails on, as it does when the flow blows up.
    """
    shape = start.shape
    initial = start.detach().double().cpu()

    def velocity(_: float, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        matrices = torch.from_numpy(flat).reshape(1, *shape)
        if not bool(torch.isfinite(matrices).all()):
            return np.full_like(flat, math.nan)
        return flow(matrices, gradient(matrices), depth).flatten().numpy()

    scale = float(torch.linalg.matrix_norm(initial, 2))
    path = np.full((len(times), min(shape)), math.nan)
    if not times:
        return path
    solution = solve_ivp(
        velocity,
        (0.0, float(times[-1])) if times[-1] > 0 else (0.0, 1e-300),
        initial.flatten().numpy(),
        t_eval=np.asarray(times, dtype=np.float64) if times[-1] > 0 else None,
        rtol=RELATIVE_TOLERANCE,
        atol=ABSOLUTE_TOLERANCE * max(scale, 1e-300),
    )
    states = solution.y.T.reshape(-1, *shape)[: len(times)]
    path[: len(states)] = np.linalg.svd(states, compute_uv=False)
    return path


def trajectory_of(
    problem: Problem, start: Float[Tensor, "m n"], times: Sequence[float], depth: int
) -> NDArray[np.float64]:
    """`predicted_trajectory` of the training loss of a problem with one data set, in float64 on the CPU."""
    return predicted_trajectory(lambda w: problem.training_gradient(w[:, None])[:, 0], start, times, depth)


@dataclass(frozen=True)
class Comparison:
    """How far the predicted rates of one data set are off the measured ones, at all its log points so far."""

    errors: tuple[tuple[float, float], ...] = ()
    """per log point that resolves the rates: ‖measured − predicted‖ and ‖measured‖, over the singular values"""

    def extended(self, values: float, measured: float, error: float, learning_rate: float) -> Comparison:
        """With one more log point: Euclidean norms of the singular values, their measured rates, and the error."""
        if not measured * learning_rate <= RESOLVED * values:
            return self
        return Comparison((*self.errors, (error, measured)))

    def relative_error(self) -> float | None:
        """The largest ‖measured − predicted‖ / ‖measured‖ of the log points that are judged; None if none is.

        See `SETTLED` and `RESOLVED` for those that are not.
        """
        fastest = max((size for _, size in self.errors), default=0.0)
        return max((error / size for error, size in self.errors if size > SETTLED * fastest), default=None)


def trajectory_error(measured: NDArray[np.float64], predicted: NDArray[np.float64]) -> float | None:
    """max |measured − predicted| over log points (rows) and singular values (columns), over the largest measured one.

    Where the prediction failed, the descent did not, and the error is infinite. None without anything to compare.
    """
    if not measured.size or not np.isfinite(measured).all():
        return None
    if not np.isfinite(predicted).all():
        return math.inf
    return float(np.abs(measured - predicted).max() / max(float(measured.max()), 1e-300))
