"""Estimates from weighted, possibly clustered draws, and how far to trust them. NumPy only; weights as logarithms.

A cluster holds the draws that share hidden features: they are dependent, clusters are not. Standard errors and the
effective sample size are therefore those of the clusters' sums.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.results import QUANTILES, Interval, LossSummary, histogram

Array = NDArray[np.float64]

NORMAL_95 = 1.959964
LOG10_E = math.log10(math.e)


@dataclass(frozen=True)
class Weighted:
    """Draws with importance weights, out of `trials` clusters tried."""

    log_weight: Array
    cluster: NDArray[np.int64]
    """index of each draw's cluster; clusters without a draw weigh 0"""
    trials: int

    def cluster_weights(self) -> Array:
        """Summed weights of the clusters that have draws, the largest draw's weight being 1."""
        return self._cluster_sums(self.relative_weights())

    def _cluster_sums(self, values: Array) -> Array:
        """Sums over each cluster that has draws."""
        sums = np.bincount(self.cluster, values)
        return np.asarray(sums[np.bincount(self.cluster) > 0], dtype=np.float64)

    def relative_weights(self) -> Array:
        """Weights over the largest one."""
        return np.asarray(np.exp(self.log_weight - self.log_weight.max(initial=-math.inf)))

    def effective_sample_size(self) -> float:
        """(Σ w)² / Σ w², w the clusters' weights [Kong 1992]; 0 without draws."""
        weights = self.cluster_weights()
        return float(weights.sum() ** 2 / np.square(weights).sum()) if len(weights) else 0.0

    def largest_share(self) -> float:
        """The heaviest cluster's part of the total weight; 1 without draws."""
        weights = self.cluster_weights()
        return float(weights.max() / weights.sum()) if len(weights) else 1.0

    def pareto_k(self) -> float:
        """Tail index of the clusters' weights; see `pareto_k`."""
        weights = self.cluster_weights()
        return pareto_k(np.log(weights[weights > 0]))

    def log10_mean_weight(self) -> Interval:
        """log10 of the mean weight over all trials, with its 95 % interval on the log scale (delta method)."""
        weights = self.cluster_weights()
        if not len(weights):
            return Interval(None, -math.inf, 0.0)
        mean = weights.sum() / self.trials
        variance = max(np.square(weights).sum() / self.trials - mean**2, 0.0) / self.trials
        relative_error = math.sqrt(variance) / mean
        value = (math.log(mean) + float(self.log_weight.max())) * LOG10_E
        return Interval(
            value=value,
            low=value - NORMAL_95 * relative_error * LOG10_E,
            high=min(value + NORMAL_95 * relative_error * LOG10_E, 0.0),
        )

    def summarize(self, losses: Array) -> LossSummary | None:
        """Self-normalized mean of `losses`, its standard error (delta method over clusters), quantiles, histogram."""
        if not len(losses):
            return None
        weights = self.relative_weights()
        weights /= weights.sum()
        mean = float(weights @ losses)
        deviations = self._cluster_sums(weights * (losses - mean))
        clusters = len(deviations)
        error = math.sqrt(float(np.square(deviations).sum()) * clusters / (clusters - 1)) if clusters > 1 else math.inf
        return LossSummary(
            mean=mean,
            standard_error=error,
            quantiles=weighted_quantiles(losses, weights),
            histogram=histogram(losses, weights),
        )


def weighted_quantiles(values: Array, weights: Array) -> tuple[float, ...]:
    """Quantiles at `QUANTILES` of a weighted sample: the least value with at least that share of weight up to it."""
    order = np.argsort(values)
    share = np.cumsum(weights[order])
    positions = np.searchsorted(share, np.array(QUANTILES) * share[-1])
    return tuple(float(v) for v in values[order][np.minimum(positions, len(values) - 1)])


def pareto_k(log_weights: Array) -> float:
    """Shape of the generalized Pareto law fitted to the largest weights: above 0.7 their mean can't be trusted.

    The posterior-mean fit of Zhang and Stephens (2009) to the min(S/5, 3√S) largest of S weights, with a weak prior of
    ten observations at 0.5 [Vehtari, Simpson, Gelman, Yao, Gabry 2024, appendix G]. Infinite below 25 weights.
    """
    if len(log_weights) < 25:
        return math.inf
    ordered = np.sort(log_weights)
    count = int(min(len(ordered) / 5, 3 * math.sqrt(len(ordered))))
    weights = np.exp(ordered[-count - 1 :] - ordered[-1])
    excess = weights[1:] - weights[0]
    excess = excess[excess > 0]
    if len(excess) < 5:
        return -math.inf  # equal weights: no tail at all
    candidates = 30 + int(math.sqrt(len(excess)))
    grid = 1 - np.sqrt(candidates / (np.arange(1, candidates + 1) - 0.5))
    theta = grid / (3 * excess[int(len(excess) / 4 + 0.5) - 1]) + 1 / excess[-1]
    shapes = np.log1p(-theta[:, None] * excess).mean(1)
    log_likelihood = len(excess) * (np.log(-theta / shapes) - shapes - 1)
    posterior = np.exp(log_likelihood - log_likelihood.max())
    best = float(theta @ posterior / posterior.sum())
    shape = float(np.log1p(-best * excess).mean())
    return (len(excess) * shape + 10 * 0.5) / (len(excess) + 10)
