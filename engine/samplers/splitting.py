"""Adaptive multilevel splitting: a chain of rare events, each not so rare given the last.

Particles start from the prior. Level by level the threshold is lowered to a quantile of the particles' losses, until it
is ε_train; those under it survive, the others restart as copies of survivors, and all move by preconditioned
Crank–Nicolson steps x' = √(1−β²) x + β ξ in the space of standard normals that the weights are images of, accepted if
the loss stays under the threshold, which leaves the prior restricted to the level invariant. P(L_train < ε_train) is
the product of the levels' survival rates [Au, Beck 2001; Cérou, Guyader 2007; moves: Cotter, Roberts, Stuart, White
2013].

Any prior, activation, normalization and ε. Exact as particles and moves grow. Independent replicates give the standard
errors, and as long as these are larger than the effective samples asked for allow, there are more replicates.
Restarting in place, with every survivor copied equally often up to one, keeps the estimate's bias of order 1/particles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from engine.models.factorization import factor_shapes
from engine.models.prior import LAWS, matrices_of
from engine.parallel import map_blocks
from engine.randomness import Stream
from engine.results import GuessRecord, Interval, LossSummary, histogram
from engine.samplers.interface import ENOUGH_EFFECTIVE_SAMPLES, KEPT_MATRICES, Draws, GuessState, Target
from engine.samplers.weighted import LOG10_E, weighted_quantiles
from engine.spec.settings import PointSettings

FEWEST_REPLICATES = 8
"""three were seen to understate the standard errors"""
LEVEL_QUANTILE = 0.2
MOVES_PER_LEVEL = 8
TARGET_ACCEPTANCE = 0.25
MAX_LEVELS = 500
"""at a fifth a level, P = 10⁻³⁵⁰"""
FEWEST_PARTICLES = 1_000
NUMBERS_PER_CHUNK = {"cpu": 1 << 19, "cuda": 1 << 24}
MAX_LOG10_ERROR = 0.2
"""of a reliable acceptance probability: a factor of 1.6"""


@dataclass(frozen=True)
class SplittingState(GuessState):
    """One replicate in flight, and what the finished ones came to."""

    latent: Float[Tensor, "numbers particle"] = field(default_factory=lambda: torch.empty(0, 0))
    """standard normals, all layers' weights one under the other"""
    losses: Float[Tensor, " particle"] = field(default_factory=lambda: torch.empty(0))
    threshold: float = math.inf
    level: int = 0
    moves_left: int = 0
    step_size: float = 0.5
    """β"""
    log_acceptance: float = 0.0
    """of the replicate in flight, so far"""
    replicate_log_acceptance: tuple[float, ...] = ()
    replicate_means: tuple[float, ...] = ()
    replicates: int = FEWEST_REPLICATES
    """how many there are to be, as the finished ones have it"""


