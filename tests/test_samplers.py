"""Every sampler against plain rejection on tiny problems, and against closed forms.

Tolerances: a family of N comparisons is tested at a familywise level of 1 % (Bonferroni), with the normal law's
quantile, or Student's with 7 degrees of freedom for the splitting sampler, whose standard errors come from 8
replicates. The mean of the family's standardized differences, far more sensitive to a bias they share, is tested too.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, kstwo, ncx2, norm, t

from engine.randomness import Stream
from engine.runs.files import to_json
from engine.samplers import SAMPLERS
from engine.samplers.interface import GuessState, Target
from engine.samplers.splitting import FEWEST_REPLICATES, SplittingState
from engine.samplers.weighted import Weighted
from engine.spec.names import SamplerName
from tests.targets import run, target

pytestmark = pytest.mark.slow

FAMILY_LEVEL = 0.01

# ε is such that a guess in some hundred fits: plain rejection then has thousands of hits within a second.
TINY: dict[str, Any] = {"rows": 3, "columns": 3, "measurements": 4, "width": 3}
SMOOTH = [
    {**TINY, "activation": a, "depth": d, "normalize": n, "kind": k, "eps_train": 0.02 if n else 0.03}
    for a, d, n, k in product(("linear", "tanh", "leaky_relu"), (2, 3, 6), (False, True), ("sensing", "completion"))
]
# ReLU: features that are all dead, and W = 0 with positive probability.
RELU = [
    {**TINY, "activation": "relu", "depth": d, "normalize": n, "kind": "sensing", "eps_train": 0.03}
    for d, n in product((2, 3), (False, True))
]
CASES = SMOOTH + RELU


def _half(which: int) -> list[dict[str, Any]]:
    """Half of the cases, any two levels of two factors together in some: splitting takes a second each."""
    places = product(range(3), range(3), range(2), range(2))
    return [case for case, place in zip(SMOOTH, places, strict=True) if sum(place) % 2 == which] + RELU


def _with_wide(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return cases + [{**case, "width": 6} for case in cases if case["depth"] == 3]


SHORTCUTS: list[SamplerName] = [name for name in SAMPLERS if name not in ("auto", "rejection")]
GAUSSIAN: list[tuple[SamplerName, dict[str, Any]]] = [
    (name, case) for name in SHORTCUTS for case in _with_wide(_half(0) if name == "splitting" else CASES)
]
UNIFORM: list[tuple[SamplerName, dict[str, Any]]] = [
    ("splitting", {**case, "prior": "uniform_matched"}) for case in _half(1)
]
OTHERS: list[tuple[SamplerName, dict[str, Any]]] = [
    ("splitting", {**TINY, "depth": 2, "eps_train": 0.03, "prior": prior, "activation": "tanh"})
    for prior in ("uniform", "laplace", "student_t")
]
COMPARISONS = GAUSSIAN + UNIFORM + OTHERS


@dataclass(frozen=True)
class Estimate:
    value: float
    error: float


@dataclass(frozen=True)
class Estimates:
    """log P(L_train < ε), and of L_gen under the posterior the mean and the shares below three fixed losses."""

    log_acceptance: Estimate
    mean: Estimate
    shares: tuple[Estimate, ...]


def _weighted_estimate(weighted: Weighted, values: np.ndarray) -> Estimate:
    summary = weighted.summarize(values)
    assert summary is not None
    return Estimate(summary.mean, summary.standard_error)


def _estimates(trial: Target, state: GuessState, cuts: np.ndarray) -> Estimates:
    losses = state.generalization_loss.numpy()
    indicators = [(losses < cut).astype(float) for cut in cuts]
    if isinstance(state, SplittingState):
        logs = np.array(state.replicate_log_acceptance)
        replicate = state.cluster.numpy()
        by_replicate = [[values[replicate == r].mean() for r in range(len(logs))] for values in indicators]
        return Estimates(
            _over_replicates(logs), _over_replicates(state.replicate_means), tuple(map(_over_replicates, by_replicate))
        )
    weighted = state.weighted
    interval = weighted.log10_mean_weight()
    assert interval.value is not None
    error = (interval.value - interval.low) / 1.959964 * math.log(10)
    return Estimates(
        Estimate(interval.value * math.log(10), error),
        _weighted_estimate(weighted, losses),
        tuple(_weighted_estimate(weighted, values) for values in indicators),
    )


def _over_replicates(values: Any) -> Estimate:
    return Estimate(float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values)))


@cache
def _state(sampler: SamplerName, case: tuple[tuple[str, Any], ...], seed: int) -> tuple[Target, GuessState]:
    trial = target(sampler=sampler, effective_samples=2_000 if sampler != "splitting" else 500, seed=seed, **dict(case))
    return trial, run(SAMPLERS[sampler], trial)


@cache
def _differences(sampler: SamplerName, case: tuple[tuple[str, Any], ...]) -> tuple[float, ...]:
    """Standardized differences from plain rejection, of each quantity in `Estimates`."""
    trial, reference = _state("rejection", case, 0)
    cuts = np.quantile(reference.generalization_loss.numpy(), (0.25, 0.5, 0.75))
    theirs = _estimates(trial, reference, cuts)
    ours = _estimates(*_state(sampler, case, 0), cuts)
    pairs = [
        (ours.log_acceptance, theirs.log_acceptance),
        (ours.mean, theirs.mean),
        *zip(ours.shares, theirs.shares, strict=True),
    ]
    return tuple((a.value - b.value) / math.hypot(a.error, b.error) for a, b in pairs)


def _key(case: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(case.items())


def _limit(sampler: SamplerName) -> float:
    tail = FAMILY_LEVEL / 2 / (5 * len(COMPARISONS))
    return float(t(FEWEST_REPLICATES - 1).isf(tail)) if sampler == "splitting" else float(norm.isf(tail))


def _name(value: Any) -> str:
    return value if isinstance(value, str) else " ".join(f"{v}" for k, v in value.items() if k not in TINY)


@pytest.mark.parametrize(("sampler", "case"), COMPARISONS, ids=_name)
def test_acceptance_and_posterior_agree_with_plain_rejection(sampler: SamplerName, case: dict[str, Any]) -> None:
    differences = _differences(sampler, _key(case))
    assert max(map(abs, differences)) < _limit(sampler), differences


@pytest.mark.parametrize("sampler", SHORTCUTS)
def test_over_all_cases_there_is_no_common_bias(sampler: SamplerName) -> None:
    """Acceptance and mean: the average of N standardized differences has standard deviation 1/√N (√1.4 more for t₇)."""
    table = np.array([_differences(s, _key(case))[:2] for s, case in COMPARISONS if s == sampler])
    spread = math.sqrt(1.4 if sampler == "splitting" else 1.0) / math.sqrt(len(table))
    limit = norm.isf(FAMILY_LEVEL / 2 / (2 * len(SHORTCUTS)))
    assert np.abs(table.mean(0)).max() < limit * spread, table.mean(0) / spread


@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize("width", [2, 3, 5, 30])
@pytest.mark.parametrize("activation", ["linear", "tanh", "relu"])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_collapsed_prior_is_the_prior_in_law(activation: str, width: int, depth: int, normalize: bool) -> None:
    """Kolmogorov–Smirnov on one entry, the norm and the extreme singular values; 48 × 4 tests at 1 % familywise."""
    trial = target(
        rows=3, columns=4, measurements=5, width=width, depth=depth, activation=activation, normalize=normalize
    )
    draws = []
    for name in ("rejection", "collapsed"):
        matrices = SAMPLERS[name].draw(trial.point, Stream(7, "gnc", len(name)), 4_000, torch.float64)  # type: ignore[attr-defined]
        values = torch.linalg.svdvals(matrices.permute(2, 0, 1))
        rank = min(3, width)
        draws.append([matrices[0, 1], matrices[2, 3] * matrices[0, 0], values[:, 0], values[:, rank - 1]])
    for ours, theirs in zip(*draws, strict=True):
        if normalize and rank == 1:
            continue
        assert ks_2samp(ours.numpy(), theirs.numpy()).pvalue > FAMILY_LEVEL / (48 * 4)


def test_a_width_of_a_million_costs_what_a_width_of_ten_does() -> None:
    """The linear collapsed prior's entries have variance 1/m at any width."""
    trial = target(width=1_000_000, depth=3, sampler="collapsed", eps_train=0.1, draws=100_000)
    state = run(SAMPLERS["collapsed"], trial)
    assert state.hits >= 2_000
    entries = SAMPLERS["collapsed"].draw(trial.point, Stream(0, "gnc", 0), 40_000, torch.float64)  # type: ignore[attr-defined]
    squares = entries.square().mean((0, 1))
    assert abs(float(squares.mean()) - 0.2) < 4 * float(squares.std()) / math.sqrt(len(squares))


