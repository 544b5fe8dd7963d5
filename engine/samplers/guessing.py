"""Runs a sampler on one trial, and tells the run loop what there is to see."""

from __future__ import annotations

import torch

from engine.events import Event, Finished, PosteriorSample, Rows
from engine.problems.problem import Problem
from engine.results import LawRecord, TrialResult, held_out_rmse
from engine.samplers import PRIOR, SAMPLERS
from engine.samplers.interface import GuessState, Target
from engine.samplers.laws import measure_laws
from engine.spec.settings import METHODS, Method, PointSettings

SAMPLES_STORED = 2_000
"""losses a trial stores for live histograms; the results use all of them"""


class Guessing:
    """The prior or Guess & Check on one data set."""

    resumable = True

    def __init__(
        self, index: int, point: PointSettings, seed: int, problem: Problem, device: torch.device, method: Method
    ) -> None:
        """`problem` holds the one data set, in float64 on the CPU."""
        self.index = index
        self.method = method
        self.seeds: tuple[int, ...] = (seed,)
        self._target = Target(point, seed, problem.to(device, torch.float64), device)
        self._sampler = PRIOR if method == "prior" else SAMPLERS[point.gnc.sampler]

    def init(self) -> tuple[GuessState, list[Event]]:
        return self._sampler.init(self._target), []

    def step(self, state: GuessState) -> tuple[GuessState, list[Event]]:
        after = self._sampler.step(self._target, state)
        place = [self.index, METHODS.index(self.method), self.seeds[0]]
        before = state.hits if after.stage == state.stage else 0
        new = slice(min(before, SAMPLES_STORED), min(after.hits, SAMPLES_STORED))
        columns = (after.training_loss[new], after.generalization_loss[new], after.log_weight[new])
        return after, [
            Rows("guesses", [[*place, after.draws, after.hits, after.best_training_loss]]),
            Rows("samples", [[*place, after.stage, *row] for row in torch.stack(columns, dim=1).tolist()]),
        ]

    def done(self, state: GuessState) -> int:
        return state.draws

    def fraction(self, state: GuessState) -> float:
        return self._sampler.fraction(self._target, state)

    def finish(self, state: GuessState) -> list[Event]:
        record = self._sampler.record(self._target, state)
        loss = record.generalization_loss
        result = TrialResult(
            point=self.index,
            method=self.method,
            seed=self.seeds[0],
            outcome="no_hits" if loss is None else "finished" if record.reliable else "unreliable",
            generalization_loss=None if loss is None else loss.mean,
            training_loss=state.mean_training_loss(),
            message="" if record.reliable else record.advice,
            guesses=record,
            held_out_rmse=held_out_rmse(self._target.point, None if loss is None else loss.mean),
            laws=self._laws(),
        )
        weights = state.matrix_log_weight.numpy()
        sample = PosteriorSample(self.index, self.method, self.seeds[0], state.matrices.numpy(), weights)
        return [*([sample] if loss is not None else []), Finished(result)]

    def _laws(self) -> LawRecord | None:
        asked = self.method == "prior" and self._target.point.gnc.measure_laws
        return measure_laws(self._target.point, self.seeds[0]) if asked else None