class Splitting:
    def init(self, target: Target) -> SplittingState:
        return SplittingState()

    def fraction(self, target: Target, state: SplittingState) -> float:
        eps = target.point.gnc.eps_train
        done = len(state.replicate_means)
        if done == state.replicates:
            return 1.0
        # Thresholds fall geometrically, roughly: the logarithm tells how far down a replicate is.
        within = 0.0
        if state.level > 1 and state.threshold < 1:
            within = min(0.9, math.log(state.threshold) / min(math.log(eps), -1e-9))
        return (done + within) / state.replicates

    def step(self, target: Target, state: SplittingState) -> SplittingState:
        """Draw a replicate's particles, or lower the threshold, or move all particles once."""
        if state.losses.numel() == 0:
            return _scatter(target, state)
        if state.moves_left == 0:
            if state.threshold <= target.point.gnc.eps_train or state.level == MAX_LEVELS:
                return _finish_replicate(target, state)
            return _lower_threshold(target, state)
        return _move(target, state)

    def record(self, target: Target, state: SplittingState) -> GuessRecord:
        acceptance = _acceptance(state.replicate_log_acceptance)
        pooled = _pooled(state)
        summary, size = (None, 0.0) if pooled is None else (pooled.summary(), pooled.effective_sample_size)
        count = len(state.replicate_means)
        reliable = (
            summary is not None
            and _log10_error(state.replicate_log_acceptance) < MAX_LOG10_ERROR
            and size >= ENOUGH_EFFECTIVE_SAMPLES
        )
        advice = f"{count} independent replicates of {_particles(target.point):,} particles"
        if summary is None:
            advice += (
                f" did not arrive at ε_train in {MAX_LEVELS} levels (best training loss "
                f"{state.best_training_loss:.3g}): raise gnc.eps_train"
            )
        elif not reliable:
            advice += " disagree: raise gnc.effective_samples for more particles, or gnc.draws for more replicates"
        return GuessRecord(
            sampler="splitting",
            draws=state.draws,
            hits=state.hits,
            effective_sample_size=size,
            log10_acceptance=acceptance,
            generalization_loss=summary,
            best_training_loss=state.best_training_loss,
            reliable=reliable,
            advice=advice,
        )


def _particles(point: PointSettings) -> int:
    """Of one replicate."""
    return max(FEWEST_PARTICLES, point.gnc.effective_samples)


def expected_moves(point: PointSettings, acceptance: float) -> int:
    """How often the fewest replicates draw or move a particle, where a guess fits with probability `acceptance` > 0."""
    levels = math.ceil(math.log(acceptance) / math.log(LEVEL_QUANTILE))
    return FEWEST_REPLICATES * _particles(point) * (1 + MOVES_PER_LEVEL * levels)


def _numbers(point: PointSettings) -> int:
    return sum(rows * columns for rows, columns in factor_shapes(point))


def _columns(target: Target, latent: Float[Tensor, "numbers particle"]) -> Float[Tensor, "mn particle"]:
    """The end-to-end matrices of latent normals."""
    law = LAWS[target.point.gnc.prior]
    shapes = factor_shapes(target.point)
    parts = torch.split(law.from_normal(latent), [rows * columns for rows, columns in shapes])
    weights = [part.view(rows, columns, -1) for part, (rows, columns) in zip(parts, shapes, strict=True)]
    return matrices_of(target.point, weights).flatten(0, 1)


