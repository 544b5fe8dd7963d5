"""Conditioning on the last layer: hidden features from the prior, W from a Gaussian posterior, importance weights.

Hidden features are drawn from the prior through their factor C (`engine.samplers.collapse`). Given C, the proposal for
W is the Gaussian posterior of `engine.samplers.conditioning` under the pseudo-noise γ; a draw counts if the true event
L_train < ε_train holds, with the weight p(W | C) / q(W | C) = N(y; 0, M) / N(y; z, γI). The mean weight estimates
P(L_train < ε_train), weighted means those of the posterior.

With normalization only the direction u = W/‖W‖ matters, and the plain weight is heavy-tailed, because it pays for a
length that the event does not ask about. Two remedies, both exact (docs/samplers.md has the measurements):
- the length is integrated out: the weight of a direction is N(y; 0, M) / E_{r|u} N(y; r A u, γI);
- the law of the direction does not know the scale of C, so the proposal mixes the posteriors of C at several scales:
  q(u | C) = Σ_j π_j Z_j q_j(u) / Σ_j π_j Z_j, Z_j the evidence at scale c_j, and p/q = Σ_j π_j Z_j / Σ_j π_j E_j(u).
Features are resampled by their evidence before W is drawn, so that work goes where there is something to find.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from engine.models.prior import SOFTENING
from engine.parallel import map_blocks
from engine.randomness import Stream
from engine.results import GuessRecord
from engine.samplers.collapse import covariance_factor
from engine.samplers.conditioning import Conditioner
from engine.samplers.interface import (
    Draws,
    GuessState,
    Target,
    fraction_of_budget,
    no_hits_advice,
)
from engine.spec.settings import PointSettings

NOISE_PER_THRESHOLD = 1.4
"""γ / ε_train: below 1 the weights grow tails, above 2 fewer draws pass"""
SCALES = (1.0, 2.0, 4.0)
"""c_j, of C scaled to E‖W‖² = 1: a feature far off the data fits them best as a longer W"""
DRAWS_PER_FEATURE = 4
"""without normalization: draws that share one Cholesky factor"""
FEATURES_PER_DRAW = 4
"""with normalization: features, of which one is resampled for a draw"""
ROULETTE = (0.3, 0.05)
"""a feature's chance to be kept at the mean evidence, and at least"""
SCREENING_SCALE = 1.4
BLOCKS_PER_STEP = 8
MAX_PARETO_K = 0.7
MIN_EFFECTIVE_SAMPLES = 100
MAX_SHARE = 0.1


class Conditional:
    def init(self, target: Target) -> GuessState:
        return GuessState()

    def step(self, target: Target, state: GuessState) -> GuessState:
        block_draws = _direction_block if target.point.gnc.normalize else _block

        def draw(block: int) -> Draws:
            return block_draws(target, Stream(target.seed, "gnc", block, device=target.device))

        return state.extended(map_blocks(target.device, draw, range(state.step, state.step + BLOCKS_PER_STEP)))

    def fraction(self, target: Target, state: GuessState) -> float:
        wanted = max(target.point.gnc.effective_samples, MIN_EFFECTIVE_SAMPLES)
        return fraction_of_budget(target.point, state.draws, state.weighted.effective_sample_size(), wanted)

    def record(self, target: Target, state: GuessState) -> GuessRecord:
        weighted = state.weighted
        acceptance = weighted.log10_mean_weight()
        pareto_k, size, share = weighted.pareto_k(), weighted.effective_sample_size(), weighted.largest_share()
        reliable = pareto_k <= MAX_PARETO_K and size >= MIN_EFFECTIVE_SAMPLES and share <= MAX_SHARE
        if not state.hits:
            advice = no_hits_advice(target, state, acceptance)
        elif reliable:
            advice = f"{size:,.0f} effective samples from {state.draws:,} features, Pareto k̂ {pareto_k:.2f}"
        else:
            advice = (
                f"the weights can't be trusted (Pareto k̂ {pareto_k:.2f}, at most {MAX_PARETO_K} is fine; "
                f"{size:,.0f} effective samples, the heaviest holds {share:.0%}): raise gnc.draws, or take "
                "gnc.sampler = 'splitting'"
            )
        return GuessRecord(
            sampler="conditional",
            draws=state.draws,
            hits=state.hits,
            effective_sample_size=size,
            log10_acceptance=acceptance,
            generalization_loss=state.loss_summary(),
            best_training_loss=state.best_training_loss,
            reliable=reliable,
            advice=advice,
            pareto_k=pareto_k if math.isfinite(pareto_k) else None,
        )


@lru_cache(maxsize=4)
def _conditioner(target: Target) -> Conditioner:
    rows, columns = target.point.problem.rows, target.point.problem.columns
    design = target.problem.measurements.dense(rows * columns)[0].double().to(target.device)
    noise = NOISE_PER_THRESHOLD * target.point.gnc.eps_train
    return Conditioner(design.view(-1, rows, columns), target.problem.targets[0].double(), noise)


