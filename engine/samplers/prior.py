"""The prior itself, unconditioned: what generalization costs when the training data are ignored."""

from __future__ import annotations

import math

from engine.results import GuessRecord, Interval, summarize_losses
from engine.samplers.interface import GuessState, Target
from engine.samplers.rejection import draw_blocks


class Prior:
    def budget(self, target: Target) -> int:
        return target.point.gnc.prior_draws

    def init(self, target: Target) -> GuessState:
        return GuessState()

    def step(self, target: Target, state: GuessState) -> GuessState:
        return draw_blocks(target, state, "prior", self.budget(target), math.inf)

    def record(self, target: Target, state: GuessState) -> GuessRecord:
        return GuessRecord(
            sampler="prior",
            draws=state.draws,
            effective_sample_size=float(state.draws),
            log10_acceptance=Interval(0.0, 0.0, 0.0),
            generalization_loss=summarize_losses(state.generalization_loss.numpy()),
            best_training_loss=state.best_training_loss,
            reliable=True,
            advice=f"{state.draws:,} draws, nothing asked of them",
        )
