from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from engine.descent import batched_step, descent, grouping, loss_gradient
from engine.descent.descent import Descent, DescentState
from engine.descent.inits import initial_factors
from engine.descent.learning_rate import learning_rates
from engine.descent.optimizers import optimizer as make_optimizer
from engine.descent.optimizers.group_rmsprop import DECAY
from engine.events import Event, Finished, Rows
from engine.models.activations import activation
from engine.models.factorization import end_to_end_matrix
from engine.problems.problem import DenseOperator, EntryOperator, Problem, make_problem
from engine.results import TrialResult
from engine.runs.lane import Lane
from engine.runs.units import units
from engine.spec.names import ACTIVATIONS, OPTIMIZERS, OptimizerName
from engine.spec.settings import PointSettings, bad_combinations
from tests.runs import make_run
from tests.settings import point

SEEDS = (0, 1, 2)
CPU = torch.device("cpu")
EPSILON = 1e-6
"""of group RMSprop by default"""


def _run(**fields: Any) -> tuple[list[list[float]], list[TrialResult]]:
    """All logged rows, and the results."""
    return _run_together(point(**fields))


def _run_together(*points: PointSettings) -> tuple[list[list[float]], list[TrialResult]]:
    """The same of several sweep points as one batch."""
    problem = make_problem(points[0].problem, SEEDS)
    procedure = Descent(dict(enumerate(points)), SEEDS, problem, CPU)
    state, events = procedure.init()
    while procedure.fraction(state) < 1:
        state, more = procedure.step(state)
        events += more
    rows = [list(row) for event in events if isinstance(event, Rows) and event.table == "gd" for row in event.rows]
    return rows, [event.result for event in procedure.finish(state) if isinstance(event, Finished)]


@pytest.mark.parametrize("optimizer", ["gradient_descent", "group_rmsprop"])
@pytest.mark.parametrize("name", ["linear", "tanh", "leaky_relu", "gelu"])
@pytest.mark.parametrize("kind", ["sensing", "completion"])
def test_the_batched_loop_takes_the_steps_of_a_plain_autograd_loop(kind: str, name: str, optimizer: str) -> None:
    fields: dict[str, Any] = {"activation": name, "optimizer": optimizer, "kind": kind, "depth": 3, "width": 4}
    fields |= {"learning_rate": 0.05, "init_scale": 0.5, "steps": 30, "log_every": 10}
    rows, _ = _run(**fields)
    settings = point(**fields)
    sigma = activation(settings.model)
    for seed in SEEDS:
        problem = make_problem(settings.problem, [seed])
        weights = [factor[0].clone().requires_grad_() for factor in initial_factors(settings, [seed])]
        average = 0.0
        for step in range(31):
            matrix = end_to_end_matrix(weights, sigma)
            loss = problem.training_loss(matrix[None, None])[0, 0]
            if step % 10 == 0:
                row = next(r for r in rows if r[1] == seed and r[2] == step)
                assert row[3] == pytest.approx(loss.item(), rel=1e-9)
                assert row[4] == pytest.approx(
                    float(problem.generalization_loss(matrix.detach()[None, None])), rel=1e-9
                )
                values = torch.linalg.svdvals(matrix).tolist()
                assert row[5:] == pytest.approx(values, rel=1e-7, abs=1e-12)
            gradients = torch.autograd.grad(loss, weights)
            size = 1.0
            if optimizer == "group_rmsprop":
                average = DECAY * average + (1 - DECAY) * float(sum(g.square().sum() for g in gradients))
                size = 1 / ((average / (1 - DECAY ** (step + 1))) ** 0.5 + EPSILON)
            with torch.no_grad():
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight -= 0.05 * size * gradient


def test_the_numbers_do_not_depend_on_how_the_steps_are_chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    fields: dict[str, Any] = {"steps": 70, "log_every": 20}
    whole, results = _run(**fields)
    monkeypatch.setattr(descent, "STEP_SECONDS", 1e-4)
    assert _run(**fields) == (whole, results)
    assert sorted({row[2] for row in whole}) == [0, 20, 40, 60, 70]


