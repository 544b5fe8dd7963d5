"""Made-up results of sweeps, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.results import GuessRecord, Interval, LossSummary, TrialResult, histogram
from engine.samplers.weighted import weighted_quantiles
from engine.spec.experiment import Experiment
from engine.spec.settings import Method

SAMPLES = 4_000


def summary_of(losses: NDArray[np.float64]) -> LossSummary:
    weights = np.full(len(losses), 1 / len(losses))
    return LossSummary(
        mean=float(losses.mean()),
        standard_error=float(losses.std() / len(losses) ** 0.5),
        quantiles=weighted_quantiles(losses, weights),
        histogram=histogram(losses, weights),
    )


def guessed(point: int, method: Method, seed: int, losses: NDArray[np.float64]) -> TrialResult:
    """A finished trial of Guess & Check or the prior."""
    record = GuessRecord(
        sampler="rejection",
        draws=10 * len(losses),
        hits=len(losses),
        effective_sample_size=float(len(losses)),
        log10_acceptance=Interval(-1.0, -1.1, -0.9),
        generalization_loss=summary_of(losses),
        best_training_loss=1e-3,
        reliable=True,
        advice="",
    )
    return TrialResult(point, method, seed, "finished", float(losses.mean()), 0.01, guesses=record)


def trained(point: int, seed: int, loss: float, training_loss: float = 1e-9) -> TrialResult:
    return TrialResult(point, "gd", seed, "finished", loss, training_loss)


def no_hits(point: int, seed: int) -> TrialResult:
    record = GuessRecord(
        "rejection", 1000, 0, 0.0, Interval(None, float("-inf"), -2.5), None, 0.5, False, "none of 1,000 guesses fit"
    )
    return TrialResult(point, "gnc", seed, "no_hits", None, None, record.advice, record)


def with_share_below_one(share: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Losses, exactly this share of which (but for rounding) is below 1."""
    below = round(share * SAMPLES)
    low = 10 ** generator.uniform(-1, -0.01, below)
    return np.concatenate([low, 10 ** generator.uniform(0.01, 1, SAMPLES - below)])


def sweep_of(
    experiment: Experiment, share: Callable[[float, int], float], prior_share: float = 0.3
) -> list[TrialResult]:
    """Every trial of a sweep over numbers; `share` gives P(L_gen < 1 | fit) from the value and the data set."""
    generator = np.random.default_rng(0)
    results = []
    for point, value in enumerate(experiment.values):
        for seed in range(experiment.seeds):
            results.append(trained(point, seed, 1e-5 * (seed + 1)))
            results.append(guessed(point, "prior", seed, with_share_below_one(prior_share, generator)))
            results.append(guessed(point, "gnc", seed, with_share_below_one(share(value, seed), generator)))
    return results