@pytest.mark.parametrize(
    ("sampler", "eps"),
    [*(("conditional", 10.0**-e) for e in (1, 2, 4, 6)), *(("splitting", 10.0**-e) for e in (1, 2, 4))],
)
def test_at_depth_one_acceptance_and_mean_are_the_closed_form(sampler: SamplerName, eps: float) -> None:
    """W's entries are N(0, 1/m): m |W_Ω − y|² is noncentral χ² with n degrees of freedom and noncentrality m |y|², and
    the unobserved entries keep their prior, so that E L_gen = 1/m + mean y_held². Down to P = 10⁻²²."""
    trial = target(
        kind="completion", rows=4, columns=4, measurements=8, depth=1, sampler=sampler, eps_train=eps,
        effective_samples=1_000 if sampler == "conditional" else 400,
    )  # fmt: skip
    record = SAMPLERS[sampler].record(trial, run(SAMPLERS[sampler], trial))
    y, held = trial.problem.targets[0], trial.problem.held_out_targets[0]
    exact = ncx2.logcdf(4 * 8 * eps, 8, 4 * float(y.square().sum())) / math.log(10)
    interval, summary = record.log10_acceptance, record.generalization_loss
    assert interval.value is not None
    assert summary is not None
    widened = 4 / 1.96 if sampler == "conditional" else float(t(7).isf(3.2e-5)) / float(t(7).isf(0.025))
    assert abs(interval.value - exact) < widened * (interval.value - interval.low)
    expected = 0.25 + float(held.square().mean())
    limit = 4 if sampler == "conditional" else float(t(7).isf(3.2e-5))
    assert abs(summary.mean - expected) < limit * summary.standard_error
    assert record.reliable