def test_a_state_keeps_its_log_points_when_the_descent_goes_on_without_it() -> None:
    settings = point(steps=60, log_every=20)
    procedure = Descent({0: settings}, SEEDS, make_problem(settings.problem, SEEDS), CPU)
    procedure.finely = True
    state, _ = procedure.init()
    rows: list[list[list[float]]] = []
    waiting = []
    while procedure.fraction(state) < 1:
        before, (state, events) = state, procedure.step(state)
        if events:
            waiting.append(before)
            rows.append(_rows(events)["gd"])
    assert [table[0][2] for table in rows] == [20, 40, 60]
    assert [_rows(procedure.step(before)[1])["gd"] for before in waiting] == rows


CHANGES = {0: 0.04, 33: 0.02, 40: 0.05, 61: 0.01}
"""at the start, between log points, and at one"""
CHANGED: dict[str, Any] = {"steps": 80, "log_every": 20, "learning_rate": 0.05, "init_scale": 0.5, "init": "balanced"}


def _changed_live(procedure: Descent, changes: dict[int, float]) -> tuple[DescentState, list[Event]]:
    """Run to the end, changing the learning rate at these steps, as someone at the keyboard does."""
    state, events = procedure.init()
    for step in [*sorted(changes), procedure._total]:
        stopping = Descent(procedure._points, procedure.seeds, procedure._problem, CPU, {step: 1.0})
        while state.step < step:
            state, more = stopping.step(state)
            events += more
        if step in changes:
            state = procedure.change_learning_rate(state, changes[step])
    while procedure.fraction(state) < 1:
        state, more = procedure.step(state)
        events += more
    return state, events


