"""Verdicts: they find what was put into made-up results, say what is missing, and never make up a number."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engine.analysis.intervals import mean_interval, median_interval, ratio_interval, share_interval
from engine.analysis.verdicts import Verdict, verdicts
from engine.results import EntryLaw, Estimate, Interval, LawRecord, MiddleLaw, TrialResult
from engine.runs.catalog import runs_directory
from engine.spec.experiment import Experiment
from engine.spec.preset import load, parse, shipped
from tests.commands import Command
from tests.lab import finished_run
from tests.sweeps import guessed, no_hits, sweep_of, trained

WIDTHS = (5, 10, 20, 40, 80)
DEPTHS = (3, 4, 6, 8, 12)


def _experiment(over: str = "", *values: object, methods: str = "", seeds: int = 8, extra: str = "") -> Experiment:
    lines = [f"seeds = {seeds}", *([f"methods = {methods}"] if methods else []), extra]
    if over:
        lines += ["[sweep]", f'over = "{over}"', f"values = {json.dumps(values)}"]
    return parse("\n".join(lines), "made-up")


def _named(found: tuple[Verdict, ...], part: str) -> Verdict:
    (verdict,) = [each for each in found if part in each.name]
    return verdict


def _holds(interval: Interval | None, value: float) -> bool:
    assert interval is not None
    return interval.low <= value <= interval.high


# --- intervals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("successes", "trials"), [(0, 8), (3, 8), (8, 8), (17, 40)])
def test_shares_have_their_exact_interval(successes: int, trials: int) -> None:
    """At its ends, seeing that many or more, or that many or fewer, has probability 2.5 % [Clopper, Pearson 1934]."""

    def seeing(chance: float, counts: range) -> float:
        return sum(math.comb(trials, j) * chance**j * (1 - chance) ** (trials - j) for j in counts)

    interval = share_interval(successes, trials)
    assert interval.value == successes / trials
    if successes:
        assert seeing(interval.low, range(successes, trials + 1)) == pytest.approx(0.025, abs=1e-9)
    else:
        assert interval.low == 0
    if successes < trials:
        assert seeing(interval.high, range(successes + 1)) == pytest.approx(0.025, abs=1e-9)
    else:
        assert interval.high == 1


@pytest.mark.parametrize(("count", "place"), [(6, 1), (8, 1), (9, 2), (20, 6), (40, 14)])
def test_medians_lie_between_the_tabulated_order_statistics(count: int, place: int) -> None:
    values = [float(value) for value in range(1, count + 1)]
    interval = median_interval(values[::-1])
    assert (interval.low, interval.high) == (place, count + 1 - place)
    assert interval.value == pytest.approx((count + 1) / 2)


def test_five_values_do_not_bound_a_median() -> None:
    assert median_interval([3.0, 1.0, 2.0, 5.0, 4.0]) == Interval(3.0, -math.inf, math.inf)


def test_ratios_of_means_are_covered_as_often_as_they_say() -> None:
    """Of 1,000 intervals 95 % hold the truth: within 4 standard errors of 0.7 %, and 2 % for the delta method."""
    generator, held = np.random.default_rng(1), 0
    for _ in range(1_000):
        shared = generator.normal(1, 0.2, 8)
        interval = ratio_interval(1.3 * shared + generator.normal(0, 0.05, 8), shared)
        held += _holds(interval, 1.3)
    assert held / 1_000 == pytest.approx(0.95, abs=0.048)


def test_means_take_the_larger_of_spread_and_sampling_error() -> None:
    same = np.full(4, 2.0)
    assert mean_interval(same) == Interval(2.0, 2.0, 2.0)
    wide = mean_interval(same, np.full(4, 1.0))
    assert wide is not None
    assert wide.high - 2.0 == pytest.approx(3.1824 / 2, rel=1e-4)  # t_3 at 97.5 % times 1/√4
    assert mean_interval(same[:2]) is None


# --- Guess & Check ---------------------------------------------------------------------------------------------------


def test_the_width_theorem_and_independence() -> None:
    experiment = _experiment("model.width", *WIDTHS)
    found = verdicts(experiment, sweep_of(experiment, lambda width, seed: 0.3 + (1 + 0.01 * seed) * width**-0.5))
    assert _holds(_named(found, "width theorem").estimate, -0.5)
    lift = _named(found, "independence")
    assert lift.estimate is not None
    assert "at width 80" in lift.text
    assert "not independent" in lift.text


@pytest.mark.parametrize("noise", [0.02, 0.04])
def test_events_that_are_independent_are_compatible_with_that(noise: float) -> None:
    experiment = _experiment()
    shares = 0.3 + np.random.default_rng(2).normal(0, noise, 8)
    results = [
        replace(result, point=0)
        for result in sweep_of(_experiment("model.width", 5), lambda _, seed: float(shares[seed]))
    ]
    lift = _named(verdicts(experiment, results), "independence")
    assert lift.estimate is not None
    assert _holds(lift.estimate, 1.0)
    assert "compatible with independence on average" in lift.text


@pytest.mark.parametrize(("apart", "said"), [(0.0, "compatible with independence (χ²"), (0.1, "not independent (χ²")])
def test_single_data_sets_are_judged_where_their_average_hides_them(apart: float, said: str) -> None:
    """Half of the data sets gain 0.1 by fitting, half lose it; 4,000 draws each make √(2/π)·√(2·¼/4000) = 0.0089."""
    experiment = _experiment("model.width", 5, 10, 20)
    generator = np.random.default_rng(13)

    def share(_: float, seed: int) -> float:
        return float(generator.binomial(4_000, 0.3 + (apart if seed % 2 else -apart))) / 4_000

    lift = _named(verdicts(experiment, sweep_of(experiment, share)), "independence")
    assert "compatible with independence on average" in lift.text
    assert said in lift.text
    assert re.search(r"where sampling alone makes 0\.008\d", lift.text)


def _need_results(experiment: Experiment, decades: Callable[[float], float]) -> list[TrialResult]:
    """Guess & Check that many decades above gradient descent, which did not fit the last data set."""
    generator, found = np.random.default_rng(14), []
    for point, value in enumerate(experiment.values):
        for seed in range(experiment.seeds):
            descended = 1e-4 * 10 ** float(generator.normal(0, 0.1))
            unfit = seed == experiment.seeds - 1
            found.append(trained(point, seed, 1.0 if unfit else descended, 0.5 if unfit else 1e-9))
            losses = 10 ** decades(value) * descended * generator.uniform(0.9, 1.1, 1_000)
            found.append(guessed(point, "gnc", seed, losses))
            found.append(guessed(point, "prior", seed, 2 * losses))
    return found


def test_where_gradient_descent_is_needed_is_said_for_every_depth() -> None:
    experiment = _experiment("model.depth", 2, 3, 4, 6)
    decades = {2: 3.0, 3: 1.0, 4: 0.5, 6: 0.0}
    verdict = _named(verdicts(experiment, _need_results(experiment, decades.__getitem__)), "needed")
    assert _holds(verdict.estimate, 1.0)
    assert "gradient descent's at depth 6, 0.5 times (0.5 to 0.5) the prior's" in verdict.text
    assert "over 10 times at depth 2; under 10 times at depth 4, 6; undecided at depth 3 (" in verdict.text
    assert "fit in 28 of 32 trials" in verdict.text
    assert "it goes on below ε_train" in verdict.text


def test_gradient_descent_that_did_not_fit_shows_no_need() -> None:
    experiment = _experiment("model.depth", 2, 3, 4, 6)
    results = [
        replace(result, training_loss=0.5) if result.method == "gd" else result
        for result in _need_results(experiment, lambda _: 3.0)
    ]
    verdict = _named(verdicts(experiment, results), "needed")
    assert verdict.estimate is None
    assert "no point has 3 data sets" in verdict.text


def test_the_number_that_decides_on_the_depth_theorem_is_the_limit() -> None:
    experiment = _experiment("model.depth", 2, 3, 4, 6, extra="[gnc]\nnormalize = true\neps_train = 1.0")
    noise = np.random.default_rng(15).normal(0, 0.02, (8, 7))
    results = sweep_of(experiment, lambda depth, seed: 1 - (0.8 + float(noise[seed, int(depth)])) / depth)
    theorem = _named(verdicts(experiment, results), "depth theorem")
    assert _holds(theorem.estimate, 0.0)
    assert "c = 1: 1 − P = " in theorem.text


def test_a_course_in_epsilon_that_is_no_power_law_says_so() -> None:
    experiment = _experiment("gnc.eps_train", 1e-1, 1e-2, 1e-4, 1e-6, 1e-8, methods='["gnc"]')
    results = _threshold_results(experiment, lambda eps, seed: (1e-4 + eps) * (1 + 0.01 * seed))
    verdict = _named(verdicts(experiment, results), "ε_train → 0")
    assert re.search(
        r"not one power law: \d\.\d\d ± 0\.\d\d for large ε_train, 0\.0\d ± 0\.\d\d for small", verdict.text
    )
    straight = _threshold_results(experiment, lambda eps, seed: eps * (1 + 0.01 * seed))
    assert "not one power law" not in _named(verdicts(experiment, straight), "ε_train → 0").text


def _threshold_results(experiment: Experiment, loss: Callable[[float, int], float]) -> list[TrialResult]:
    results = []
    for point, eps in enumerate(experiment.values):
        for seed in range(experiment.seeds):
            generator = np.random.default_rng([point, seed])
            losses = loss(eps, seed) * generator.uniform(0.5, 1.5, 4_000)
            results += [guessed(point, "gnc", seed, losses), trained(point, seed, 1e-4 * (1 + seed))]
    return results


@pytest.mark.parametrize(
    ("law", "slope", "said"),
    [
        (lambda eps: 10 * eps, 1.0, "it falls on"),
        (lambda eps: 0.05 + eps, 0.0, "it levels off"),
    ],
)
def test_what_becomes_of_guess_and_check_as_epsilon_falls(
    law: Callable[[float], float], slope: float, said: str
) -> None:
    experiment = _experiment("gnc.eps_train", 1e-1, 1e-2, 1e-4, 1e-6, 1e-8, methods='["gd", "gnc"]')
    wobble = np.random.default_rng(5).lognormal(0, 0.3, (8, 9))
    results = _threshold_results(
        experiment, lambda eps, seed: law(eps) * float(wobble[seed, round(-math.log10(eps))]) ** 0.1
    )
    verdict = _named(verdicts(experiment, results), "ε_train → 0")
    assert _holds(verdict.estimate, slope)
    assert said in verdict.text
    assert ") gradient descent's" in verdict.text
    assert "the prior's" not in verdict.text


def test_unreliable_trials_do_not_count() -> None:
    experiment = _experiment("gnc.eps_train", 1e-1, 1e-2, 1e-3, methods='["gnc"]')
    results = [
        replace(result, outcome="unreliable")
        for result in _threshold_results(experiment, lambda eps, _: eps)
        if result.method == "gnc"
    ]
    verdict = _named(verdicts(experiment, [*results, no_hits(0, 0)]), "ε_train → 0")
    assert (verdict.text, verdict.estimate) == ("no ε_train is done yet", None)


# --- the prior's laws ------------------------------------------------------------------------------------------------

LAWS_ASKED = "[gnc]\nmeasure_laws = true"


def _with_laws(experiment: Experiment, law: Callable[[float, float], LawRecord]) -> list[TrialResult]:
    """`law` gets the swept value and a factor near 1, another for each trial."""
    generator = np.random.default_rng(4)
    return [
        TrialResult(point, "prior", seed, "finished", 1.0, 1.0, laws=law(value, float(generator.normal(1, 0.01))))
        for point, value in enumerate(experiment.values)
        for seed in range(experiment.seeds)
    ]


def test_the_entries_approach_to_gaussian_has_its_exponent_and_meets_the_exact_values() -> None:
    experiment = _experiment("model.width", *WIDTHS, methods='["prior"]', extra=LAWS_ASKED)

    def law(width: float, factor: float) -> LawRecord:
        kurtosis = Estimate(6 / width * factor, 0.06 / width)
        dependence = Estimate(factor / (width + 3), 0.01 / width)
        return LawRecord(EntryLaw(kurtosis, dependence, dependence, Estimate(0.1 / width * factor, 1e-3 / width)), None)

    found = verdicts(experiment, _with_laws(experiment, law))
    assert len(found) == 4
    gaussian = found[0]
    assert _holds(gaussian.estimate, -1.0)
    assert "faster than the theorem's k^(−1/2)" in gaussian.text
    assert "the exact values lie in 5 of 5 intervals" in gaussian.text
    assert _holds(_named(found, "distance").estimate, -1.0)
    for independent in (_named(found, "in a row"), _named(found, "in a column")):
        assert "narrow" in independent.text  # 1/(k + 3) is no power law
        assert "the exact values lie in 5 of 5 intervals" in independent.text


def test_an_exponent_of_the_entries_has_no_bias_from_values_lost_in_noise() -> None:
    """0.24/k, as of uniform weights, with errors that don't fall with k: the wide widths can't be told from zero."""
    experiment = _experiment("model.width", *WIDTHS, methods='["prior"]', extra=LAWS_ASKED)
    generator, held = np.random.default_rng(12), 0
    for _ in range(200):

        def law(width: float, _: float) -> LawRecord:
            noisy = Estimate(0.24 / width + float(generator.normal(0, 0.006)), 0.006)
            return LawRecord(EntryLaw(noisy, None, None, None), None)

        held += _holds(verdicts(experiment, _with_laws(experiment, law))[0].estimate, -1.0)
    assert held / 200 > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 200) - 0.02


def test_entries_that_keep_their_law_approach_nothing() -> None:
    experiment = _experiment("model.width", *WIDTHS, methods='["prior"]', extra=LAWS_ASKED)

    def law(_: float, factor: float) -> LawRecord:
        return LawRecord(EntryLaw(*[Estimate(0.5 * factor, 0.005)] * 4), None)

    found = verdicts(experiment, _with_laws(experiment, law))
    assert "no approach to be seen" in found[0].text
    assert "the exact values lie in 0 of 5 intervals" in found[0].text


def test_the_middle_products_rate_is_found_and_set_beside_theory() -> None:
    experiment = _experiment("model.depth", *DEPTHS, methods='["prior"]', extra=LAWS_ASKED)

    def law(depth: float, factor: float) -> LawRecord:
        far = Estimate(0.9 * math.exp(-0.2 * depth) * factor, 1e-3)
        return LawRecord(None, MiddleLaw(Estimate(-0.3 - 0.15 * depth + 0.1 * (factor - 1), 1e-3), (0.1,) * 5, far))

    found = verdicts(experiment, _with_laws(experiment, law))
    rate = _named(found, "rank falls to one")
    assert _holds(rate.estimate, -0.15)
    assert "theory, in the limit of depth: -0.140" in rate.text
    assert _holds(_named(found, "near rank one").estimate, -0.2)


def test_laws_that_could_not_be_measured_say_why() -> None:
    experiment = _experiment("model.width", *WIDTHS, methods='["prior"]', extra=LAWS_ASKED)
    results = _with_laws(experiment, lambda *_: LawRecord(None, None, ("too many random numbers",)))
    found = verdicts(experiment, results)
    assert [verdict.estimate for verdict in found] == [None] * 4
    assert all("too many random numbers" in verdict.text for verdict in found)


# --- gradient descent ------------------------------------------------------------------------------------------------


def test_gradient_descent_is_judged_from_the_dimensions_on() -> None:
    """5×5 of norm 1: the bar is 0.1/25. Seed 0 fails at width 20, seed 1 diverges at 5, all but seed 7 fail at 2."""
    experiment = _experiment("model.width", 2, 5, 20, methods='["gd", "prior"]')
    losses = np.full((8, 3), 1e-3)
    losses[:7, 0] = losses[0, 2] = 0.01
    results = [trained(point, seed, float(losses[seed, point])) for point in range(3) for seed in range(8)]
    results = [TrialResult(1, "gd", 1, "diverged", None, None) if (r.seed, r.point) == (1, 1) else r for r in results]
    results += [guessed(point, "prior", seed, np.full(100, 0.2)) for point in range(3) for seed in range(8)]
    verdict = _named(verdicts(experiment, results), "gradient descent")
    assert verdict.estimate == share_interval(6, 8)
    assert "at every width ≥ 5, 6 of 8 data sets" in verdict.text
    assert "end under 0.004" in verdict.text
    assert "below, 1 of 8 trials do" in verdict.text
    assert "the prior's are 0.2" in verdict.text


def test_what_the_guarantee_of_gradient_descent_assumes_is_said_where_it_does_not_hold() -> None:
    results = [trained(point, seed, 1e-3) for point in range(2) for seed in range(8)]
    plain = _experiment("model.width", 5, 20, methods='["gd"]')
    assert "assumes" not in _named(verdicts(plain, results), "gradient descent").text
    other = _experiment("model.width", 5, 20, methods='["gd"]', extra='[problem]\nkind = "completion"\n'
                        '[model]\nactivation = "tanh"\ndepth = 3\n[gd]\noptimizer = "adam"')  # fmt: skip
    told = _named(verdicts(other, results), "gradient descent").text
    assert "the guarantee assumes depth 2, linear σ, Gaussian sensing, plain gradient descent" in told


def test_data_sets_that_have_not_been_through_all_widths_are_no_evidence_yet() -> None:
    experiment = _experiment("model.width", 5, 20, methods='["gd"]')
    verdict = _named(verdicts(experiment, [trained(0, seed, 1e-6) for seed in range(8)]), "gradient descent")
    assert verdict.estimate is None


@pytest.mark.parametrize(("worst", "inside"), [(0.013, 8), (0.13, 7)])
def test_the_law_of_motion_is_judged_by_its_largest_error(worst: float, inside: int) -> None:
    experiment = _experiment("model.depth", 2, 3, methods='["gd"]', extra='[gd]\npredict_from = 0\ninit = "balanced"')
    results = [
        replace(trained(point, seed, 1e-3), theory_error=worst if (point, seed) == (1, 3) else 0.004)
        for point in range(2)
        for seed in range(8)
    ]
    (verdict,) = verdicts(experiment, results)
    assert verdict.estimate == share_interval(inside, 8)
    assert f"at most {100 * worst:.2g} %" in verdict.text
    assert "most at depth 3" in verdict.text
    assert f"the mean {(100 * worst + 7 * 0.4) / 8:.2f} ±" in verdict.text
    assert "balanced" not in verdict.text


def test_a_law_of_motion_that_could_not_be_judged_anywhere_is_not_said_to_be_unfinished() -> None:
    experiment = _experiment("model.depth", 2, 3, methods='["gd"]', extra='[gd]\npredict_from = 0\ninit = "balanced"')
    (verdict,) = verdicts(experiment, [trained(point, seed, 1e-3) for point in range(2) for seed in range(8)])
    assert (verdict.text, verdict.estimate) == ("no log point could be judged", None)


# --- everywhere ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped())
def test_without_results_every_preset_says_why_there_is_none_yet(name: str) -> None:
    for verdict in verdicts(load(name), []):
        assert verdict.name
        assert verdict.text
        assert verdict.estimate is None


def test_other_experiments_have_no_verdict() -> None:
    assert verdicts(_experiment("problem.rank", 1, 2), []) == ()
    assert verdicts(_experiment(seeds=1), []) == ()
    assert verdicts(_experiment("gd.init_scale", 0.1, 1.0, methods='["gd"]'), []) == ()


@pytest.mark.slow
def test_verdicts_are_printed_and_stored(mftui: Command) -> None:
    run = finished_run("with-verdicts", "seeds=3", "model.width=[3,5,8]", 'methods=["prior"]',
                       "gnc.measure_laws=true")  # fmt: skip
    assert run.path.parent == runs_directory()
    stored = json.loads((run.path / "results.json").read_text())["verdicts"]
    assert [verdict["name"] for verdict in stored][:1] == ["W's entries become Gaussian"]
    assert stored[0]["estimate"]["low"] < -1 < stored[0]["estimate"]["high"]
    shown = mftui("runs", "show", "with-verdicts")
    assert shown.status == 0
    for verdict in stored:
        assert f"{verdict['name']}: {verdict['text']}" in shown.stdout
