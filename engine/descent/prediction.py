"""The course that theory predicts for W: gradient flow from balanced factors, integrated from log point to log point.

Balanced factors move their product as [Arora, Cohen, Hazan 2018, theorem 1] says, whichever they are. So the flow of
some is followed, from W = U S Vᵀ that of W_1 = S^{1/L} Vᵀ, W_j = S^{1/L} and W_L = U S^{1/L}: it takes a gradient where
dW/dt by the formula takes a singular value decomposition, and has no fractional powers where σ_r is near 0.

Runge–Kutta of order 5 with step control by order 4 [Dormand, Prince 1980], in float64 on the CPU. Every run has its
own stride, so that none depends on the others of its batch. A gradient flow's stride is bounded by the curvature λ,
about 3.3/λ, and so is gradient descent's step, 2/λ: the prediction takes at most some four times the time of the
descent, with smaller steps less.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from engine.descent.batched_step import BatchedStep, Layout
from engine.descent.optimizers import optimizer
from engine.descent.spectrum import singular_values, spectrum
from engine.problems.problem import Problem
from engine.spec.settings import PointSettings

RELATIVE_TOLERANCE = 1e-7
"""of every parameter, at each stride"""
ABSOLUTE_TOLERANCE = 1e-9
"""the same, relative to the run's largest parameter"""
MOST_ATTEMPTS = 100
ATTEMPTS_A_STEP = 2
"""a run gets `MOST_ATTEMPTS` strides between two log points, and this many more for every step of gradient descent
there; if they don't do, its steps are longer than a stable descent's, and its prediction ends"""

_STAGES = tuple(
    np.array(row)
    for row in (
        [1 / 5],
        [3 / 40, 9 / 40],
        [44 / 45, -56 / 15, 32 / 9],
        [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
        [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
        [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
    )
)
"""how much each stage takes of the slopes of those before; the last one is where the stride ends"""
_ERROR = np.array([71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40])
"""order 5 minus order 4"""


@dataclass(frozen=True)
class Course:
    """Where the prediction is, and all that its next stride needs."""

    step: int
    """the log point it last came to"""
    weights: NDArray[np.float64]
    """(run, parameter); NaN where the prediction has ended"""
    slope: NDArray[np.float64]
    """d weights / dt"""
    time: NDArray[np.float64]
    """of each run; infinite where the prediction has ended"""
    stride: NDArray[np.float64]
    """what each run tries next"""
    attempts: int = 0
    """since that log point"""


class Flow:
    """The end-to-end flow of compatible sweep points, linear ones."""

    def __init__(self, points: Sequence[PointSettings], seeds: int, problem: Problem) -> None:
        """`problem` holds this many data sets."""
        first = points[0]
        rows, columns, depth = first.problem.rows, first.problem.columns, first.model.depth
        self._layout = Layout(rows, columns, min(rows, columns), depth)
        # From the factors' rank on the singular values of W are rounding, whose roots would grow.
        ranks = [rows if depth == 1 else point.model.width for point in points] * seeds
        self._within_rank = torch.arange(min(rows, columns)) < torch.tensor(ranks)[:, None]
        unscaled = torch.ones(seeds, len(points), dtype=torch.float64)
        on_cpu = problem.to(torch.device("cpu"), torch.float64)
        self._steps = BatchedStep(on_cpu, self._layout, None, optimizer(first.gd), unscaled)

    def begin(self, matrices: Float[Tensor, "run m n"], step: int, at: Float[Tensor, " run"]) -> Course:
        """From W at the log point of `step`, which is the runs' time `at`."""
        now = spectrum(torch.nan_to_num(matrices.double().cpu(), posinf=0.0, neginf=0.0))
        root = (now.values * self._within_rank).pow(1 / self._layout.depth)
        inner = [torch.diag_embed(root)] * (self._layout.depth - 2)
        factors = [root[..., None] * now.right.mT, *inner, now.left * root[:, None]]
        if self._layout.depth == 1:
            factors = [(now.left * root[:, None]) @ now.right.mT]
        weights = self._layout.pack(factors).numpy()
        slope = self._slope(weights)
        stride = 0.01 * np.linalg.norm(weights, axis=1) / np.maximum(np.linalg.norm(slope, axis=1), 1e-300)
        return Course(step, weights, slope, at.numpy(), stride)

    def advance(self, course: Course, step: int, until: Float[Tensor, " run"], deadline: float) -> Course:
        """Towards `until`, the time of the log point `step`: one stride, and more as long as there is time.

        It is there when `course.step` is `step`.
        """
        ends = until.numpy()
        limit = MOST_ATTEMPTS + ATTEMPTS_A_STEP * (step - course.step)
        while True:
            course = self._stride(course, ends)
            if course.attempts >= limit:
                lost = course.time < ends
                weights = np.where(lost[:, None], np.nan, course.weights)
                course = replace(course, weights=weights, time=np.where(lost, np.inf, course.time))
            if (course.time >= ends).all():
                return replace(course, step=step, attempts=0)
            if time.monotonic() > deadline:
                return course

    def singular_values(self, course: Course) -> NDArray[np.float64]:
        """(run, k); NaN where the prediction has ended."""
        *hidden, last = self._layout.split(torch.from_numpy(course.weights))
        product = hidden[0] if hidden else last
        for factor in [*hidden[1:], last.mT] if hidden else []:
            product = product @ factor
        values = singular_values(torch.nan_to_num(product)).numpy()
        return np.where(np.isfinite(course.weights).all(1, keepdims=True), values, np.nan)

    def _stride(self, course: Course, ends: NDArray[np.float64]) -> Course:
        """One attempt of every run that is not at its end."""
        remaining = np.maximum(ends - course.time, 0.0)
        length = np.minimum(course.stride, remaining)
        slopes = np.empty((len(_STAGES) + 1, *course.weights.shape))
        slopes[0] = proposed = course.slope
        with np.errstate(all="ignore"):  # what overflows is not accepted
            for stage, shares in enumerate(_STAGES, 1):
                proposed = course.weights + length[:, None] * _combined(shares, slopes[:stage])
                slopes[stage] = self._slope(proposed)
            size = np.maximum(abs(course.weights), abs(proposed))
            allowed = RELATIVE_TOLERANCE * size + ABSOLUTE_TOLERANCE * size.max(1, keepdims=True) + 1e-300
            error = np.sqrt(np.square(length[:, None] * _combined(_ERROR, slopes) / allowed).mean(1))
            taken = error <= 1
            factor = np.where(np.isnan(error), 0.2, np.clip(0.9 * error**-0.2, 0.2, 5.0))
        cut_short = taken & (length < course.stride)
        return replace(
            course,
            weights=np.where(taken[:, None], proposed, course.weights),
            slope=np.where(taken[:, None], slopes[-1], course.slope),
            time=np.where(
                taken, np.where(length == remaining, np.maximum(ends, course.time), course.time + length), course.time
            ),
            stride=np.where(cut_short, np.maximum(course.stride, length * factor), length * factor),
            attempts=course.attempts + 1,
        )

    def _slope(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return -self._steps.gradient(torch.from_numpy(weights)).numpy()


def _combined(shares: NDArray[np.float64], slopes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Σ shares_i slopes_i."""
    combined: NDArray[np.float64] = (shares @ slopes.reshape(len(slopes), -1)).reshape(slopes.shape[1:])
    return combined