def _same(state: DescentState, other: DescentState) -> bool:
    """Bit for bit."""
    tensors = zip((state.weights, *state.optimizer), (other.weights, *other.optimizer), strict=True)
    return all(torch.equal(one, two) for one, two in tensors) and torch.equal(
        state.learning_rates.time, other.learning_rates.time
    )


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [10.0, 1e-6])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_changes_of_the_learning_rate_repeat_bit_for_bit_from_any_state_and_however_the_steps_are_chunked(
    optimizer: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted = {"predict_from": 20} if optimizer == "gradient_descent" else {}
    settings = point(optimizer=optimizer, depth=3, **CHANGED, **predicted)
    problem = make_problem(settings.problem, SEEDS)
    live, events = _changed_live(Descent({0: settings}, SEEDS, problem, CPU), CHANGES)
    monkeypatch.setattr(descent, "STEP_SECONDS", seconds)
    states = []
    procedure = Descent({0: settings}, SEEDS, problem, CPU, CHANGES)
    state, repeated = procedure.init()
    while procedure.fraction(state) < 1:
        states.append(state)
        state, more = procedure.step(state)
        repeated += more
    assert _same(state, live)
    assert _rows(repeated) == _rows(events)
    assert procedure.finish(state) == Descent({0: settings}, SEEDS, problem, CPU).finish(live)
    for resumed in states[:: max(1, len(states) // 5)]:
        another = Descent({0: settings}, SEEDS, problem, CPU, CHANGES)
        while another.fraction(resumed) < 1:
            resumed, _ = another.step(resumed)
        assert _same(resumed, live)


def _rows(events: list[Event]) -> dict[str, list[list[float]]]:
    """All rows by table."""
    tables: dict[str, list[list[float]]] = {}
    for event in events:
        assert isinstance(event, Rows)
        tables.setdefault(event.table, []).extend(list(row) for row in event.rows)
    return tables


def test_a_changed_learning_rate_takes_the_steps_of_a_descent_that_has_it_from_there_on() -> None:
    settings = point(**CHANGED)
    problem = make_problem(settings.problem, SEEDS)
    state, _ = _changed_live(Descent({0: settings}, SEEDS, problem, CPU), {40: 0.02})
    first = Descent({0: point(**CHANGED | {"steps": 40})}, SEEDS, problem, CPU)
    second = Descent({0: point(**CHANGED | {"steps": 40, "learning_rate": 0.02})}, SEEDS, problem, CPU)
    half, _ = first.init()
    while first.fraction(half) < 1:
        half, _ = first.step(half)
    rest, _ = second.init()
    rest = replace(rest, weights=half.weights)
    while second.fraction(rest) < 1:
        rest, _ = second.step(rest)
    assert torch.equal(state.weights, rest.weights)
    assert state.learning_rates.time_at(80).tolist() == pytest.approx([40 * 0.05 + 40 * 0.02] * len(SEEDS))


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf])
def test_what_can_be_no_learning_rate_is_refused_in_flight_too(rate: float) -> None:
    settings = point()
    problem = make_problem(settings.problem, SEEDS)
    procedure = Descent({0: settings}, SEEDS, problem, CPU)
    with pytest.raises(ValueError, match="learning rate: expected a finite number > 0, got"):
        procedure.change_learning_rate(procedure.init()[0], rate)
    with pytest.raises(ValueError, match="learning rate: expected a finite number > 0, got"):
        Descent({0: settings}, SEEDS, problem, CPU, {10: rate})


def test_a_change_that_makes_it_diverge_is_named_with_the_changed_rate() -> None:
    settings = point(steps=400, log_every=50, init_scale=1.0)
    procedure = Descent({0: settings}, SEEDS, make_problem(settings.problem, SEEDS), CPU, {100: 1e6})
    state, _ = procedure.init()
    while procedure.fraction(state) < 1:
        state, _ = procedure.step(state)
    for event in procedure.finish(state):
        assert isinstance(event, Finished)
        assert "at learning rate 1e+06" in event.result.message


def test_a_diverging_data_set_stops_and_is_named_with_its_step_and_learning_rate_while_the_others_go_on() -> None:
    """4.4 lies between the stability limits of the data sets."""
    rows, results = _run(steps=400, log_every=50, init_scale=1.0, norm=3.0, learning_rate=4.4)
    assert [result.outcome for result in results] == ["diverged", "finished", "finished"]
    for result in results:
        steps = [row[2] for row in rows if row[1] == result.seed]
        if result.outcome == "finished":
            assert result.generalization_loss is not None
            assert steps[-1] == 400
        else:
            assert result.generalization_loss is None
            assert "at learning rate 4.4" in result.message
            assert f"step {int(steps[-2])} " in result.message
            assert steps[-1] < 400


@pytest.mark.parametrize("optimizer", ["gradient_descent", "heavy_ball", "sgd"])
def test_a_descent_that_grows_without_end_has_diverged_though_its_loss_is_still_finite(optimizer: str) -> None:
    """At depth 1 the loss is quadratic: beyond the stability limit it grows by a factor a step, 1e300 after many."""
    fields: dict[str, Any] = {"optimizer": optimizer, "depth": 1, "steps": 60, "log_every": 20}
    rate = {"gradient_descent": 12.0, "heavy_ball": 30.0, "sgd": 12.0}[optimizer]
    rows, results = _run(**fields, learning_rate=rate)
    for result in results:
        losses = [row[3] for row in rows if row[1] == result.seed]
        assert len(losses) == 4
        assert math.isfinite(losses[-1])
        assert losses[-1] > 1e3 * losses[0]
        assert (result.outcome, result.training_loss, result.generalization_loss) == ("diverged", None, None)
        assert f"rose from {losses[0]:.2g}"[:-1] in result.message
        assert f"to {losses[-1]:.3g} by step 60, at learning rate {rate:g}" in result.message


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_stable_descent_from_an_init_that_fits_nearly_is_not_said_to_diverge(optimizer: OptimizerName) -> None:
    """The loss rises from 0 to the noise of a step, which is far below what W = 0 costs."""
    settings = point(optimizer=optimizer, depth=1, steps=200, log_every=20, learning_rate=0.05, init_scale=1.0)
    problem = make_problem(settings.problem, SEEDS)
    procedure = Descent({0: settings}, SEEDS, problem, CPU)
    assert problem.truth is not None
    procedure._initial_weights = problem.truth.flatten(1) * (1 + 1e-9)
    state, _ = procedure.init()
    while procedure.fraction(state) < 1:
        state, _ = procedure.step(state)
    assert {event.result.outcome for event in procedure.finish(state) if isinstance(event, Finished)} == {"finished"}


@pytest.mark.parametrize("learning_rate", ["auto", 0.1])
@pytest.mark.parametrize("depth", [2, 3])
def test_an_init_too_large_for_any_step_is_named_as_the_cause(learning_rate: float | str, depth: int) -> None:
    _, results = _run(learning_rate=learning_rate, init="gaussian", init_scale=1e200, depth=depth, steps=200)
    for result in results:
        assert result.outcome == "diverged"
        assert result.message.endswith("the loss of the initial weights is not finite; try a smaller gd.init_scale")


def test_when_every_data_set_has_diverged_the_rest_of_the_steps_is_not_run() -> None:
    rows, results = _run(steps=10_000, log_every=10, learning_rate=1e6, init_scale=1.0)
    assert {result.outcome for result in results} == {"diverged"}
    assert max(row[2] for row in rows) < 1_000


def test_each_data_set_ends_at_its_first_log_point_under_the_loss_asked_for_with_the_rows_it_would_have_had() -> None:
    fields: dict[str, Any] = {"learning_rate": 0.2, "init_scale": 0.5, "steps": 20_000, "log_every": 20}
    rows, _ = _run(**fields)
    ended, results = _run(**fields, stop_below=1e-4)
    assert len(ended) < len(rows)
    for seed, result in zip(SEEDS, results, strict=True):
        mine = [row for row in ended if row[1] == seed]
        whole = [row for row in rows if row[1] == seed]
        assert mine == whole[: len(mine)]
        assert mine[-1][3] < 1e-4 <= mine[-2][3]
        assert (result.training_loss, result.generalization_loss) == (mine[-1][3], mine[-1][4])
    assert len({len([row for row in ended if row[1] == seed]) for seed in SEEDS}) > 1


def test_small_initial_weights_learn_the_singular_values_one_after_another() -> None:
    """At depth 3 the first is past a third of its final value while the second is under a tenth of its own."""
    rows, _ = _run(
        kind="completion", rows=8, columns=8, rank=2, norm=5.0, measurements=60, depth=3, width=8,
        init="gaussian", init_scale=0.05, learning_rate=0.1, steps=5_000, log_every=20,
    )  # fmt: skip
    for seed in SEEDS:
        table = torch.tensor([row[5:] for row in rows if row[1] == seed])
        end = table[-1]
        assert end[1] > 0.5
        rise_of_first = int((table[:, 0] > end[0] / 3).nonzero()[0])
        assert table[rise_of_first, 1] < end[1] / 10


def _close(rows: list[list[float]], others: list[list[float]]) -> bool:
    """Equal up to the order in which products are summed: 1e-9 after a few hundred steps."""
    values, other_values = torch.tensor(rows), torch.tensor(others)
    return torch.allclose(values, other_values, rtol=1e-9, atol=1e-12, equal_nan=True)


def _alone(rows: list[list[float]], index: int) -> list[list[float]]:
    """The rows of one sweep point, as if it were the only one."""
    return sorted([0, *row[1:]] for row in rows if row[0] == index)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("name", "depth"), [("linear", 2), ("tanh", 2), ("linear", 4), ("leaky_relu", 3), ("gelu", 3)])
