from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from engine.descent import theory
from engine.descent.descent import Descent
from engine.descent.inits import initial_factors
from engine.descent.prediction import Flow
from engine.descent.spectrum import spectrum
from engine.events import Finished, Rows
from engine.models.activations import activation
from engine.models.factorization import end_to_end_matrix, factor_gradients, pre_activations
from engine.problems.problem import Problem, make_problem
from engine.results import TrialResult, summarize
from engine.spec import preset
from engine.spec.settings import PointSettings
from mftui.live import LiveRun
from tests.runs import follow_to_end, make_run
from tests.settings import point

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
WITHIN = 0.02
"""how far off the prediction may be on the incremental-learning preset"""


def _descend(
    settings: PointSettings | dict[int, PointSettings], seeds: range
) -> tuple[list[TrialResult], dict[str, list[list[float]]]]:
    points = settings if isinstance(settings, dict) else {0: settings}
    procedure = Descent(points, seeds, make_problem(points[0].problem, seeds), CPU)
    state, events = procedure.init()
    while procedure.fraction(state) < 1:
        state, more = procedure.step(state)
        events += more
    events += procedure.finish(state)
    tables: dict[str, list[list[float]]] = {}
    for event in events:
        if isinstance(event, Rows):
            tables.setdefault(event.table, []).extend(list(row) for row in event.rows)
    return [event.result for event in events if isinstance(event, Finished)], tables


def _balanced(depth: int, rows: int = 6, columns: int = 4) -> tuple[PointSettings, list[torch.Tensor]]:
    settings = point(
        depth=depth, width=7, rows=rows, columns=columns, measurements=12, init="balanced", init_scale=0.8, rank=2
    )
    return settings, initial_factors(settings, [3, 4])


def _velocity(matrices: torch.Tensor, gradient: torch.Tensor, depth: int) -> torch.Tensor:
    """dW/dt = −Σ_j (W Wᵀ)^{(L−j)/L} G (Wᵀ W)^{(j−1)/L}, its powers from eigenvalues."""

    def power(square: torch.Tensor, exponent: float) -> torch.Tensor:
        values, vectors = torch.linalg.eigh(square)
        values = torch.where(values > 1e-12 * values.amax(-1, keepdim=True), values, 0.0)  # rounding, to the power 1/L
        powered: torch.Tensor = vectors @ torch.diag_embed(values.pow(exponent)) @ vectors.mT
        return powered

    left, right = matrices @ matrices.mT, matrices.mT @ matrices
    terms = [power(left, (depth - j) / depth) @ gradient @ power(right, (j - 1) / depth) for j in range(1, depth + 1)]
    return torch.stack(terms).sum(0).neg()


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
def test_balanced_factors_move_w_and_its_singular_values_as_the_theorems_say(
    depth: int, shape: tuple[int, int]
) -> None:
    """Central differences of step h along the factors' gradient flow: exact up to h², 1e-10 at h = 1e-5."""
    settings, factors = _balanced(depth, *shape)
    problem, linear = make_problem(settings.problem, [3, 4]), activation(settings.model)
    outputs = pre_activations(factors, linear)
    gradient = problem.training_gradient(outputs[-1][:, None])[:, 0]
    slopes = factor_gradients(factors, outputs, gradient, linear)
    step = 1e-5
    ahead, behind = (
        end_to_end_matrix([f - sign * step * g for f, g in zip(factors, slopes, strict=True)], linear)
        for sign in (1, -1)
    )
    velocity = _velocity(outputs[-1], gradient, depth)
    torch.testing.assert_close(velocity, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-8)
    measured = (torch.linalg.svdvals(ahead) - torch.linalg.svdvals(behind)) / (2 * step)
    torch.testing.assert_close(
        theory.predicted_rates(spectrum(outputs[-1]), gradient, depth), measured, rtol=1e-5, atol=1e-8
    )


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
def test_the_predicted_course_is_that_of_the_end_to_end_flow(depth: int, shape: tuple[int, int]) -> None:
    """Against the formula of the flow itself, integrated to 1e-10; the course to 1e-7 a stride."""
    settings, factors = _balanced(depth, *shape)
    problem = make_problem(settings.problem, [3, 4])
    start = end_to_end_matrix(factors, activation(settings.model))
    flow = Flow([settings], 2, problem)
    course = flow.begin(start, 0, torch.zeros(2).double())
    for step, times in ((10, (0.3, 0.9)), (20, (2.0, 5.0))):
        course = flow.advance(course, step, torch.tensor(times).double(), math.inf)
        assert course.step == step
        for run, end in enumerate(times):
            data = problem.one(run)

            def velocity(_: float, flat: np.ndarray, data: Problem = data) -> np.ndarray:
                matrices = torch.from_numpy(flat).reshape(1, *shape)
                return _velocity(matrices, data.training_gradient(matrices[:, None])[:, 0], depth).flatten().numpy()

            path = solve_ivp(velocity, (0.0, end), start[run].flatten().numpy(), rtol=1e-10, atol=1e-13)
            values = np.linalg.svd(path.y[:, -1].reshape(shape), compute_uv=False)
            assert flow.singular_values(course)[run] == pytest.approx(values, rel=1e-5, abs=1e-6)


