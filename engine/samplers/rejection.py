"""Plain rejection: draw from the prior, keep what has L_train < ε_train.

The definition of Guess & Check, and the yardstick for every other sampler [Alexander, Slutzky, Ran-Milo, Cohen 2025,
Section 3]. Any prior, activation and normalization.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from engine.models.factorization import factor_shapes
from engine.models.prior import sample_matrices
from engine.parallel import map_blocks
from engine.randomness import Stream, StreamName
from engine.results import GuessRecord, binomial_interval, geometric_interval
from engine.samplers.interface import (
    ENOUGH_EFFECTIVE_SAMPLES,
    Draws,
    GuessState,
    Target,
    fraction_of_budget,
    no_hits_advice,
)
from engine.spec.names import SamplerName
from engine.spec.settings import PointSettings

NUMBERS_PER_BLOCK = {"cpu": 1 << 21, "cuda": 1 << 25}
"""random numbers in a block: enough that vector operations dominate, and to fill a GPU"""
BLOCKS_PER_STEP = 8
"""a constant, so that where a run stops does not depend on the number of cores"""


class Rejection:
    """Rejection from the prior as it is written; a subclass may draw the same law otherwise."""

    name: SamplerName = "rejection"

    def numbers_per_draw(self, point: PointSettings) -> int:
        """Random numbers in one guess."""
        return sum(rows * columns for rows, columns in factor_shapes(point))

    def draw(self, point: PointSettings, stream: Stream, batch: int, dtype: torch.dtype) -> Float[Tensor, "m n batch"]:
        """`batch` end-to-end matrices from the prior."""
        return sample_matrices(point, stream, batch, dtype)

    def init(self, target: Target) -> GuessState:
        return GuessState()

    def step(self, target: Target, state: GuessState) -> GuessState:
        state = self.draw_blocks(target, state, "gnc", target.point.gnc.draws, target.point.gnc.eps_train)
        return _up_to_first_hit(state) if target.point.gnc.mode == "first_hit" else state

    def fraction(self, target: Target, state: GuessState) -> float:
        if target.point.gnc.mode == "first_hit" and state.hits:
            return 1.0
        return fraction_of_budget(target.point, state.draws, float(state.hits), target.point.gnc.effective_samples)

    def record(self, target: Target, state: GuessState) -> GuessRecord:
        first_hit = target.point.gnc.mode == "first_hit" and state.hits > 0
        acceptance = geometric_interval(state.draws) if first_hit else binomial_interval(state.hits, state.draws)
        return GuessRecord(
            sampler=self.name,
            draws=state.draws,
            hits=state.hits,
            effective_sample_size=float(state.hits),
            log10_acceptance=acceptance,
            generalization_loss=state.loss_summary(),
            best_training_loss=state.best_training_loss,
            reliable=first_hit or state.hits >= ENOUGH_EFFECTIVE_SAMPLES,
            advice=self._advice(target, state),
        )

    def draw_blocks(
        self, target: Target, state: GuessState, stream: StreamName, budget: int, threshold: float
    ) -> GuessState:
        """The next blocks, never past `budget` draws; what is under `threshold` is kept, in block order.

        A block's size is a function of the shapes alone, so that the same draws come on any number of cores.
        """
        entries = target.point.problem.rows * target.point.problem.columns
        size = max(1, NUMBERS_PER_BLOCK[target.device.type] // max(self.numbers_per_draw(target.point), entries))
        last = min(state.step + BLOCKS_PER_STEP, -(-budget // size))

        def block_draws(block: int) -> Draws:
            return self._draw_block(target, stream, block, size, min(size, budget - block * size), threshold)

        return state.extended(map_blocks(target.device, block_draws, range(state.step, last)))

    def _draw_block(
        self, target: Target, stream: StreamName, block: int, size: int, count: int, threshold: float
    ) -> Draws:
        """The first `count` of a block's `size` draws."""
        numbers = Stream(target.seed, stream, block, device=target.device)
        columns = self.draw(target.point, numbers, size, target.dtype).flatten(0, 1)[:, :count]
        training_loss = target.training_loss(columns)
        passed = (training_loss < threshold).nonzero()[:, 0]
        return Draws.of(
            target,
            columns[:, passed],
            training_loss[passed],
            count=count,
            best_training_loss=float(training_loss.min()),
            cluster=passed,
        )

    def _advice(self, target: Target, state: GuessState) -> str:
        if not state.hits:
            return no_hits_advice(target, state, binomial_interval(0, state.draws))
        if target.point.gnc.mode == "first_hit":
            return f"guess number {state.draws:,} was the first to fit"
        if state.hits < ENOUGH_EFFECTIVE_SAMPLES:
            return (
                f"only {state.hits} of {state.draws:,} guesses fit, too few for a mean: raise gnc.draws or "
                "gnc.eps_train, or let gnc.sampler be 'auto'"
            )
        return f"{state.hits:,} of {state.draws:,} guesses fit"


def _up_to_first_hit(state: GuessState) -> GuessState:
    """Forget what was drawn after the first hit: it was drawn only because blocks have many draws."""
    if not state.hits:
        return state
    first = slice(0, 1)
    return GuessState(
        step=state.step,
        draws=int(state.cluster[0]) + 1,
        clusters=int(state.cluster[0]) + 1,
        best_training_loss=float(state.training_loss[0]),
        training_loss=state.training_loss[first],
        generalization_loss=state.generalization_loss[first],
        log_weight=state.log_weight[first],
        cluster=state.cluster[first],
        matrices=state.matrices[first],
        matrix_log_weight=state.matrix_log_weight[first],
    )