def test_the_verdict_fires_where_the_conditional_sampler_is_fooled() -> None:
    """Deep leaky ReLU without normalization: hidden features of the right size are too rare for it to meet."""
    trial = target(activation="leaky_relu", depth=10, eps_train=0.01, sampler="conditional", draws=60_000)
    record = SAMPLERS["conditional"].record(trial, run(SAMPLERS["conditional"], trial))
    assert not record.reliable
    assert "gnc.sampler = 'splitting'" in record.advice or "none of" in record.advice


def test_replicates_of_splitting_that_disagree_make_an_unreliable_record_that_can_be_stored() -> None:
    state = SplittingState(
        replicate_log_acceptance=tuple(-5.0 * replicate for replicate in range(FEWEST_REPLICATES)),
        replicate_means=(0.1,) * FEWEST_REPLICATES,
        generalization_loss=torch.linspace(0.05, 0.15, FEWEST_REPLICATES, dtype=torch.float64),
        cluster=torch.arange(FEWEST_REPLICATES),
    )
    record = SAMPLERS["splitting"].record(target(sampler="splitting"), state)
    assert '"reliable": false' in to_json(asdict(record))
    assert "disagree" in record.advice


def test_splitting_makes_replicates_until_they_are_worth_what_was_asked_for() -> None:
    fields: dict[str, Any] = {**TINY, "depth": 2, "eps_train": 1e-3, "sampler": "splitting", "effective_samples": 700}
    few = run(SAMPLERS["splitting"], target(draws=1, **fields))
    enough = run(SAMPLERS["splitting"], target(**fields))
    assert len(few.replicate_means) == FEWEST_REPLICATES
    assert enough.replicate_means[:FEWEST_REPLICATES] == few.replicate_means
    worth = [SAMPLERS["splitting"].record(target(**fields), state).effective_sample_size for state in (few, enough)]
    assert worth[0] < 700 <= worth[1]
    between = target(**{**fields, "draws": few.draws * 10 // 8})
    assert len(run(SAMPLERS["splitting"], between).replicate_means) in (9, 10)


def test_splitting_gets_past_an_atom_of_the_losses() -> None:
    """Deep narrow ReLU models are zero more often than not: many particles then share one loss."""
    fields: dict[str, Any] = {**TINY, "width": 2, "activation": "relu", "depth": 8, "prior": "uniform_matched"}
    trial = target(sampler="splitting", effective_samples=500, eps_train=0.03, **fields)
    state = run(SAMPLERS["splitting"], trial)
    reference = run(SAMPLERS["rejection"], target(sampler="rejection", draws=2_000_000, eps_train=0.03, **fields))
    log_rate = math.log(reference.hits / reference.draws)
    estimate = _over_replicates(np.array(state.replicate_log_acceptance))
    assert reference.hits > 30
    error = math.hypot(estimate.error, 1 / math.sqrt(reference.hits))
    assert abs(estimate.value - log_rate) < float(t(FEWEST_REPLICATES - 1).isf(0.0005)) * error


def test_deep_linear_priors_neither_overflow_nor_underflow_in_single_precision() -> None:
    """Normalized at depth 130 most draws have norm near 1; unnormalized at width 160, depth 40 all are finite."""
    deep = target(depth=130, normalize=True)
    norms = SAMPLERS["rejection"].draw(deep.point, Stream(0, "gnc", 0), 200, torch.float64).norm(dim=(0, 1))  # type: ignore[attr-defined]
    assert torch.isfinite(norms).all()
    wide = target(depth=40, width=160)
    matrices = SAMPLERS["rejection"].draw(wide.point, Stream(0, "gnc", 0), 2, torch.float32)  # type: ignore[attr-defined]
    assert torch.isfinite(matrices).all()
    assert float(matrices.abs().max()) > 0


def test_few_effective_samples_are_not_called_reliable() -> None:
    trial = target(eps_train=0.05, sampler="rejection", draws=2_000)
    record = SAMPLERS["rejection"].record(trial, run(SAMPLERS["rejection"], trial))
    assert 0 < record.hits < 30
    assert not record.reliable


@pytest.mark.parametrize(
    ("fields", "chosen"),
    [
        ({"eps_train": 0.1}, "rejection: within the pilot"),
        ({"eps_train": 0.1, "prior": "uniform", "rows": 3, "columns": 3, "measurements": 4}, "rejection: "),
        ({"prior": "uniform", "eps_train": 0.02, "effective_samples": 2_000}, "rejection: "),
        ({"width": 40}, "conditional: "),
        ({"prior": "rademacher", "depth": 3}, "splitting: "),
        ({"activation": "leaky_relu", "depth": 10, "eps_train": 0.01}, "splitting: the conditional sampler proved"),
    ],
)  # fmt: skip
def test_auto_says_what_it_took_and_why_and_falls_back(fields: dict[str, Any], chosen: str) -> None:
    trial = target(sampler="auto", **{"effective_samples": 500, **fields})
    sampler, state = SAMPLERS["auto"], SAMPLERS["auto"].init(trial)
    stages = set()
    while sampler.fraction(trial, state) < 1 and len(stages) < 3 and state.step < 60:
        state = sampler.step(trial, state)
        stages.add(state.stage)
    assert sampler.record(trial, state).choice.startswith(chosen)
    assert len(state.training_loss) == state.hits


def test_a_first_hit_is_counted_draw_by_draw() -> None:
    """Its number has a geometric law: over many seeds its mean is 1/P within 4 standard errors."""
    base = target(eps_train=0.1, sampler="rejection", draws=10**7)
    reference = run(SAMPLERS["rejection"], base)
    probability = reference.hits / reference.draws
    counts = []
    for seed in range(60):
        trial = Target(
            base.point.model_copy(update={"gnc": base.point.gnc.model_copy(update={"mode": "first_hit"})}),
            1000 + seed,
            base.problem,
            base.device,
        )
        state = run(SAMPLERS["auto"], trial)
        record = SAMPLERS["auto"].record(trial, state)
        assert state.hits == 1
        assert record.reliable
        assert state.best_training_loss == float(state.training_loss[0]) < 0.1
        counts.append(state.draws)
    assert abs(np.mean(counts) - 1 / probability) < 4 / probability / math.sqrt(len(counts))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_run_is_repeated_bit_for_bit(sampler: SamplerName) -> None:
    case: dict[str, Any] = {
        **TINY,
        "depth": 3,
        "width": 5,
        "eps_train": 0.03,
        "normalize": True,
        "effective_samples": 300,
    }
    records = []
    for _ in range(2):
        trial = target(sampler=sampler, **case)
        records.append(SAMPLERS[sampler].record(trial, run(SAMPLERS[sampler], trial)))
    assert records[0] == records[1]


@pytest.mark.parametrize("sampler", ["rejection", "conditional", "splitting"])
def test_the_kept_matrices_are_posterior_samples(sampler: SamplerName) -> None:
    trial, state = _state(sampler, _key(CASES[0]), 0)
    assert 0 < len(state.matrices) <= 256
    losses = trial.training_loss(state.matrices.T)
    assert float(losses.max()) < CASES[0]["eps_train"] * (1 + 1e-5)  # float32 draws


def test_ks_of_weighted_draws_accepts_the_conditional_sampler() -> None:
    """Two-sample distance of the L_gen distributions; the weighted one counts as its effective sample size."""
    for case in CASES[:6]:
        _, reference = _state("rejection", _key(case), 0)
        _, ours = _state("conditional", _key(case), 0)
        weights = ours.weighted.relative_weights()
        values = np.concatenate([reference.generalization_loss.numpy(), ours.generalization_loss.numpy()])
        order = np.argsort(values)
        steps = np.concatenate([np.full(reference.hits, 1 / reference.hits), -weights / weights.sum()])[order]
        distance = float(np.abs(np.cumsum(steps)).max())
        size = ours.weighted.effective_sample_size()
        effective = round(reference.hits * size / (reference.hits + size))
        assert kstwo(effective).sf(distance) > FAMILY_LEVEL / 6
