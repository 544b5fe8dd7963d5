"""The theorems as measurements: fits recover what was put in, within the errors they state, or say why they can't."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import stdtrit

from engine.analysis.line_fit import Means, bend, fit_line, fit_power_law, t_quantile
from engine.analysis.tails import LAST_EDGE, loss_at, nearest_edge, share_below
from engine.analysis.theorems import default_edge, measure, theorem_of
from engine.results import HISTOGRAM_EDGES, TrialResult
from engine.spec.experiment import Experiment
from engine.spec.preset import parse
from tests.sweeps import guessed, no_hits, summary_of, sweep_of, trained

WIDTHS = (5, 10, 20, 40, 80)
AT_ONE = nearest_edge(1.0)


def width_sweep(seeds: int = 8, *lines: str) -> Experiment:
    return parse(
        "\n".join([f"seeds = {seeds}", *lines, f'[sweep]\nover = "model.width"\nvalues = {list(WIDTHS)}']), "widths"
    )


def depth_sweep(*lines: str) -> Experiment:
    return parse("\n".join(["seeds = 8", *lines, '[sweep]\nover = "model.depth"\nvalues = [2, 3, 4, 6, 8]']), "depths")


# --- histograms ------------------------------------------------------------------------------------------------------


def test_the_share_below_an_edge_is_that_of_the_sample() -> None:
    losses = 10 ** np.random.default_rng(1).normal(-1, 1, 1_000)
    summary = summary_of(losses)
    for edge in (30, AT_ONE, 80):
        assert share_below(summary, edge) == pytest.approx(float((losses < loss_at(edge)).mean()), abs=1e-12)


@pytest.mark.parametrize("loss", [0.0, 1e-30, 0.02, 1e30, float("inf")])
def test_an_edge_is_always_one_that_separates(loss: float) -> None:
    assert 1 <= nearest_edge(loss) <= LAST_EDGE


def test_an_edge_is_its_own_nearest() -> None:
    assert all(nearest_edge(loss_at(edge)) == edge for edge in range(1, LAST_EDGE + 1))
    assert len(HISTOGRAM_EDGES) == LAST_EDGE + 2


# --- lines -----------------------------------------------------------------------------------------------------------


def test_data_sets_that_agree_on_the_exponent_give_it_without_error_however_much_their_sizes_differ() -> None:
    x = np.array(WIDTHS, dtype=np.float64)
    means = Means.of(np.array([[0.5], [1.0], [2.5], [0.7]]) * x**-0.5)
    everywhere = np.ones(len(x), dtype=np.bool_)
    fit = fit_power_law(x, means, everywhere)
    assert fit.slope == pytest.approx(-0.5, abs=1e-12)
    assert fit.slope_reach < 1e-12
    assert np.exp(fit.intercept) == pytest.approx(np.mean([0.5, 1.0, 2.5, 0.7]))
    assert fit.intercept_reach > 0.1


@pytest.mark.parametrize("law", ["power", "line"])
def test_intervals_hold_the_truth_as_often_as_they_say(law: str) -> None:
    """Of 400 fits 95 % should: within 3 standard errors (1.1 % each), and 2 % for weights that are estimates too."""
    generator, x = np.random.default_rng(2), np.array(WIDTHS, dtype=np.float64)
    held = 0
    for _ in range(400):
        sizes = 1 + 0.2 * generator.standard_normal((8, 1))
        exact = x**-0.7 if law == "power" else 0.2 + 0.5 * x / x.max()
        means = Means.of(sizes * exact * (1 + 0.1 * generator.standard_normal((8, len(x)))))
        everywhere = np.ones(len(x), dtype=np.bool_)
        if law == "power":
            fit = fit_power_law(x, means, everywhere)
            held += abs(fit.slope + 0.7) <= fit.slope_reach
        else:
            fit = fit_line(x / x.max(), means, everywhere)
            held += abs(fit.slope - 0.5) <= fit.slope_reach
    assert held / 400 == pytest.approx(0.95, abs=0.053)


def test_a_power_law_that_bends_is_told_from_one_that_does_not() -> None:
    generator, x = np.random.default_rng(3), np.array([5, 10, 20, 40, 80, 160.0])
    curved = x**-0.3 * np.exp(-x / 100)
    means = Means.of(curved * (1 + 0.02 * generator.standard_normal((8, 6))))
    halves = bend(x, means, means.beyond_zero())
    assert halves is not None
    assert halves[1] < halves[0] < 0


def test_sampling_errors_count_where_the_data_sets_agree_by_chance() -> None:
    same = np.full((8, 3), 0.1)
    assert Means.of(same).beyond_zero().all()
    means = Means.of(same, np.full((8, 3), 1.0))
    assert not means.beyond_zero().any()
    assert means.standard_error == pytest.approx(1 / np.sqrt(8))


def test_missing_trials_are_left_out_of_the_means() -> None:
    values = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]])
    means = Means.of(values)
    assert means.mean[:2].tolist() == [2.0, 5.0]
    assert means.count.tolist() == [2, 1, 0]
    assert np.isnan(means.mean[2])
    assert means.standard_error[0] == pytest.approx(1.0)
    assert np.isnan(means.standard_error[1:]).all()


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 8, 30, 99, 1000])
def test_the_t_quantile_is_students(degrees: int) -> None:
    assert t_quantile(degrees) == pytest.approx(stdtrit(degrees, 0.975), rel=1e-9)


# --- width -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("exponent", "said"), [(-0.5, "compatible"), (-1.0, "faster"), (-0.25, "slower")])
def test_the_exponent_of_a_width_sweep_is_recovered_and_judged(exponent: float, said: str) -> None:
    experiment = width_sweep()
    sizes = 1 + np.random.default_rng(4).normal(0, 0.05, (8, 81))
    results = sweep_of(experiment, lambda width, seed: 0.3 + float(sizes[seed, int(width)]) * width**exponent)
    measured = measure(experiment, results, AT_ONE)
    assert measured is not None
    assert measured.fit is not None
    assert abs(measured.fit.slope - exponent) <= 1.5 * measured.fit.slope_reach
    assert measured.fit.slope_reach < 0.1
    assert said in measured.verdict
    assert measured.threshold == pytest.approx(1.0)
    assert measured.reference is not None


def test_the_default_epsilon_is_the_priors_median() -> None:
    experiment = width_sweep()
    results = sweep_of(experiment, lambda *_: 0.9, prior_share=0.5)
    assert abs(default_edge(experiment, results) - AT_ONE) <= 1
    assert default_edge(experiment, []) == AT_ONE


@pytest.mark.parametrize(
    ("seeds", "share", "said"),
    [
        (1, 0.6, "1 data set so far: no error bar"),
        (2, 0.6, "2 data sets so far: no error bar"),
        (8, 0.3, "5 of 5 differences are compatible with zero"),
    ],
)
def test_no_exponent_is_made_up(seeds: int, share: float, said: str) -> None:
    experiment = width_sweep(seeds)
    measured = measure(experiment, sweep_of(experiment, lambda *_: share), AT_ONE)
    assert measured is not None
    assert measured.fit is None
    assert said in measured.verdict


def test_a_difference_that_changes_its_sign_has_no_exponent() -> None:
    experiment = width_sweep()
    measured = measure(experiment, sweep_of(experiment, lambda width, _: 0.1 if width > 20 else 0.6), AT_ONE)
    assert measured is not None
    assert measured.fit is None
    assert "changes its sign" in measured.verdict


def test_differences_compatible_with_zero_are_left_out_and_said() -> None:
    experiment = width_sweep()
    results = sweep_of(experiment, lambda width, seed: 0.3 if width == 80 else 0.3 + (1 + 0.01 * seed) * width**-0.5)
    measured = measure(experiment, results, AT_ONE)
    assert measured is not None
    assert measured.fit is not None
    assert measured.fit.points == 4
    assert "1 compatible with zero left out" in measured.verdict


def test_points_without_trials_and_trials_without_hits_are_no_numbers() -> None:
    experiment = width_sweep()
    everything = sweep_of(experiment, lambda width, seed: 0.3 + (1 + 0.01 * seed) * width**-0.5)
    begun = [result for result in everything if result.point < 2]
    measured = measure(experiment, begun, AT_ONE)
    assert measured is not None
    assert measured.fit is None
    assert "2 widths with 3 data sets or more: too few" in measured.verdict

    lost = [no_hits(r.point, r.seed) if r.method == "gnc" and r.point == 4 else r for r in everything]
    measured = measure(experiment, lost, AT_ONE)
    assert measured is not None
    assert measured.means.count.tolist() == [8, 8, 8, 8, 0]
    assert measured.fit is not None
    assert "8 trials without a reliable histogram left out" in measured.caveats


def test_unreliable_and_diverged_trials_do_not_count() -> None:
    experiment = width_sweep()
    results = sweep_of(experiment, lambda *_: 0.6)
    doubted = [replace(r, outcome="unreliable") if r.method == "gnc" and r.seed == 0 else r for r in results]
    measured = measure(experiment, doubted, AT_ONE)
    assert measured is not None
    assert measured.means.count.tolist() == [7] * 5


@pytest.mark.parametrize("results", [[], [trained(0, 0, float("nan"))], [no_hits(0, 0)]])
def test_nothing_yet_is_said(results: list[TrialResult]) -> None:
    measured = measure(width_sweep(), results)
    assert measured is not None
    assert (measured.fit, measured.reference) == (None, None)
    assert "no width is done yet" in measured.verdict


def test_assumptions_that_do_not_hold_are_said() -> None:
    leaky = measure(width_sweep(8, '[model]\nactivation = "leaky_relu"'), [])
    assert leaky is not None
    assert leaky.caveats == ("the theorem assumes an antisymmetric σ",)
    plain = measure(depth_sweep('[model]\nactivation = "tanh"\n[problem]\nrank = 2'), [])
    assert plain is not None
    assert plain.caveats == ("the theorem assumes linear σ, rank one, a normalized W",)


# --- depth -----------------------------------------------------------------------------------------------------------

NORMALIZED = "[gnc]\nnormalize = true\neps_train = 0.5"


@pytest.mark.parametrize(
    ("intercept", "slope", "said"),
    [
        (0.0, 1.2, "compatible with the bound"),
        (0.4, 0.6, "too small"),
        (0.5, 0.0, "no dependence"),
        (0.6, -0.5, "grows"),
    ],
)
def test_a_depth_sweep_gives_the_line_in_one_over_depth(intercept: float, slope: float, said: str) -> None:
    experiment = depth_sweep(NORMALIZED)
    noise = np.random.default_rng(5).normal(0, 0.02, (8, 9))
    results = sweep_of(experiment, lambda depth, seed: 1 - intercept - slope / depth - float(noise[seed, int(depth)]))
    measured = measure(experiment, results)
    assert measured is not None
    assert measured.fit is not None
    assert measured.caveats == ()
    assert measured.edge == AT_ONE  # c = 2 times ε_train = 0.5
    assert abs(measured.fit.intercept - intercept) <= 1.5 * measured.fit.intercept_reach
    assert abs(measured.fit.slope - slope) <= 1.5 * measured.fit.slope_reach
    assert said in measured.verdict


def test_a_depth_sweep_in_which_everything_generalizes_has_nothing_to_fit() -> None:
    experiment = depth_sweep(NORMALIZED)
    measured = measure(experiment, sweep_of(experiment, lambda *_: 1.0))
    assert measured is not None
    assert measured.fit is None
    assert "compatible with zero at every depth" in measured.verdict


def test_other_sweeps_and_sweeps_without_the_methods_have_no_theorem() -> None:
    other = parse('[sweep]\nover = "problem.rank"\nvalues = [1, 2]', "ranks")
    assert theorem_of(other) is None
    assert measure(other, []) is None
    assert theorem_of(width_sweep(8, 'methods = ["gd", "gnc"]')) is None
    assert theorem_of(depth_sweep('methods = ["gd", "gnc"]')) == "depth"
    assert theorem_of(parse("", "single")) is None


def test_data_sets_are_counted_from_the_first_seed() -> None:
    experiment = width_sweep(2, "[problem]\nseed = 7")
    losses = np.full(100, 0.5)
    measured = measure(experiment, [guessed(0, m, 8, losses) for m in ("gnc", "prior")], AT_ONE)  # type: ignore[arg-type]
    assert measured is not None
    assert measured.means.count.tolist() == [1, 0, 0, 0, 0]