def test_a_prediction_ends_where_the_steps_are_longer_than_any_stable_descents_and_the_other_runs_go_on() -> None:
    settings, factors = _balanced(2)
    flow = Flow([settings], 2, make_problem(settings.problem, [3, 4]))
    start = end_to_end_matrix(factors, activation(settings.model))
    course = flow.begin(start, 0, torch.zeros(2).double())
    course = flow.advance(course, 10, torch.tensor([1e9, 1.0]).double(), math.inf)
    assert np.isnan(flow.singular_values(course)[0]).all()
    alone = Flow([settings], 2, make_problem(settings.problem, [3, 4]))
    other = alone.advance(alone.begin(start, 0, torch.zeros(2).double()), 10, torch.ones(2).double(), math.inf)
    assert (flow.singular_values(course)[1] == alone.singular_values(other)[1]).all()
    assert flow.advance(course, 20, torch.tensor([2e9, 2.0]).double(), math.inf).step == 20


def test_no_predicted_singular_value_rises_that_a_narrow_model_cannot_have() -> None:
    """Rank 3 at width 2, beside a wider model in one batch: from width 5 on the third value does rise."""
    points = {
        index: point(
            kind="completion", rows=8, columns=8, rank=3, norm=8.0, measurements=40, depth=2, width=width,
            init="balanced", init_scale=0.1, learning_rate=0.1, steps=4_000, log_every=100, predict_from=0,
        )
        for index, width in enumerate((2, 5))
    }  # fmt: skip
    results, tables = _descend(points, range(2))
    predicted = np.array(tables["trajectory"])
    narrow, wide = (predicted[predicted[:, 0] == index, 3:] for index in points)
    assert (narrow[:, 2:] < 1e-12).all()
    assert wide[:, 2].max() > 0.5
    for result in results:
        assert result.trajectory_error is not None
        assert result.trajectory_error < WITHIN


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_on_the_incremental_learning_preset_theory_is_within_two_percent(depth: int) -> None:
    """The preset as shipped: rates at every log point, and the whole course from the first step on."""
    experiment = preset.load("incremental-learning", [f"model.depth={depth}"])
    results, tables = _descend(experiment.points[0], range(experiment.seeds))
    for result in results:
        assert result.theory_error is not None
        assert result.theory_error < WITHIN
        assert result.theory_passed_over == (1 if depth == 1 else 0)  # depth 1 replaces W in its first step
        assert result.trajectory_error is not None
        assert result.trajectory_error < WITHIN
    measured, predicted = (
        table[table[:, 1] == 0] for table in (np.array(tables["gd"]), np.array(tables["trajectory"]))
    )
    measured, predicted = measured[:, 5:], predicted[:, 3:]
    for rank in range(3):
        worst = np.abs(measured[:, rank] - predicted[:, rank]).max()
        assert worst < WITHIN * measured[:, rank].max(), f"singular value {rank + 1}"


def _small(**fields: Any) -> PointSettings:
    wanted = {
        "kind": "completion", "rows": 8, "columns": 8, "rank": 2, "norm": 4.0, "measurements": 40, "depth": 3,
        "width": 8, "init_scale": 0.3, "learning_rate": 0.02, "steps": 3_000, "log_every": 50, "predict_from": 0,
    }  # fmt: skip
    return point(**(wanted | fields))