def _features_per_block(point: PointSettings) -> int:
    """So many that vector operations pay, so few that a block's matrices stay in the cache."""
    numbers = max(point.problem.measurements**2, point.model.width * point.problem.columns)
    return min(2000, max(16, (1 << 18) // numbers))


def _block(target: Target, stream: Stream) -> Draws:
    """Features and a few draws from each, without normalization."""
    conditioner = _conditioner(target)
    features = _features_per_block(target.point)
    factor = covariance_factor(target.point, stream, features)
    posterior = conditioner.condition(factor, conditioner.measurement_covariance(factor))
    cluster = torch.arange(features, device=target.device).repeat(DRAWS_PER_FEATURE)
    posterior = posterior.select(cluster)
    columns = conditioner.draw(posterior, stream).columns
    log_weight = (
        posterior.log_evidence
        - conditioner.log_noise_density(conditioner.design @ columns)
        - math.log(DRAWS_PER_FEATURE)
    )
    return _passed(target, columns, log_weight, cluster, features)


def _direction_block(target: Target, stream: Stream) -> Draws:
    """Features, resampled by their evidence, and a draw of the direction from each, with normalization."""
    conditioner = _conditioner(target)
    features = _features_per_block(target.point)
    factor = covariance_factor(target.point, stream, features)
    squared_norm = conditioner.rows * factor.square().sum((0, 1))
    factor = factor * torch.where(squared_norm > 0, squared_norm.rsqrt(), 0.0)  # all-dead features stay zero
    covariance = conditioner.measurement_covariance(factor)

    kept, log_kept = _play_roulette(conditioner, factor, covariance, stream)
    factor, covariance, squared_norm = factor[..., kept], covariance[..., kept], squared_norm[kept]
    scales = torch.tensor(SCALES, dtype=torch.float64, device=target.device)
    posterior = conditioner.condition(
        torch.cat([factor * scale for scale in SCALES], dim=-1),
        torch.cat([covariance * scale**2 for scale in SCALES], dim=-1),
    )
    log_mixture = posterior.log_evidence - log_kept.repeat(len(SCALES)) - math.log(len(SCALES))
    draws = max(1, features // FEATURES_PER_DRAW)
    chosen = _resample(log_mixture, draws, stream)
    scale, feature = scales[chosen // len(kept)], chosen % len(kept)

    drawn = conditioner.draw(posterior.select(chosen), stream)
    lengths = drawn.columns.square().sum(0).sqrt()
    lengths = torch.where(lengths > 0, lengths, 1.0)
    direction = drawn.columns / lengths
    squared_latent = drawn.latent.square().sum((0, 1)) * (scale / lengths).square()
    # All latents count, those of null columns of C too: the direction is weighted together with them, and they cancel.
    degrees = torch.full_like(squared_latent, conditioner.rows * factor.shape[1])
    # The length under the prior, which 1e−6 in the normalization makes matter, if only where W is tiny.
    length = _chi(degrees, stream) * (squared_norm[feature] / squared_latent).sqrt()
    columns = direction * (length / (length + SOFTENING))
    log_weight = (
        torch.logsumexp(log_mixture, 0)
        - math.log(draws)
        - torch.logsumexp(
            conditioner.log_direction_evidence(
                conditioner.design @ direction, squared_latent / scales[:, None].square(), degrees
            ),
            0,
        )
        + math.log(len(SCALES))
    )
    return _passed(target, columns, log_weight, kept[feature], features)


def _passed(
    target: Target,
    columns: Float[Tensor, "mn draw"],
    log_weight: Float[Tensor, " draw"],
    cluster: Int[Tensor, " draw"],
    features: int,
) -> Draws:
    training_loss = target.training_loss(columns)
    passed = (training_loss < target.point.gnc.eps_train).nonzero()[:, 0]
    return Draws.of(
        target,
        columns[:, passed],
        training_loss[passed],
        count=features,
        best_training_loss=float(training_loss.min()),
        log_weight=log_weight[passed],
        cluster=cluster[passed],
        clusters=features,
    )


def _play_roulette(
    conditioner: Conditioner,
    factor: Float[Tensor, "n q batch"],
    covariance: Float[Tensor, "obs obs batch"],
    stream: Stream,
) -> tuple[Int[Tensor, " kept"], Float[Tensor, " kept"]]:
    """Which features go on, and the log of each one's chance to, by which it is to be divided.

    Judged by the evidence at one middle scale; unbiased whatever the judgement (Russian roulette).
    """
    evidence = conditioner.condition(factor * SCREENING_SCALE, covariance * SCREENING_SCALE**2).log_evidence
    relative = evidence - torch.logsumexp(evidence, 0) + math.log(len(evidence))
    at_mean, least = ROULETTE
    chance = (math.log(at_mean) + relative / 2).exp().clamp(least, 1.0)
    chance[relative.argmax()] = 1.0  # never nothing at all
    kept = (torch.from_numpy(stream.numpy.random(len(chance))).to(chance.device) < chance).nonzero()[:, 0]
    return kept, chance[kept].log()


def _resample(log_weight: Float[Tensor, " batch"], draws: int, stream: Stream) -> Int[Tensor, " draw"]:
    """Indices with expected counts proportional to the weights (systematic resampling)."""
    share = torch.softmax(log_weight, 0).cumsum(0)
    points = (torch.arange(draws, device=share.device) + float(stream.numpy.random())) / draws
    return torch.searchsorted(share, points.double()).clamp_max(len(share) - 1)


def _chi(degrees: Float[Tensor, " draw"], stream: Stream) -> Float[Tensor, " draw"]:
    return torch.from_numpy(np.sqrt(stream.numpy.chisquare(degrees.cpu().numpy()))).to(degrees.device)
