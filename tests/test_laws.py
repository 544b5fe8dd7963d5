"""The theorems' reasons, measured on the prior, against exact values; tolerances are four standard errors."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import chi2, norm

from engine.analysis import laws
from engine.analysis.laws import exact_excess_kurtosis, exact_ratio_rate, exact_square_correlation
from engine.batch_last import matmul
from engine.events import Finished
from engine.models.prior import sample_matrices
from engine.problems.problem import make_problem
from engine.randomness import Stream
from engine.results import EntryLaw, Estimate, LawRecord, MiddleLaw, TrialResult
from engine.runs.files import from_json, to_json
from engine.samplers.guessing import Guessing
from engine.samplers.laws import _conditional_moments, _plain_moments, entry_law, measure_laws, middle_law
from engine.spec.names import PriorName
from engine.spec.preset import parse
from tests.settings import point

ERRORS = 4


def _agrees(estimate: Estimate | None, exact: float, wider: float = 0.0) -> None:
    assert estimate is not None
    assert abs(estimate.value - exact) < ERRORS * estimate.standard_error + wider


# --- entries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize("width", [3, 5, 40, 3_000])
def test_linear_gaussian_entries_have_the_exact_kurtosis_and_dependence(width: int, depth: int) -> None:
    """Widths up to 5 draw the features, wider ones Wishart matrices: see `engine.samplers.collapse`."""
    law = entry_law(point(width=width, depth=depth, rows=4), seed=1)
    _agrees(law.excess_kurtosis, exact_excess_kurtosis(width, depth))
    _agrees(law.row_dependence, exact_square_correlation(width, depth))
    _agrees(law.column_dependence, exact_square_correlation(width, depth))
    assert law.excess_kurtosis.standard_error < 0.05 * law.excess_kurtosis.value or width == 3


def test_at_depth_two_the_exact_values_are_the_simple_ones() -> None:
    assert exact_excess_kurtosis(10, 2) == pytest.approx(6 / 10)
    assert exact_square_correlation(10, 2) == pytest.approx(1 / (10 + 3))


def test_without_antisymmetry_entries_of_a_row_stay_dependent() -> None:
    """Wide leaky ReLU of slope a: features of two columns have E σσ'/E σ² = ρ = (1 − a)²/(π(1 + a²)), so that entries
    of W are jointly normal of correlation ρ, and their squares have ρ²; up to O(1/k)."""
    law = entry_law(point(width=3_000, activation="leaky_relu", negative_slope=0.2), seed=6)
    _agrees(law.row_dependence, (0.64 / (math.pi * 1.04)) ** 2, wider=2 / 3_000)
    _agrees(law.excess_kurtosis, 0.0, wider=20 / 3_000)


@pytest.mark.parametrize(("prior", "kurtosis"), [("uniform", 9 / 5), ("rademacher", 1.0), ("laplace", 6.0)])
def test_other_priors_have_theirs(prior: PriorName, kurtosis: float) -> None:
    """W_ij = Σ_a b_a c_a over k terms: with κ = E b⁴/(E b²)² the excess is (κ² − 3)/k. Entries of a row share the b,
    and are independent of variance ‖b‖² given them: E W_ij² W_ij'² is E ‖b‖⁴, 1 + (κ − 1)/k times E W_ij² squared."""
    width = 6
    law = entry_law(point(width=width, depth=2, prior=prior, rows=4), seed=2)
    excess = (kurtosis**2 - 3) / width
    dependence = ((kurtosis - 1) / width) / (2 + excess)
    _agrees(law.excess_kurtosis, excess)
    _agrees(law.row_dependence, dependence, wider=1e-12)
    _agrees(law.column_dependence, dependence, wider=1e-12)
    assert law.kolmogorov is None


