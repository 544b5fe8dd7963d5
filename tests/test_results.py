from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from engine.results import (
    HISTOGRAM_EDGES,
    GuessRecord,
    Interval,
    LossSummary,
    TrialResult,
    binomial_interval,
    geometric_interval,
    histogram,
    summarize,
)
from engine.runs.files import from_json, to_json
from engine.spec import preset


@pytest.mark.parametrize(("hits", "draws"), [(0, 10), (1, 10), (7, 10), (10, 10), (3, 10**6)])
def test_the_binomial_interval_is_the_exact_one(hits: int, draws: int) -> None:
    ours = binomial_interval(hits, draws)
    theirs = binomtest(hits, draws).proportion_ci(0.95, "exact")
    assert 10**ours.high == pytest.approx(theirs.high, rel=1e-9)
    assert (10**ours.low if hits else 0.0) == pytest.approx(theirs.low, rel=1e-9)
    assert ours.value == (pytest.approx(math.log10(hits / draws)) if hits else None)


def test_a_histogram_holds_all_the_weight_outside_values_in_the_end_bins() -> None:
    shares = histogram(np.array([0.0, 1e-20, 1.0, 1e20]), np.array([0.1, 0.2, 0.3, 0.4]))
    assert len(shares) == len(HISTOGRAM_EDGES) - 1
    assert sum(shares) == pytest.approx(1)
    assert shares[0] == pytest.approx(0.3)
    assert shares[-1] == pytest.approx(0.4)
    assert shares[int(np.searchsorted(HISTOGRAM_EDGES, 0.0, "right")) - 1] == pytest.approx(0.3)


def test_the_geometric_interval_covers_at_its_level() -> None:
    """At the ends of the interval, seeing so late or so early a first success has probability 2.5 %."""
    interval = geometric_interval(40)
    low, high = 10**interval.low, 10**interval.high
    assert 1 - (1 - low) ** 40 == pytest.approx(0.025)
    assert (1 - high) ** 39 == pytest.approx(0.025)


def _gnc(seed: int, loss: float | None, acceptance: Interval) -> TrialResult:
    record = GuessRecord(
        sampler="rejection",
        draws=100,
        hits=1,
        effective_sample_size=1.0,
        log10_acceptance=acceptance,
        generalization_loss=None if loss is None else LossSummary(loss, math.inf, (loss,) * 5, (0.5, 0.5)),
        best_training_loss=0.1,
        reliable=False,
        advice="raise gnc.draws",
    )
    return TrialResult(0, "gnc", seed, "no_hits" if loss is None else "finished", loss, loss, "no luck", record)


def test_a_trial_survives_json_bit_for_bit() -> None:
    trial = _gnc(3, 1 / 3, Interval(-4.2, -math.inf, -4.1))
    assert TrialResult.from_json(from_json(to_json(trial.to_json()))) == trial


def test_the_summary_takes_quartiles_over_data_sets_and_never_makes_up_a_number() -> None:
    experiment = preset.load("quick-start", ["model.width=5", "seeds=4"])
    trials = [
        TrialResult(0, "gd", 0, "finished", 1.0, 0.1),
        TrialResult(0, "gd", 1, "finished", 2.0, 0.2),
        TrialResult(0, "gd", 2, "finished", 4.0, 0.4),
        TrialResult(0, "gd", 3, "diverged", None, None, "it diverged"),
        _gnc(0, None, Interval(None, -math.inf, -3.0)),
    ]
    gd, gnc = summarize(experiment, trials)
    assert gd.generalization_loss == (1.5, 2.0, 3.0)
    assert (gd.trials, gd.training_loss, gd.remarks) == (3, 0.2, ("seed 3: it diverged",))
    assert gnc.generalization_loss is None
    assert gnc.acceptance == Interval(None, -math.inf, -3.0)
    assert gnc.remarks == ("seed 0: no luck",)


def test_the_acceptance_shown_is_the_median_data_sets_own() -> None:
    experiment = preset.load("quick-start", ["model.width=5"])
    intervals = [Interval(v, v - 0.1, v + 0.1) for v in (-5.0, -3.0, -4.0)]
    (row,) = summarize(experiment, [_gnc(i, 0.1, interval) for i, interval in enumerate(intervals)])
    assert row.acceptance == intervals[2]
