"""Stochastic gradient descent: W ← W − η ∂/∂W (1/b) Σ_{i∈batch} (<A_i, W> − y_i)² [Robbins, Monro 1951].

A step's batch holds b of the n measurements, drawn without replacement, anew and independently at each step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from engine.descent.optimizers.gradient_descent import GradientDescent
from engine.randomness import Stream

STEPS_A_BLOCK = 256
"""steps whose batches come from one stream: making a stream costs as much as a hundred numbers"""
MOST_KEYS = 1 << 20
"""a batch is the b smallest of n random keys, all steps of a block at once, while the block's keys are this few"""


class StochasticGradientDescent(GradientDescent):
    """The step is gradient descent's; the gradient it is given is a batch's."""


class Batches:
    """The batches of each seed, addressed by (seed, step)."""

    def __init__(self, seeds: Sequence[int], measurements: int, size: int) -> None:
        self._seeds = tuple(seeds)
        self._measurements, self._size = measurements, size
        self._block: tuple[int, Int[Tensor, "step seed obs"]] | None = None

    def at(self, step: int) -> Int[Tensor, "seed obs"]:
        """Which measurements make up the batch of step number `step`, counted from 0."""
        number = step // STEPS_A_BLOCK
        if self._block is None or self._block[0] != number:
            drawn = np.stack([self._draw(seed, number) for seed in self._seeds], axis=1)
            self._block = number, torch.from_numpy(drawn)
        return self._block[1][step % STEPS_A_BLOCK]

    def _draw(self, seed: int, block: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        generator = Stream(seed, "batches", block).numpy
        shape = (STEPS_A_BLOCK, self._measurements)
        if self._measurements == self._size:
            return np.broadcast_to(np.arange(self._size), (STEPS_A_BLOCK, self._size))
        if shape[0] * shape[1] <= MOST_KEYS:
            return np.argpartition(generator.random(shape), self._size, axis=1)[:, : self._size]
        return np.stack([generator.choice(shape[1], self._size, replace=False, shuffle=False) for _ in range(shape[0])])
