"""P(L_gen < ε) of each data set, read off the stored histograms: ε is therefore always one of their bin edges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from engine.results import HISTOGRAM_EDGES, GuessRecord, LossSummary, TrialResult, place
from engine.spec.experiment import Experiment
from engine.spec.settings import Method

LAST_EDGE = len(HISTOGRAM_EDGES) - 2
"""the outermost bins take what lies beyond, so the first and the last edge separate nothing"""


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