def test_widths_as_one_batch_padded_with_zeros_give_the_numbers_of_each_alone(
    name: str, depth: int, optimizer: str
) -> None:
    fields: dict[str, Any] = {"activation": name, "depth": depth, "optimizer": optimizer, "steps": 60, "log_every": 20}
    fields |= {"learning_rate": 0.01, "init_scale": 0.7}
    points = [point(width=width, **fields) for width in (3, 7, 12)]
    together, results = _run_together(*points)
    assert [(result.point, result.seed) for result in results] == [(p, s) for s in SEEDS for p in range(3)]
    for index, settings in enumerate(points):
        assert _close(_alone(together, index), sorted(_run_together(settings)[0]))


@pytest.mark.parametrize("optimizer", ["gradient_descent", "group_rmsprop"])
@pytest.mark.parametrize("kind", ["sensing", "completion"])
def test_learning_rates_inits_and_scales_of_a_batch_are_each_runs_own(kind: str, optimizer: str) -> None:
    fields: dict[str, Any] = {"kind": kind, "depth": 3, "optimizer": optimizer, "steps": 40, "log_every": 20}
    points = [
        point(learning_rate=0.02, init_scale=0.5, **fields),
        point(learning_rate=0.05, init_scale=0.5, **fields),
        point(learning_rate=0.02, init_scale=0.2, init="balanced", **fields),
    ]
    together, _ = _run_together(*points)
    for index, settings in enumerate(points):
        assert _close(_alone(together, index), sorted(_run_together(settings)[0]))


