"""Trials of Guess & Check for tests."""

from __future__ import annotations

from typing import Any

import torch

from engine.problems.problem import make_problem
from engine.samplers.interface import GuessState, Sampler, Target
from tests.settings import point


def target(seed: int = 0, device: str = "cpu", **fields: Any) -> Target:
    """A trial at `tests.settings.point(**fields)`."""
    settings, where = point(**fields), torch.device(device)
    return Target(settings, seed, make_problem(settings.problem, [seed]).to(where, torch.float64), where)


def run(sampler: Sampler, trial: Target) -> GuessState:
    """The state once the sampler has used its budget."""
    state = sampler.init(trial)
    while sampler.fraction(trial, state) < 1:
        state = sampler.step(trial, state)
    return state
