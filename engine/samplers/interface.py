"""What a sampler is: `init`/`step` over explicit state, and one record at the end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from engine.problem import Problem
from engine.results import GuessRecord
from engine.settings import PointSettings


@dataclass(frozen=True)
class Target:
    """One trial of Guess & Check: a data set, a model, a prior, a threshold."""

    point: PointSettings
    seed: int
    problem: Problem
    """one data set, in the guesses' dtype on `device`"""
    device: torch.device

    @property
    def dtype(self) -> torch.dtype:
        return self.problem.targets.dtype


@dataclass(frozen=True)
class GuessState:
    """What every sampler carries from step to step."""

    step: int = 0
    draws: int = 0
    best_training_loss: float = float("inf")
    training_loss: Float[Tensor, " hit"] = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))
    """of the draws that passed, in order"""
    generalization_loss: Float[Tensor, " hit"] = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))

    @property
    def hits(self) -> int:
        return len(self.training_loss)

    def extended(
        self, draws: int, best: float, training_loss: Tensor, generalization_loss: Tensor, steps: int
    ) -> GuessState:
        """The state after `steps` more blocks of `draws` guesses in all, of which these losses passed."""
        return replace(
            self,
            step=self.step + steps,
            draws=self.draws + draws,
            best_training_loss=min(self.best_training_loss, best),
            training_loss=torch.cat([self.training_loss, training_loss.double().cpu()]),
            generalization_loss=torch.cat([self.generalization_loss, generalization_loss.double().cpu()]),
        )


@runtime_checkable
class Sampler(Protocol):
    def budget(self, target: Target) -> int:
        """Draws after which it is finished."""
        ...

    def init(self, target: Target) -> GuessState: ...

    def step(self, target: Target, state: GuessState) -> GuessState:
        """A few tens of milliseconds of work; randomness from (seed, stream, state.step) only."""
        ...

    def record(self, target: Target, state: GuessState) -> GuessRecord: ...