@pytest.mark.parametrize(
    "optimizer", [name for name in OPTIMIZERS if make_optimizer(point(optimizer=name).gd).rotation_equivariant]
)
def test_a_wide_linear_model_of_depth_two_run_in_fewer_coordinates_gives_the_numbers_of_its_own_width(
    optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields: dict[str, Any] = {"width": 30, "rows": 4, "columns": 6, "measurements": 12, "init_scale": 0.7}
    settings = point(optimizer=optimizer, learning_rate=0.02, steps=100, log_every=20, **fields)
    assert grouping.width_in_batch(settings) == 10
    compressed, _ = _run_together(settings)
    monkeypatch.setattr(grouping, "compressible", lambda *_: False)
    assert grouping.width_in_batch(settings) == 30
    assert _close(compressed, _run_together(settings)[0])


@pytest.mark.parametrize("optimizer", ["gradient_descent", "adam", "sgd"])
@pytest.mark.parametrize(("name", "depth"), [("linear", 2), ("linear", 3), ("tanh", 4), ("linear", 1)])
def test_the_sparse_step_touches_observed_entries_only_and_takes_the_dense_steps(
    name: str, depth: int, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields: dict[str, Any] = {"kind": "completion", "rows": 9, "columns": 7, "measurements": 30, "width": 4}
    fields |= {"activation": name, "depth": depth, "optimizer": optimizer, "learning_rate": 0.01, "init_scale": 0.7}
    settings = point(steps=60, log_every=20, **fields)
    dense, _ = _run_together(settings)
    monkeypatch.setattr(loss_gradient, "SPARSE_ENTRIES", 1)
    monkeypatch.setattr(loss_gradient, "SPARSE_DENSITY", 1.0)
    assert loss_gradient.is_sparse(make_problem(settings.problem, SEEDS), 9, 7, depth) == (depth > 1)
    assert _close(dense, _run_together(settings)[0])


def test_large_products_take_the_steps_of_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above `MOST_IN_NUMPY` torch multiplies instead of numpy; the batch's operands are the same views."""
    for name in ACTIVATIONS:
        settings = point(activation=name, depth=3, width=6, learning_rate=0.05, init_scale=0.5, steps=60, log_every=20)
        with monkeypatch.context() as patch:
            in_numpy, _ = _run_together(settings)
            patch.setattr(batched_step, "MOST_IN_NUMPY", 0)
            assert _close(in_numpy, _run_together(settings)[0])


@pytest.mark.parametrize("measurements", [15, 40])
def test_both_ways_to_the_gradient_of_general_measurements_take_the_same_steps(
    measurements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = point(rows=6, columns=8, measurements=measurements, init_scale=0.7, steps=60, log_every=20)
    folded, _ = _run_together(settings, point(rows=6, columns=8, measurements=measurements, steps=60, log_every=20))
    monkeypatch.setattr(loss_gradient, "MOST_FOLDED", 0)
    assert _close(_alone(folded, 0), sorted(_run_together(settings)[0]))


def test_single_precision_follows_double_precision() -> None:
    fields: dict[str, Any] = {"steps": 40, "log_every": 20, "init_scale": 0.5}
    single, double = _run(dtype="float32", **fields)[0], _run(**fields)[0]
    torch.testing.assert_close(torch.tensor(single), torch.tensor(double), rtol=1e-4, atol=1e-5)


def test_a_step_that_cannot_be_recorded_runs_as_it_is_but_memory_that_runs_out_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(error: RuntimeError) -> None:
        raise error

    monkeypatch.setattr(torch.cuda, "Stream", lambda: fail(RuntimeError("operation not permitted when capturing")))
    assert batched_step._record([]) is None
    monkeypatch.setattr(torch.cuda, "Stream", lambda: fail(torch.cuda.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(torch.cuda.OutOfMemoryError, match="out of memory"):
        batched_step._record([])


def test_a_run_stores_the_singular_values_of_a_large_truth_as_many_as_its_rank(tmp_path: Path) -> None:
    text = 'methods = ["gd"]\n[problem]\nkind = "completion"\nrows = 150\ncolumns = 140\nrank = 3\nmeasurements = 900\n'
    run = make_run(tmp_path / "run", text=text)
    lane = Lane(run, units(run.experiment)[0], CPU, str, [])
    lane.close()
    (event,) = (event for event in run.reader().events() if event["event"] == "truth")
    truth = make_problem(run.experiment.points[0].problem, [0]).truth
    assert truth is not None
    assert event["singular_values"] == pytest.approx(torch.linalg.svdvals(truth[0])[:3].tolist(), rel=1e-9)


def test_a_run_is_told_why_its_steps_are_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, told = Descent._compiled, list[str]()

    def unrecorded(self: Descent, rates: torch.Tensor) -> batched_step.BatchedStep:
        steps = compiled(self, rates)
        steps.unrecorded = "no reason"
        return steps

    run = make_run(tmp_path / "run", text='methods = ["gd"]\n[gd]\nsteps = 200\n')
    (unit,) = units(run.experiment)
    Lane(run, unit, CPU, told.append, []).step()
    assert told == []
    monkeypatch.setattr(Descent, "_compiled", unrecorded)
    lane = Lane(run, unit, CPU, told.append, [])
    lane.step()
    lane.step()
    assert told == ["gradient descent runs without a CUDA graph, and so slower: no reason"]


def test_points_share_a_batch_only_where_that_saves_time_and_only_if_a_batch_can_hold_them() -> None:
    widths = [point(width=width) for width in (5, 10, 20, 40, 80, 160)]
    assert grouping.groups(widths, 8) == [[0, 1, 2, 3, 4, 5]]
    deep = [point(width=width, depth=5) for width in (5, 8, 200)]
    assert grouping.groups(deep, 8) == [[0, 1], [2]]
    assert grouping.groups([point(depth=depth) for depth in (2, 3)], 8) == [[0], [1]]
    assert grouping.groups([point(eps_train=eps) for eps in (0.1, 0.2)], 8) == [[0, 1]]
    assert grouping.groups([point(seed=seed) for seed in (0, 1)], 8) == [[0], [1]]


AUTO: dict[str, Any] = {"rows": 8, "columns": 8, "measurements": 40, "rank": 2, "norm": 3.0, "width": 8}
AUTO |= {"init": "orthogonal", "init_scale": 0.4, "log_every": 400, "steps": 800, "learning_rate": "auto"}


def _learns(**fields: Any) -> bool:
    """Whether every data set ends with a fiftieth of its initial training loss."""
    rows, results = _run(**{**AUTO, **fields})
    first = {row[1]: row[3] for row in rows if row[2] == 0}
    losses = [math.inf if result.training_loss is None else result.training_loss for result in results]
    return all(loss < first[result.seed] / 50 for loss, result in zip(losses, results, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["sensing", "completion"])
def test_the_auto_learning_rate_neither_diverges_nor_crawls(kind: str, depth: int) -> None:
    """At 30 times the rate gradient descent must fail: so `auto` is within 30 of the largest one that serves."""
    assert _learns(kind=kind, depth=depth)
    settings = point(**AUTO, kind=kind, depth=depth)
    rates = Descent({0: settings}, SEEDS, make_problem(settings.problem, SEEDS), torch.device("cpu")).rates
    _, failing = _run(**{**AUTO, "kind": kind, "depth": depth, "learning_rate": 30 * max(rates)})
    assert {result.outcome for result in failing} == {"diverged"}


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 3, 5])
@pytest.mark.parametrize(
    "optimizer", [name for name, traits in OPTIMIZERS.items() if not traits.adaptive and name != "gradient_descent"]
)
def test_the_auto_learning_rate_serves_momentum_and_batches_too(optimizer: OptimizerName, depth: int) -> None:
    fields = {"batch_size": 20, "steps": 1_600} if OPTIMIZERS[optimizer].batches else {}
    assert _learns(optimizer=optimizer, depth=depth, **fields)


def test_the_auto_learning_rate_of_depth_one_is_exactly_half_the_limit() -> None:
    """The Hessian of the loss in W is (2/n) AᵀA whatever W is."""
    settings = point(learning_rate="auto", depth=1, init_scale=1e-3)
    problem = make_problem(settings.problem, SEEDS)
    assert isinstance(problem.measurements, DenseOperator)
    largest = torch.linalg.matrix_norm(problem.measurements.matrices, 2).square() * (2 / 15)
    rates = Descent({0: settings}, SEEDS, problem, torch.device("cpu")).rates
    assert rates == pytest.approx((1 / largest).tolist(), rel=0.05)


@pytest.mark.parametrize("kind", ["sensing", "completion"])
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_the_auto_learning_rate_is_the_inverse_of_the_curvature_where_the_truth_is_of_rank_one(
    kind: str, depth: int
) -> None:
    """Against all eigenvalues of (2/n) A J Jᵀ Aᵀ, written out; from an init that is too small to count."""
    settings = point(kind=kind, depth=depth, rows=8, columns=6, measurements=30, learning_rate="auto", init_scale=1e-6)
    problem = make_problem(settings.problem, SEEDS)
    rates = learning_rates(settings, problem, initial_factors(settings, SEEDS))
    for seed in SEEDS:
        measured, targets = problem.measurements.dense(48)[seed], problem.targets[seed]
        left, _, right = torch.linalg.svd((targets @ measured).view(8, 6))
        on_left, on_right = left[:, :1] @ left[:, :1].T, right[:1].T @ right[:1]
        moved = torch.kron(on_left, torch.eye(6).double()) + torch.kron(torch.eye(8).double(), on_right)
        moved += (depth - 2) * torch.kron(on_left, on_right)
        size = 48 * targets.square().sum() / measured.square().sum()
        curvature = (2 / 30) * size ** (1 - 1 / depth) * torch.linalg.eigvalsh(measured @ moved @ measured.T)[-1]
        assert rates[seed].item() == pytest.approx(float(1 / curvature), rel=0.01)


def test_the_auto_learning_rate_of_few_entries_of_a_huge_matrix_needs_none_of_the_others() -> None:
    """40,000×50,000: a dense matrix would be 16 GB."""
    settings = point(
        kind="completion", rows=40_000, columns=50_000, measurements=1_000, depth=3, width=2, learning_rate="auto"
    )
    places = torch.randperm(40_000, generator=torch.Generator().manual_seed(0))[:1_000]
    entries = EntryOperator((places * 50_000 + places.flip(0))[None])
    problem = Problem(None, entries, entries, torch.ones(1, 1_000).double(), torch.ones(1, 1_000).double())
    (rate,) = learning_rates(settings, problem, initial_factors(settings, [0]))
    assert 0 < rate < math.inf


@pytest.mark.parametrize("optimizer", [name for name, traits in OPTIMIZERS.items() if traits.adaptive])
def test_an_auto_learning_rate_is_refused_where_steps_scale_themselves(optimizer: str) -> None:
    complaints = list(bad_combinations(point(learning_rate="auto", optimizer=optimizer)))
    assert [key for key, _, _ in complaints] == ["gd.learning_rate"]


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "fast", True])
def test_a_learning_rate_is_a_positive_number_or_auto(value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        point(learning_rate=value)
    assert [error["loc"] for error in caught.value.errors()] == [("gd", "learning_rate")]
