"""Runs a sampler on one trial, and tells the run loop what there is to see."""

from __future__ import annotations

import torch

from engine.events import Event, Finished, Rows
from engine.problem import Problem
from engine.results import TrialResult
from engine.samplers import PRIOR, SAMPLERS
from engine.samplers.interface import GuessState, Target
from engine.settings import METHODS, Method, PointSettings

SAMPLES_KEPT = 2_000
"""samples a trial stores for histograms; the results use all of them"""


class Guessing:
    """The prior or Guess & Check on one data set."""

    def __init__(
        self, index: int, point: PointSettings, seed: int, problem: Problem, device: torch.device, method: Method
    ) -> None:
        """`problem` holds the one data set, in float64 on the CPU."""
        self.index = index
        self.method = method
        self.seeds: tuple[int, ...] = (seed,)
        dtype = getattr(torch, point.gnc.dtype)
        self._target = Target(point=point, seed=seed, problem=problem.to(device, dtype), device=device)
        self._sampler = PRIOR if method == "prior" else SAMPLERS[point.gnc.sampler]
        self.total = self._sampler.budget(self._target)

    def init(self) -> tuple[GuessState, list[Event]]:
        return self._sampler.init(self._target), []

    def step(self, state: GuessState) -> tuple[GuessState, list[Event]]:
        after = self._sampler.step(self._target, state)
        place = [self.index, METHODS.index(self.method), self.seeds[0]]
        new = slice(min(state.hits, SAMPLES_KEPT), min(after.hits, SAMPLES_KEPT))
        samples = zip(after.training_loss[new].tolist(), after.generalization_loss[new].tolist(), strict=True)
        return after, [
            Rows("guesses", [[*place, after.draws, after.hits, after.best_training_loss]]),
            Rows("samples", [[*place, training, generalization, 0.0] for training, generalization in samples]),
        ]

    def done(self, state: GuessState) -> int:
        return state.draws

    def finish(self, state: GuessState) -> list[Event]:
        record = self._sampler.record(self._target, state)
        loss = record.generalization_loss
        return [
            Finished(
                TrialResult(
                    point=self.index,
                    method=self.method,
                    seed=self.seeds[0],
                    outcome="no_hits" if loss is None else "finished" if record.reliable else "unreliable",
                    generalization_loss=None if loss is None else loss.mean,
                    training_loss=float(state.training_loss.mean()) if state.hits else None,
                    message="" if record.reliable else record.advice,
                    guesses=record,
                )
            )
        ]