@pytest.mark.parametrize("fields", [{"activation": "tanh", "width": 7}, {"activation": "relu", "width": 4}])
def test_moments_given_the_features_are_those_of_plain_draws(fields: dict[str, Any]) -> None:
    settings = point(depth=3, rows=4, columns=3, scaling="fan_in", **fields)
    law = entry_law(settings, seed=3)
    batches = [
        _plain_moments(sample_matrices(settings, Stream(0, "prior", batch), 4_000, torch.float64))
        for batch in range(20)
    ]
    plain = np.array([moments.fourth / moments.squared_variance - 3 for moments in batches])
    error = math.hypot(law.excess_kurtosis.standard_error, float(plain.std(ddof=1)) / math.sqrt(20))
    assert abs(law.excess_kurtosis.value - plain.mean()) < ERRORS * error


def test_conditional_moments_are_those_of_normals_with_that_covariance() -> None:
    generator = torch.Generator().manual_seed(4)
    factor = torch.randn(3, 3, 1, generator=generator, dtype=torch.float64)
    covariance = matmul(factor, factor.transpose(0, 1))
    told = _conditional_moments(covariance.expand(-1, -1, 2))
    rows = torch.randn(400_000, 3, generator=generator, dtype=torch.float64) @ factor[:, :, 0].T
    squares = rows.square()
    pairs = torch.stack([squares[:, a] * squares[:, b] for a, b in ((0, 1), (0, 2), (1, 2))]).mean(0)
    for exact, drawn in (
        (told.variance, squares.mean(1)),
        (told.fourth, squares.square().mean(1)),
        (told.row, pairs),
    ):
        assert abs(float(drawn.mean()) - exact) < ERRORS * float(drawn.std()) / math.sqrt(len(drawn))


@pytest.mark.parametrize("width", [2, 20])
def test_the_kolmogorov_distance_is_that_of_the_mixture_of_normals(width: int) -> None:
    """An entry at depth 2 is N(0, χ²_k/k) up to its scale. The grid finds the maximum up to 0.2 % of it."""

    variances = chi2.ppf((np.arange(20_000) + 0.5) / 20_000, width) / width
    exact = max(abs(norm.cdf(t / np.sqrt(variances)).mean() - norm.cdf(t)) for t in np.linspace(0.05, 3, 60))
    law = entry_law(point(width=width), seed=5)
    _agrees(law.kolmogorov, exact, wider=0.002 * exact)


def test_one_row_and_one_column_have_no_pairs() -> None:
    law = entry_law(point(rows=1, columns=3, measurements=1), seed=0)
    assert law.column_dependence is None
    _agrees(law.row_dependence, exact_square_correlation(5, 2))
    assert entry_law(point(rows=3, columns=1, measurements=1), seed=0).row_dependence is None


def test_normalization_and_the_scale_of_the_weights_change_nothing() -> None:
    plain = measure_laws(point(depth=4, prior="uniform"), seed=0)
    assert measure_laws(point(depth=4, prior="uniform", normalize=True), seed=0) == plain
    scaled = measure_laws(point(depth=4, prior="uniform", scaling="fan_in", rows=5), seed=0)
    assert scaled.middle == plain.middle


# --- the middle product ----------------------------------------------------------------------------------------------


def test_a_gaussian_two_by_two_matrix_has_the_known_ratio_of_singular_values() -> None:
    """Of density (σ₁² − σ₂²) e^{−(σ₁² + σ₂²)/2}: so P(σ₂/σ₁ < r) = 2r/(1 + r²), P(> ½) = 1/5, the median is 2 − √3, and
    E log(σ₂/σ₁) = −∫ 2/(1 + r²) dr from 0 to 1 = −π/2."""
    law = middle_law(point(depth=3, width=2), seed=0)
    _agrees(law.log_ratio, -math.pi / 2)
    _agrees(law.far_from_rank_one, 0.2)
    error = 0.5 / math.sqrt(20_000) / (2 * (1 - law.quantiles[2] ** 2) / (1 + law.quantiles[2] ** 2) ** 2)
    assert abs(law.quantiles[2] - (2 - math.sqrt(3))) < ERRORS * error