def test_breaking_the_balance_opens_a_gap_between_theory_and_measurement() -> None:
    balanced, _ = _descend(_small(init="balanced"), range(2))
    broken, _ = _descend(_small(init="gaussian", init_scale=0.7), range(2))
    for even, uneven in zip(balanced, broken, strict=True):
        assert even.theory_error is not None
        assert uneven.theory_error is not None
        assert even.trajectory_error is not None
        assert uneven.trajectory_error is not None
        assert even.theory_error < WITHIN
        assert even.trajectory_error < WITHIN
        assert uneven.theory_error > 5 * WITHIN
        assert uneven.trajectory_error > 5 * WITHIN


def test_a_step_ten_times_as_long_makes_the_error_about_ten_times_as_large() -> None:
    """The forward difference is off by first order in the step."""
    errors = []
    for learning_rate, steps in ((0.1, 600), (0.01, 6_000)):
        settings = _small(init="balanced", learning_rate=learning_rate, steps=steps, log_every=steps // 60)
        result = _descend(settings, range(1))[0][0]
        assert result.theory_error is not None
        errors.append(result.theory_error)
    assert 5 < errors[0] / errors[1] < 20


def test_the_course_is_predicted_from_the_chosen_moment_on() -> None:
    result, tables = _descend(_small(init="balanced", predict_from=1_010), range(2))
    steps = sorted({row[2] for row in tables["trajectory"]})
    assert steps == list(range(1_050, 3_001, 50))
    start = next(row for row in tables["trajectory"] if row[1:3] == [1, 1_050])
    logged = next(row for row in tables["gd"] if row[1:3] == [1, 1_050])
    assert start[3:] == pytest.approx(logged[5:], rel=1e-12)
    assert all(trial.trajectory_error is not None and trial.trajectory_error < WITHIN for trial in result)


@pytest.mark.parametrize(
    "fields", [{"predict_from": -1}, {"activation": "tanh"}, {"optimizer": "heavy_ball"}, {"optimizer": "adam"}]
)
def test_where_theory_does_not_speak_or_is_not_asked_nothing_is_compared(fields: dict[str, Any]) -> None:
    results, tables = _descend(_small(**({"steps": 100, "learning_rate": 1e-3} | fields)), range(1))
    assert "theory" not in tables
    assert "trajectory" not in tables
    assert results[0].theory_error is None
    assert len(tables["diagnostics"]) == len(tables["gd"]) == 3


def test_a_data_set_that_diverges_has_no_rows_of_diagnostics_from_there_on() -> None:
    settings = point(steps=400, log_every=50, init_scale=1.0, norm=3.0, learning_rate=4.4, predict_from=0)
    results, tables = _descend(settings, range(3))
    assert [result.outcome for result in results] == ["diverged", "finished", "finished"]
    for table in ("diagnostics", "theory"):
        assert np.isfinite(np.array(tables[table])[:, :8]).all()
        last = max(row[2] for row in tables[table] if row[1] == 0)
        assert last < max(row[2] for row in tables["gd"] if row[1] == 0)
        assert max(row[2] for row in tables[table] if row[1] == 1) == 400


def test_log_points_that_no_step_resolves_those_at_rest_and_ties_are_not_judged_but_counted() -> None:
    """One row each: judged; changed altogether; at rest; zero; two equal values; zeros that are equal."""
    values = torch.tensor([[1.0, 0.5, 0.1], [1.0, 0.5, 0.1], [1.0, 0.5, 0.1], [0.0, 0.0, 0.0], [1.0, 1.0, 0.1]])
    values = torch.cat([values, torch.tensor([[1.0, 0.0, 0.0]])]).double()
    measured = torch.tensor([0.5, 10.0, 1e-13, 0.0, 0.5, 0.5]).double()[:, None] * torch.tensor([1.0, 0.0, 0.0])
    judged = theory.resolves(values, measured.double(), torch.full((6,), 0.1).double())
    assert judged.tolist() == [True, False, False, False, False, True]
    comparison = theory.Comparison()
    assert comparison.relative_error() is None
    for one, speed in zip(judged.tolist(), measured[:, 0].tolist(), strict=True):
        comparison = comparison.extended(speed, 0.01 * speed, one)
    assert comparison.relative_error() == pytest.approx(0.01)
    assert (comparison.judged, comparison.passed_over) == (2, 4)


def test_what_a_checkpoint_of_an_earlier_version_holds_of_the_log_points_still_counts() -> None:
    earlier = theory.Comparison(((1.0, 0.01), (0.2, 0.3), (0.1, 0.4)))
    assert earlier.relative_error() == 0.4
    assert earlier.extended(1.0, 0.2, True).relative_error() == 0.4


@pytest.mark.parametrize("init", ["identity", "orthogonal"])
def test_an_init_whose_singular_values_are_all_equal_is_judged_from_where_they_part(init: str) -> None:
    """At the first step the vectors are any, and the formula off by 1; 20 steps on by .002."""
    sets = ["model.depth=2", f"gd.init={init}", "gd.steps=400", "gd.log_every=20"]
    results, _ = _descend(preset.load("incremental-learning", sets).points[0], range(1))
    assert (results[0].theory_judged, results[0].theory_passed_over) == (20, 1)
    assert results[0].theory_error is not None
    assert results[0].theory_error < WITHIN


def test_the_gap_of_an_unbalanced_init_shows_on_the_plateau_before_anything_moves_fast() -> None:
    """Incremental learning without the balance: off by .49 to .82 in the first 400 steps, when all rates are below a
    ten-thousandth of the fastest, which come later and by then are those of nearly balanced factors.
    """
    (settings,) = preset.load("incremental-learning", ["model.depth=3", "gd.init=gaussian", "gd.steps=4_000"]).points
    results, tables = _descend(settings, range(1))
    rates = np.array(tables["theory"])[:, 3:-2]
    measured, predicted = np.split(rates, 2, axis=1)
    speeds = np.linalg.norm(measured, axis=1)
    off = np.linalg.norm(measured - predicted, axis=1) / speeds
    assert speeds[:6].max() < 1e-4 * speeds.max()
    assert off[:6].min() > 0.4
    assert results[0].theory_error == pytest.approx(off.max(), rel=1e-9)
    assert (results[0].theory_judged, results[0].theory_passed_over) == (51, 0)


def test_what_is_said_of_theory_counts_the_log_points_that_were_judged() -> None:
    experiment = preset.load("incremental-learning", ["gd.steps=100", "gd.log_every=50"])
    (at_once, later), tables = _descend(experiment.points[0], range(2))
    assert [row[2] for row in tables["theory"]] == [0, 0, 50, 50, 100, 100]
    (summary,) = summarize(experiment, [at_once, later])
    assert summary.notes[0].endswith("at 4 of 6 log points (the others don't resolve it)")
    (summary,) = summarize(experiment, [replace(at_once, theory_passed_over=0, theory_judged=3)])
    assert summary.notes[0].endswith("at all 3 log points")
    (summary,) = summarize(experiment, [replace(at_once, theory_passed_over=None, theory_judged=None)])
    assert summary.notes[0].endswith("at the log points that were judged")
    (summary,) = summarize(experiment, [replace(at_once, theory_error=None, theory_passed_over=3, theory_judged=0)])
    assert "could be judged at no log point" in summary.notes[0]


def test_a_course_that_could_not_be_followed_is_said_to_be_so_and_has_no_percentage() -> None:
    experiment = preset.load("incremental-learning", ["model.depth=2"])
    trial = TrialResult(0, "gd", 0, "finished", 1e-6, 1e-6, trajectory_error=math.inf)
    (summary,) = summarize(experiment, [trial, replace(trial, seed=1, trajectory_error=0.01)])
    assert "of 1 of 2 data sets could not be followed to the end" in summary.notes[0]
    assert not any("inf" in note for note in summary.notes)


def test_a_front_end_reads_diagnostics_and_theory_by_sweep_point_padded_to_the_deepest(tmp_path: Path) -> None:
    text = """
        methods = ["gd"]
        [gd]
        init = "balanced"
        init_scale = 0.3
        steps = 200
        predict_from = 0
        [sweep]
        over = "model.depth"
        values = [2, 3]
    """
    run = make_run(tmp_path / "run", text=text)
    live = LiveRun.start(run)
    follow_to_end(live)
    columns = run.reader().schema
    for name, curves in live.observations.items():
        assert sorted(curves) == [(0, 0), (1, 0)]
        for curve in curves.values():
            assert curve.steps.tolist() == [0, 100, 200]
            assert curve.table.shape == (3, len(columns[name]) - 2)
    layer = columns["diagnostics"].index("layer_norm_3") - 2
    assert np.isnan(live.observations["diagnostics"][0, 0].table[:, layer]).all()
    assert (live.observations["diagnostics"][1, 0].table[:, layer] > 0).all()
    assert [len(row.notes) for row in summarize(live.experiment, live.results)] == [2, 2]