def _chunks(target: Target) -> list[slice]:
    """Particles that are worked on together: a function of the shapes alone."""
    size = max(1, NUMBERS_PER_CHUNK[target.device.type] // _numbers(target.point))
    count = _particles(target.point)
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _scatter(target: Target, state: SplittingState) -> SplittingState:
    """Particles of a new replicate, from the prior."""
    chunks = _chunks(target)

    def draw(index: int) -> tuple[Tensor, Tensor]:
        chunk = chunks[index]
        stream = Stream(target.seed, "gnc", state.step, index, device=target.device)
        latent = stream.normal(_numbers(target.point), chunk.stop - chunk.start, dtype=target.dtype)
        return latent, target.training_loss(_columns(target, latent))

    drawn = map_blocks(target.device, draw, range(len(chunks)))
    losses = torch.cat([losses for _, losses in drawn])
    return replace(
        state,
        step=state.step + 1,
        draws=state.draws + len(losses),
        best_training_loss=min(state.best_training_loss, float(losses.min())),
        latent=torch.cat([latent for latent, _ in drawn], dim=1),
        losses=losses,
        threshold=math.inf,
        level=0,
        step_size=0.5,
        log_acceptance=0.0,
    )


def _lower_threshold(target: Target, state: SplittingState) -> SplittingState:
    """The next level: who survives it, and copies of the survivors in the places of the others."""
    eps = target.point.gnc.eps_train
    threshold = max(float(torch.quantile(state.losses, LEVEL_QUANTILE)), eps)
    if threshold >= state.threshold:  # many equal losses, as where ReLU gives W = 0: go below them
        below = state.losses[state.losses < state.threshold]
        threshold = max(float(below.max()), eps) if len(below) else eps
    alive = state.losses < eps if threshold == eps else state.losses <= threshold
    survivors, dead = alive.nonzero()[:, 0], (~alive).nonzero()[:, 0]
    if not len(survivors):
        return replace(state, step=state.step + 1, level=MAX_LEVELS)
    copies, rest = divmod(len(dead), len(survivors))
    order = Stream(target.seed, "moves", state.step).numpy.permutation(len(survivors))[:rest]
    parents = torch.cat([survivors.repeat(copies), survivors[torch.from_numpy(order).to(survivors.device)]])
    latent, losses = state.latent.clone(), state.losses.clone()
    latent[:, dead], losses[dead] = latent[:, parents], losses[parents]
    return replace(
        state,
        step=state.step + 1,
        latent=latent,
        losses=losses,
        threshold=threshold,
        level=state.level + 1,
        moves_left=MOVES_PER_LEVEL,
        log_acceptance=state.log_acceptance + math.log(len(survivors) / len(alive)),
    )


def _move(target: Target, state: SplittingState) -> SplittingState:
    """One pCN step of every particle; β is tuned to `TARGET_ACCEPTANCE` between steps."""
    chunks = _chunks(target)
    eps, beta = target.point.gnc.eps_train, state.step_size

    def move(index: int) -> tuple[Tensor, Tensor, int]:
        chunk = chunks[index]
        stream = Stream(target.seed, "gnc", state.step, index, device=target.device)
        here, losses = state.latent[:, chunk], state.losses[chunk]
        proposal = stream.normal(*here.shape, dtype=target.dtype).mul_(beta).add_(here, alpha=math.sqrt(1 - beta**2))
        proposed = target.training_loss(_columns(target, proposal))
        accepted = proposed < eps if state.threshold == eps else proposed <= state.threshold
        return (
            torch.where(accepted, proposal, here),
            torch.where(accepted, proposed, losses),
            int(accepted.sum()),
        )

    moved = map_blocks(target.device, move, range(len(chunks)))
    losses = torch.cat([losses for _, losses, _ in moved])
    rate = sum(accepted for _, _, accepted in moved) / len(losses)
    return replace(
        state,
        step=state.step + 1,
        draws=state.draws + len(losses),
        best_training_loss=min(state.best_training_loss, float(losses.min())),
        latent=torch.cat([latent for latent, _, _ in moved], dim=1),
        losses=losses,
        moves_left=state.moves_left - 1,
        step_size=min(0.999, max(0.005, beta * math.exp(rate - TARGET_ACCEPTANCE))),
    )


def _finish_replicate(target: Target, state: SplittingState) -> SplittingState:
    """Keep the particles under ε_train; a replicate that ran out of levels has none, and counts as P = 0."""
    arrived = state.threshold <= target.point.gnc.eps_train
    position = (state.losses < target.point.gnc.eps_train).nonzero()[:, 0]
    kept = KEPT_MATRICES // FEWEST_REPLICATES
    columns = _columns(target, state.latent[:, position])
    draws = Draws.of(
        target,
        columns,
        state.losses[position],
        count=0,
        best_training_loss=state.best_training_loss,
        log_weight=torch.full((len(position),), state.log_acceptance - math.log(max(len(position), 1))),
        cluster=torch.zeros(len(position), dtype=torch.int64),
        clusters=1,
    )
    draws = replace(draws, matrices=draws.matrices[:kept], matrix_log_weight=draws.matrix_log_weight[:kept])
    step = state.step
    state = state.extended([draws])  # type: ignore[assignment]
    mean = float(draws.generalization_loss.mean()) if arrived else math.nan
    state = replace(
        state,
        step=step + 1,
        latent=torch.empty(0, 0, dtype=state.latent.dtype, device=state.latent.device),
        losses=torch.empty(0, dtype=state.losses.dtype, device=state.losses.device),
        replicate_log_acceptance=(
            *state.replicate_log_acceptance,
            state.log_acceptance if arrived else -math.inf,
        ),
        replicate_means=(*state.replicate_means, mean),
    )
    return replace(state, replicates=_replicates(target.point, state))


def _replicates(point: PointSettings, state: SplittingState) -> int:
    """How many come to the effective samples asked for and a reliable P, or to `gnc.draws`; at least what there is."""
    done = len(state.replicate_means)
    if done < FEWEST_REPLICATES:
        return FEWEST_REPLICATES
    pooled = _pooled(state)
    if pooled is None or pooled.effective_sample_size == 0:  # at most one arrived at ε_train
        return done
    error = _log10_error(state.replicate_log_acceptance) / MAX_LOG10_ERROR
    enough = math.ceil(done * max(point.gnc.effective_samples / pooled.effective_sample_size, error**2))
    return max(done, min(enough, done * point.gnc.draws // state.draws))


def _student_t(replicates: int) -> float:
    """The 97.5 % quantile of Student's t for the mean of so many, of at least two."""
    from scipy.special import stdtrit  # here: a run that does not split would start 0.15 s later

    return float(stdtrit(max(replicates, 2) - 1, 0.975))


def _acceptance(log_acceptances: tuple[float, ...]) -> Interval:
    """log10 of the replicates' mean (each is unbiased), with Student's interval on the log scale."""
    logs = np.array(log_acceptances)
    if not np.isfinite(logs).any():
        return Interval(None, -math.inf, 0.0)  # nothing arrived: nothing is known
    largest = float(logs.max())
    ratios = np.exp(logs - largest)
    value = (math.log(ratios.mean()) + largest) * LOG10_E
    margin = _student_t(len(ratios)) * _log10_error(log_acceptances)
    return Interval(value, value - margin, min(value + margin, 0.0))


def _log10_error(log_acceptances: tuple[float, ...]) -> float:
    """Standard error of log10 of the mean acceptance, to first order; of a single replicate, a factor of e.

    At least one is finite.
    """
    if len(log_acceptances) < 2:
        return LOG10_E
    ratios = np.exp(np.array(log_acceptances) - max(log_acceptances))
    return float(ratios.std(ddof=1)) / math.sqrt(len(ratios)) / float(ratios.mean()) * LOG10_E


@dataclass(frozen=True)
class _Pooled:
    """Generalization losses of all replicates, weighted by their acceptance."""

    losses: NDArray[np.float64]
    weights: NDArray[np.float64]
    mean: float
    standard_error: float
    """of the mean"""
    effective_sample_size: float
    """Var(L_gen)/SE²"""

    def summary(self) -> LossSummary:
        quantiles, shares = weighted_quantiles(self.losses, self.weights), histogram(self.losses, self.weights)
        return LossSummary(self.mean, self.standard_error, quantiles, shares)


def _pooled(state: SplittingState) -> _Pooled | None:
    """None where no replicate arrived."""
    logs, means = np.array(state.replicate_log_acceptance), np.array(state.replicate_means)
    finite = np.isfinite(logs)
    if not finite.any():
        return None
    share = np.where(finite, np.exp(logs - logs.max()), 0.0)
    share /= share.sum()
    mean = float(share @ np.where(finite, means, 0.0))
    spread = np.square(share * np.where(finite, means - mean, 0.0)).sum()
    count = int(finite.sum())
    error = math.sqrt(spread * count / (count - 1)) if count > 1 else math.inf
    losses, replicate = state.generalization_loss.numpy(), state.cluster.numpy()
    weights = (share / np.maximum(np.bincount(replicate, minlength=len(share)), 1))[replicate]
    variance = float(weights @ np.square(losses - mean))
    size = min(float(len(losses)), variance / error**2) if error > 0 else float(len(losses))
    return _Pooled(losses, weights, mean, error, size)