@pytest.mark.slow
@pytest.mark.parametrize(("width", "depths"), [(2, (12, 22)), (3, (20, 40))])
def test_the_ratio_falls_at_the_rate_of_the_lyapunov_exponents(width: int, depths: tuple[int, int]) -> None:
    shallow, deep = (middle_law(point(depth=depth, width=width), seed=depth).log_ratio for depth in depths)
    assert shallow is not None
    assert deep is not None
    rate = (deep.value - shallow.value) / (depths[1] - depths[0])
    error = math.hypot(deep.standard_error, shallow.standard_error) / (depths[1] - depths[0])
    assert abs(rate - exact_ratio_rate(width)) < ERRORS * error


def test_the_exponents_are_the_mean_logarithms_of_chi_variables() -> None:
    """ψ(½) − ψ(1) = −2 log 2, and the digamma function's values give E log χ_d = ½(log 2 + ψ(d/2))."""
    assert exact_ratio_rate(2) == pytest.approx(-math.log(2))
    mean = [quad(lambda u, d=d: 0.5 * math.log(chi2.ppf(u, d)), 0, 1, limit=200)[0] for d in (4, 5)]
    assert exact_ratio_rate(5) == pytest.approx(mean[0] - mean[1], abs=1e-6)


def test_a_second_singular_value_of_zero_has_no_logarithm() -> None:
    law = middle_law(point(depth=6, width=2, prior="rademacher"), seed=0)
    assert law.log_ratio is None
    assert law.quantiles[0] == 0


# --- when they are measured ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "entries", "middle", "said"),
    [
        ({"depth": 1}, False, False, "depth 1"),
        ({"depth": 2}, True, False, "from depth 3"),
        ({"depth": 3}, True, True, ""),
        ({"depth": 3, "activation": "tanh"}, True, False, "linear σ"),
        ({"depth": 3, "width": 1}, True, False, "no second singular value"),
        ({"depth": 3, "prior": "student_t"}, False, True, "no fourth moment"),
        ({"depth": 3, "width": 1_000}, True, False, "1,000,000"),
    ],
)
def test_what_does_not_apply_is_said(fields: dict[str, Any], entries: bool, middle: bool, said: str) -> None:
    record = measure_laws(point(**fields), seed=0)
    assert (record.entries is not None, record.middle is not None) == (entries, middle)
    assert said in " ".join(record.remarks)
    assert bool(record.remarks) == (not (entries and middle))


def _prior_trial(**fields: Any) -> TrialResult:
    settings = point(prior_draws=500, **fields)
    guessing = Guessing(0, settings, 7, make_problem(settings.problem, [7]), torch.device("cpu"), "prior")
    state, _ = guessing.init()
    while guessing.fraction(state) < 1:
        state, _ = guessing.step(state)
    finished = guessing.finish(state)[-1]
    assert isinstance(finished, Finished)
    return finished.result


def test_the_laws_are_measured_on_request_and_change_no_other_number() -> None:
    plain, measured = _prior_trial(depth=3), _prior_trial(depth=3, measure_laws=True)
    assert plain.laws is None
    assert measured.laws == measure_laws(point(depth=3), seed=7)
    assert replace(measured, laws=None) == plain


def test_a_record_survives_json() -> None:
    estimate = Estimate(1 / 3, 0.1)
    record = LawRecord(
        EntryLaw(estimate, None, estimate, None), MiddleLaw(None, (0.1, 0.2, 0.3, 0.4, 0.5), estimate), ("why",)
    )
    for laws_of_it in (record, LawRecord(None, None)):
        trial = TrialResult(0, "prior", 0, "finished", 1.0, 1.0, laws=laws_of_it)
        assert TrialResult.from_json(from_json(to_json(trial.to_json()))) == trial


def test_quantities_are_laid_out_by_data_set_and_sweep_point() -> None:
    experiment = parse('seeds = 2\n[problem]\nseed = 5\n[sweep]\nover = "model.width"\nvalues = [5, 10]', "widths")
    record = LawRecord(EntryLaw(Estimate(0.5, 0.1), None, None, None), None)
    result = TrialResult(1, "prior", 6, "finished", 1.0, 1.0, laws=record)
    means = laws.measured(experiment, [result], "excess_kurtosis")
    assert means.count.tolist() == [0, 1]
    assert means.values[1, 1] == 0.5
    assert not laws.measured(experiment, [result], "row_dependence").count.any()
