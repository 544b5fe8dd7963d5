"""Plain rejection: draw from the prior, keep what has L_train < ε_train. The definition of Guess & Check, and the
yardstick for every other sampler [Alexander, Slutzky, Ran-Milo, Cohen 2025, Section 3]."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from engine.factorization import factor_shapes
from engine.prior import sample_matrices
from engine.randomness import Stream, StreamName
from engine.results import GuessRecord, binomial_interval, summarize_losses
from engine.samplers.interface import GuessState, Target

NUMBERS_PER_BLOCK = 1 << 20
"""random numbers in a block: about 20 ms of work on one core, 4–8 MB"""
FEW_HITS = 30
"""below this many hits the mean's standard error is itself uncertain by more than 13 %"""


@dataclass(frozen=True)
class Block:
    """What is left of a block of draws once the draws are gone."""

    draws: int
    best_training_loss: float
    training_loss: Float[Tensor, " hit"]
    generalization_loss: Float[Tensor, " hit"]


class Rejection:
    def budget(self, target: Target) -> int:
        return target.point.gnc.draws

    def init(self, target: Target) -> GuessState:
        return GuessState()

    def step(self, target: Target, state: GuessState) -> GuessState:
        return draw_blocks(target, state, "gnc", self.budget(target), target.point.gnc.eps_train)

    def record(self, target: Target, state: GuessState) -> GuessRecord:
        acceptance = binomial_interval(state.hits, state.draws)
        return GuessRecord(
            sampler="rejection",
            draws=state.draws,
            effective_sample_size=float(state.hits),
            log10_acceptance=acceptance,
            generalization_loss=summarize_losses(state.generalization_loss.numpy()) if state.hits else None,
            best_training_loss=state.best_training_loss,
            reliable=state.hits >= FEW_HITS,
            advice=_advice(target, state, acceptance.high),
        )


def draw_blocks(target: Target, state: GuessState, stream: StreamName, budget: int, threshold: float) -> GuessState:
    """One more block a core, never past `budget` draws; what is under `threshold` is kept, in block order."""
    size = _block_size(target)
    first = state.step
    last = min(first + _cores(target.device), -(-budget // size))
    counts = [min(size, budget - block * size) for block in range(first, last)]

    def draw(block: int, count: int) -> Block:
        return _draw_block(target, Stream(target.seed, stream, block, device=target.device), size, count, threshold)

    for block in _pool(_cores(target.device)).map(draw, range(first, last), counts):
        state = state.extended(
            block.draws, block.best_training_loss, block.training_loss, block.generalization_loss, steps=1
        )
    return state


def _draw_block(target: Target, stream: Stream, size: int, count: int, threshold: float) -> Block:
    """The first `count` of a block's `size` draws."""
    matrices = sample_matrices(target.point, stream, size, target.dtype)[:count]
    training_loss = target.problem.training_loss(matrices[None])[0]
    passed = training_loss < threshold
    return Block(
        draws=count,
        best_training_loss=float(training_loss.min()),
        training_loss=training_loss[passed],
        generalization_loss=target.problem.generalization_loss(matrices[passed][None])[0],
    )


def _block_size(target: Target) -> int:
    """Draws in a block: a function of the shapes alone, so that the same draws come on any number of cores."""
    numbers = sum(rows * columns for rows, columns in factor_shapes(target.point))
    return max(1, NUMBERS_PER_BLOCK // numbers)


def _cores(device: torch.device) -> int:
    return len(os.sched_getaffinity(0)) if device.type == "cpu" else 1


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="draws")


def _advice(target: Target, state: GuessState, log10_at_most: float) -> str:
    if state.hits >= FEW_HITS:
        return f"{state.hits:,} of {state.draws:,} guesses fit"
    if state.hits:
        return f"only {state.hits} of {state.draws:,} guesses fit: raise gnc.draws or gnc.eps_train for a usable mean"
    return (
        f"none of {state.draws:,} guesses fit (so P < 10^{log10_at_most:.1f} at 95 %); the best training loss was "
        f"{state.best_training_loss:.3g}, ε_train is {target.point.gnc.eps_train:g}: raise gnc.eps_train or gnc.draws"
    )
