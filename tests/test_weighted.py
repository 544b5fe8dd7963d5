from __future__ import annotations

import math

import numpy as np
import pytest

from engine.results import LossSummary
from engine.samplers.weighted import Weighted, pareto_k, weighted_quantiles


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9, 1.5])
def test_the_pareto_index_is_found(shape: float) -> None:
    """Weights u^(−k) have tail index k; over 20 samples of 100,000 the mean is within 4 of its standard errors, plus
    the pull of the prior of ten observations at 0.5 on the 949 largest."""
    generator = np.random.default_rng(0)
    found = [pareto_k(-shape * np.log(generator.random(100_000))) for _ in range(20)]
    tail = int(3 * math.sqrt(100_000))
    expected = (tail * shape + 10 * 0.5) / (tail + 10)
    assert abs(np.mean(found) - expected) < 4 * np.std(found, ddof=1) / math.sqrt(20) + 0.02


def test_equal_weights_have_no_tail_and_few_weights_no_verdict() -> None:
    assert pareto_k(np.zeros(1000)) == -math.inf
    assert pareto_k(np.zeros(10)) == math.inf


def test_clusters_count_once_in_the_effective_sample_size() -> None:
    weighted = Weighted(np.zeros(6), np.array([0, 0, 0, 4, 4, 4]), 10)
    assert weighted.effective_sample_size() == pytest.approx(2)
    assert weighted.largest_share() == pytest.approx(0.5)


def test_the_mean_weight_is_over_all_trials_and_survives_tiny_weights() -> None:
    interval = Weighted(np.full(4, -1000.0), np.arange(4), 8).log10_mean_weight()
    assert interval.value == pytest.approx((-1000 + math.log(0.5)) / math.log(10))
    assert interval.low < interval.value < interval.high


def test_without_draws_there_is_no_estimate() -> None:
    nothing = Weighted(np.empty(0), np.empty(0, np.int64), 100)
    assert nothing.effective_sample_size() == 0
    assert nothing.log10_mean_weight().value is None
    assert nothing.summarize(np.empty(0)) is None


def test_the_weighted_means_standard_error_covers() -> None:
    """Self-normalized mean of clustered draws: |mean − truth| over its standard error has unit variance, ± 4 errors."""
    generator = np.random.default_rng(1)
    scores = []
    for _ in range(400):
        shared = generator.standard_normal(200)
        values = 100 + (shared[:, None] + generator.standard_normal((200, 5))).ravel()
        cluster = np.repeat(np.arange(200), 5)
        # Density ratio of N(0.3, ·) to N(0, ·) in the shared part only: the target's mean is 100.3.
        log_weight = (0.3 * shared - 0.045).repeat(5)
        summary = Weighted(log_weight, cluster, 200).summarize(values)
        assert summary is not None
        scores.append((summary.mean - 100.3) / summary.standard_error)
    assert abs(np.mean(scores)) < 4 / math.sqrt(400)
    assert abs(np.var(scores) - 1) < 4 * math.sqrt(2 / 400)


def test_weighted_quantiles_of_equal_weights_are_order_statistics() -> None:
    assert weighted_quantiles(np.arange(128.0), np.full(128, 2.0**-7))[1:4] == (31.0, 63.0, 95.0)


def _equal(losses: list[float]) -> LossSummary:
    """The summary of draws of weight 1, each a cluster of its own."""
    summary = Weighted(np.zeros(len(losses)), np.arange(len(losses)), len(losses)).summarize(np.array(losses))
    assert summary is not None
    return summary


def test_a_loss_summary_is_mean_standard_error_and_quantiles() -> None:
    summary = _equal([1.0, 2.0, 3.0, 4.0, 5.0])
    assert summary.mean == 3
    assert summary.standard_error == pytest.approx(math.sqrt(2.5 / 5))
    assert summary.quantiles[2] == 3


def test_one_loss_tells_nothing_of_its_standard_error() -> None:
    assert _equal([0.5]).standard_error == math.inf
