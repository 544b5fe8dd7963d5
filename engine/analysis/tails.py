"""P(L_gen < ε) of each data set, read off the stored histograms: ε is therefore always one of their bin edges."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from engine.results import HISTOGRAM_EDGES, GuessRecord, LossSummary, TrialResult, place
from engine.spec.experiment import Experiment
from engine.spec.settings import Method

LAST_EDGE = len(HISTOGRAM_EDGES) - 2
"""the outermost bins take what lies beyond, so the first and the last edge separate nothing"""

_NORMAL_QUANTILE = 1.6449
"""95 % of a standard normal are below"""


def nearest_edge(loss: float) -> int:
    """Index of the inner edge nearest to a loss, in decades."""
    if loss <= 0:
        return 1
    return int(np.clip(np.abs(HISTOGRAM_EDGES - np.log10(loss)).argmin(), 1, LAST_EDGE))


def loss_at(edge: int) -> float:
    """The generalization loss at an edge."""
    return float(10 ** HISTOGRAM_EDGES[edge])


def share_below(summary: LossSummary, edge: int) -> float:
    """P(L_gen < `loss_at(edge)`), rounding errors of the sum cut off."""
    return min(1.0, max(0.0, sum(summary.histogram[:edge])))


def shares_below(
    experiment: Experiment, results: Iterable[TrialResult], method: Method, edge: int
) -> tuple[Float[ndarray, "seed point"], Float[ndarray, "seed point"]]:
    """The same for each trial of a method, and its sampling variance; NaN for what isn't there, or isn't reliable.

    The variance is that of a share of the effective samples, each side counted one more than seen: no finite sample
    shows a probability to be 0 or 1.
    """
    shares = np.full((experiment.seeds, len(experiment.points)), np.nan)
    variances = shares.copy()
    for result, record, losses in _usable(results, method):
        trial = place(experiment, result)
        shares[trial] = share = share_below(losses, edge)
        samples = max(1.0, record.effective_sample_size)
        cautious = (share * samples + 1) / (samples + 2)
        variances[trial] = cautious * (1 - cautious) / samples
    return shares, variances


class SingleDataSets(NamedTuple):
    """Differences between two probabilities, data set by data set, where their mean would let them cancel."""

    size: float
    """mean of |difference|"""
    by_chance: float
    """what that would be if sampling alone made the differences"""
    apart: bool
    """whether the differences are more than sampling makes (χ², 95 %)"""


def single_data_sets(differences: Float[ndarray, " seed"], variances: Float[ndarray, " seed"]) -> SingleDataSets:
    """At least one data set; all variances positive. χ² is Σ difference²/variance, with a degree a data set."""
    degrees = len(differences)
    by_chance = math.sqrt(2 / math.pi) * float(np.sqrt(variances).mean())
    apart = float((differences**2 / variances).sum()) > chi_square_quantile(degrees)
    return SingleDataSets(float(np.abs(differences).mean()), by_chance, apart)


def chi_square_quantile(degrees: int) -> float:
    """95 % of χ² are below, within 0.5 % from 3 degrees on [Wilson, Hilferty 1931]; scipy's takes 0.1 s to import."""
    spread = 2 / (9 * degrees)
    return degrees * (1 - spread + _NORMAL_QUANTILE * math.sqrt(spread)) ** 3


def median_edge(results: Iterable[TrialResult], method: Method) -> int | None:
    """The edge nearest to the middle of a method's trials' medians; None without any."""
    medians = [losses.quantiles[2] for _, _, losses in _usable(results, method)]
    return nearest_edge(float(np.median(medians))) if medians else None


def unusable(results: Iterable[TrialResult], methods: tuple[Method, ...]) -> int:
    """How many trials of these methods ended in a way that makes their histograms untrustworthy."""
    return sum(result.method in methods and result.outcome != "finished" for result in results)


def _usable(results: Iterable[TrialResult], method: Method) -> Iterator[tuple[TrialResult, GuessRecord, LossSummary]]:
    for result in results:
        record = result.guesses
        if result.method == method and result.outcome == "finished" and record and record.generalization_loss:
            yield result, record, record.generalization_loss
