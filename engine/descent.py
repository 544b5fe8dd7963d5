"""Gradient descent on the training loss, all data sets of a sweep point as one batch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from engine.activations import activation
from engine.events import Event, Finished, Rows
from engine.factorization import end_to_end_matrix, factor_gradients, pre_activations
from engine.inits import initial_factors
from engine.optimizers import OPTIMIZERS, State
from engine.problem import Problem
from engine.results import TrialResult
from engine.settings import Method, PointSettings

STEP_SECONDS = 0.02
"""how long one `step` may hold the loop, so that pause and stop act at once"""


@dataclass(frozen=True)
class DescentState:
    """Everything the next step needs."""

    step: int
    factors: tuple[Float[Tensor, "seed _ _"], ...]
    optimizer: State
    last_finite: tuple[tuple[int, float, float] | None, ...]
    """per seed: step, training and generalization loss of the last logged row that was finite"""
    diverged: tuple[bool, ...]


class Descent:
    """Gradient descent at one sweep point. The numbers depend on the settings and seeds only, not on the chunking."""

    method: Method = "gd"

    def __init__(
        self, index: int, point: PointSettings, seeds: Sequence[int], problem: Problem, device: torch.device
    ) -> None:
        """`problem` holds the data sets of `seeds`, in float64 on the CPU."""
        self.index = index
        self.seeds = tuple(seeds)
        self._total = point.gd.steps
        self._point = point
        self._settings = point.gd
        self._dtype = getattr(torch, point.gd.dtype)
        self._device = device
        self._problem = problem.to(device, self._dtype)
        self._activation = activation(point.model)
        self._optimizer = OPTIMIZERS[point.gd.optimizer]

    def init(self) -> tuple[DescentState, list[Event]]:
        """The state before the first step, and its row."""
        factors = tuple(factor.to(self._device, self._dtype) for factor in initial_factors(self._point, self.seeds))
        state = DescentState(
            step=0,
            factors=factors,
            optimizer=self._optimizer.init(factors),
            last_finite=(None,) * len(self.seeds),
            diverged=(False,) * len(self.seeds),
        )
        return self._log(state)

    def step(self, state: DescentState) -> tuple[DescentState, list[Event]]:
        """Some steps: up to the next row to log, or as many as fit into `STEP_SECONDS`."""
        every = self._settings.log_every
        stop = min(state.step - state.step % every + every, self._total)
        factors, optimizer, step = state.factors, state.optimizer, state.step
        deadline = time.monotonic() + STEP_SECONDS
        while step < stop and time.monotonic() < deadline:
            factors, optimizer = self._descend(factors, optimizer)
            step += 1
        state = replace(state, step=step, factors=factors, optimizer=optimizer)
        return self._log(state) if step == stop else (state, [])

    def done(self, state: DescentState) -> int:
        return state.step

    def fraction(self, state: DescentState) -> float:
        """Of the steps; once every data set has diverged, there is nothing left to do."""
        return 1.0 if all(state.diverged) else state.step / self._total

    def finish(self, state: DescentState) -> list[Event]:
        return [Finished(self._result(state, position)) for position in range(len(self.seeds))]

    def _descend(
        self, factors: tuple[Float[Tensor, "seed _ _"], ...], optimizer: State
    ) -> tuple[tuple[Float[Tensor, "seed _ _"], ...], State]:
        outputs = pre_activations(factors, self._activation)
        gradient = self._problem.training_gradient(outputs[-1][:, None])[:, 0]
        gradients = factor_gradients(factors, outputs, gradient, self._activation)
        optimizer, updates = self._optimizer.step(optimizer, gradients, self._settings.learning_rate)
        return tuple(factor + update for factor, update in zip(factors, updates, strict=True)), optimizer

    def _log(self, state: DescentState) -> tuple[DescentState, list[Event]]:
        matrices = end_to_end_matrix(state.factors, self._activation)
        training = self._problem.training_loss(matrices[:, None])[:, 0]
        generalization = self._problem.generalization_loss(matrices[:, None])[:, 0]
        finite = torch.isfinite(training) & torch.isfinite(generalization)
        table = torch.cat([training[:, None], generalization[:, None], _singular_values(matrices, finite)], dim=1)
        rows, last_finite = [], list(state.last_finite)
        for position, (values, fine) in enumerate(zip(table.tolist(), finite.tolist(), strict=True)):
            if not state.diverged[position]:
                rows.append([self.index, self.seeds[position], state.step, *values])
            if fine:
                last_finite[position] = (state.step, values[0], values[1])
        diverged = tuple(before or not now for before, now in zip(state.diverged, finite.tolist(), strict=True))
        return replace(state, last_finite=tuple(last_finite), diverged=diverged), [Rows("gd", rows)]

    def _result(self, state: DescentState, position: int) -> TrialResult:
        last = state.last_finite[position]
        if not state.diverged[position] and last is not None:
            return TrialResult(
                point=self.index,
                method="gd",
                seed=self.seeds[position],
                outcome="finished",
                training_loss=last[1],
                generalization_loss=last[2],
            )
        since = "the initial weights" if last is None else f"step {last[0]} (training loss {last[1]:.3g})"
        return TrialResult(
            point=self.index,
            method="gd",
            seed=self.seeds[position],
            outcome="diverged",
            training_loss=None,
            generalization_loss=None,
            message=(
                f"gradient descent diverged: the loss was no longer finite within {self._settings.log_every} steps "
                f"after {since}, at learning rate {self._settings.learning_rate:g}; try a smaller gd.learning_rate"
            ),
        )


def _singular_values(matrices: Float[Tensor, "seed m n"], finite: Bool[Tensor, " seed"]) -> Float[Tensor, "seed rank"]:
    """Singular values, largest first; NaN where the matrix is not finite."""
    values = torch.linalg.svdvals(torch.where(finite[:, None, None], matrices, 0.0))
    return torch.where(finite[:, None], values, torch.nan)
