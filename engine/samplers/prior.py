"""The prior itself, unconditioned: what generalization costs when the training data are ignored."""

from __future__ import annotations

import math

from engine.results import GuessRecord, Interval
from engine.samplers.interface import GuessState, Target
from engine.samplers.rejection import Rejection


class Prior:
    _rejection = Rejection()

    def init(self, target: Target) -> GuessState:
        return GuessState()

    def step(self, target: Target, state: GuessState) -> GuessState:
        return self._rejection.draw_blocks(target, state, "prior", target.point.gnc.prior_draws, math.inf)

    def fraction(self, target: Target, state: GuessState) -> float:
        return state.draws / target.point.gnc.prior_draws

    def record(self, target: Target, state: GuessState) -> GuessRecord:
        lost = state.draws - state.hits
        return GuessRecord(
            sampler="prior",
            draws=state.draws,
            hits=state.hits,
            effective_sample_size=float(state.hits),
            log10_acceptance=Interval(0.0, 0.0, 0.0),
            generalization_loss=state.loss_summary(),
            best_training_loss=state.best_training_loss,
            reliable=lost == 0,
            advice=(
                f"{lost:,} of {state.draws:,} draws were not finite: take gnc.dtype = 'float64'"
                if lost
                else f"{state.draws:,} draws, nothing asked of them"
            ),
        )
