"""Picks a sampler by applicability, cost and reliability, says which and why, and falls back when a pick fails.

First a pilot: rejection (collapsed where that is cheaper) of `PILOT_DRAWS` guesses. If hits are so frequent that the
rest is cheap, it simply goes on. Otherwise conditioning on the last layer if it applies; it is watched, and given up
for splitting when its weights prove heavy-tailed or when it finds nothing. Where it does not apply, rejection goes on
if that costs no more than splitting. Every decision is a function of counts, never of the clock, so that equal runs
decide alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from engine.results import GuessRecord
from engine.samplers.conditional import MAX_PARETO_K, MIN_EFFECTIVE_SAMPLES
from engine.samplers.interface import GuessState, Sampler, Target
from engine.samplers.splitting import expected_moves
from engine.spec.applicability import refusal
from engine.spec.names import SamplerName

PILOT_DRAWS = 100_000
CHEAP_DRAWS = 1_000_000
"""rejection goes on if it is expected to need no more guesses than this"""
MOVE_COST = 3
"""guesses that take no longer than one move of a particle: at depth 2, a move took 3.8 (width 160) to 5 (width 5)"""
FAIR_TRIAL = 50_000
"""features after which the conditional sampler must be on its way to reliable weights"""


@dataclass(frozen=True)
class AutoState(GuessState):
    """The sampler at work, its state, and why it is at work. The outer fields mirror the inner ones."""

    sampler: SamplerName = "rejection"
    inner: GuessState = field(default_factory=GuessState)
    choice: str = ""
    piloting: bool = False
    spent: int = 0
    """draws made by samplers given up"""


class Auto:
    def __init__(self, samplers: Mapping[SamplerName, Sampler]) -> None:
        self._samplers = samplers

    def init(self, target: Target) -> AutoState:
        if target.point.gnc.mode == "first_hit":
            return AutoState(sampler="rejection", choice="rejection: a first hit is a matter of literal guesses")
        cheaper = target.point.model.width > target.point.problem.columns and not refusal("collapsed", target.point)
        pilot: SamplerName = "collapsed" if cheaper else "rejection"
        return AutoState(sampler=pilot, inner=self._samplers[pilot].init(target), piloting=True)

    def step(self, target: Target, state: AutoState) -> AutoState:
        sampler = self._samplers[state.sampler]
        inner = sampler.step(target, state.inner)
        state = _showing(replace(state, inner=inner))
        if target.point.gnc.mode == "first_hit" or (
            state.piloting and inner.hits >= target.point.gnc.effective_samples
        ):
            return state
        if not state.piloting and sampler.fraction(target, inner) >= 1.0:
            return self._after_the_end(target, state)
        return self._reconsidered(target, state)

    def fraction(self, target: Target, state: AutoState) -> float:
        return self._samplers[state.sampler].fraction(target, state.inner)

    def record(self, target: Target, state: AutoState) -> GuessRecord:
        record = self._samplers[state.sampler].record(target, state.inner)
        return replace(
            record, draws=record.draws + state.spent, choice=state.choice or f"{state.sampler}: within the pilot"
        )

    def _reconsidered(self, target: Target, state: AutoState) -> AutoState:
        inner = state.inner
        if state.piloting and inner.draws >= min(PILOT_DRAWS, target.point.gnc.draws):
            return self._after_the_pilot(target, state)
        if state.sampler == "conditional" and inner.draws >= FAIR_TRIAL and not _promising(target, inner):
            return self._fall_back(target, state)
        return state

    def _after_the_pilot(self, target: Target, state: AutoState) -> AutoState:
        hits, draws = state.inner.hits, state.inner.draws
        wanted = target.point.gnc.effective_samples
        found = f"{hits:,} hits in {draws:,} guesses"
        expected = draws * wanted / hits if hits else math.inf
        if expected <= CHEAP_DRAWS:
            return replace(state, piloting=False, choice=f"{state.sampler}: hits are frequent ({found})")
        if why_not := refusal("conditional", target.point):
            if hits and expected <= min(target.point.gnc.draws, MOVE_COST * expected_moves(target.point, hits / draws)):
                choice = f"{state.sampler}: {found} cost less than splitting, and {why_not}"
                return replace(state, piloting=False, choice=choice)
            return self._switch(target, state, "splitting", f"splitting: {found}, and {why_not}")
        return self._switch(target, state, "conditional", f"conditional: {found}, and the prior is Gaussian")

    def _after_the_end(self, target: Target, state: AutoState) -> AutoState:
        if state.sampler == "conditional" and not self._samplers["conditional"].record(target, state.inner).reliable:
            return self._fall_back(target, state)
        return state

    def _fall_back(self, target: Target, state: AutoState) -> AutoState:
        weighted = state.inner.weighted
        why = (
            f"the conditional sampler proved unreliable (Pareto k̂ {weighted.pareto_k():.2f}, "
            f"{weighted.effective_sample_size():.0f} effective samples of {state.inner.draws:,} features)"
        )
        return self._switch(target, state, "splitting", f"splitting: {why}")

    def _switch(self, target: Target, state: AutoState, sampler: SamplerName, choice: str) -> AutoState:
        """Begin anew with another sampler; what the last one found is not mixed in."""
        return _showing(
            AutoState(
                stage=state.stage + 1,
                sampler=sampler,
                inner=self._samplers[sampler].init(target),
                choice=choice,
                spent=state.spent + state.inner.draws,
            )
        )


def _promising(target: Target, inner: GuessState) -> bool:
    """Whether the conditional sampler's weights behave, and its budget suffices for a reliable answer."""
    weighted = inner.weighted
    reachable = weighted.effective_sample_size() * target.point.gnc.draws / inner.draws
    return weighted.pareto_k() <= MAX_PARETO_K + 0.1 and reachable >= 2 * MIN_EFFECTIVE_SAMPLES


def _showing(state: AutoState) -> AutoState:
    """The same, its outer fields those of the sampler at work, for whoever watches."""
    mirrored: dict[str, Any] = {each.name: getattr(state.inner, each.name) for each in fields(GuessState)}
    return replace(state, **{**mirrored, "stage": state.stage, "draws": state.inner.draws + state.spent})
