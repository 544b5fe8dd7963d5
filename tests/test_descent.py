from __future__ import annotations

from typing import Any

import pytest
import torch

from engine import descent
from engine.activations import activation
from engine.descent import Descent
from engine.events import Finished, Rows
from engine.factorization import end_to_end_matrix
from engine.inits import initial_factors
from engine.optimizers.group_rmsprop import DECAY, EPSILON
from engine.problem import make_problem
from engine.results import TrialResult
from tests.settings import point

SEEDS = (0, 1, 2)


def _run(**fields: Any) -> tuple[list[list[float]], list[TrialResult]]:
    """All logged rows, and the results."""
    settings = point(**fields)
    procedure = Descent(0, settings, SEEDS, make_problem(settings.problem, SEEDS), torch.device("cpu"))
    state, events = procedure.init()
    while procedure.fraction(state) < 1:
        state, more = procedure.step(state)
        events += more
    rows = [list(row) for event in events if isinstance(event, Rows) for row in event.rows]
    return rows, [event.result for event in procedure.finish(state) if isinstance(event, Finished)]


@pytest.mark.parametrize("optimizer", ["gradient_descent", "group_rmsprop"])
@pytest.mark.parametrize("name", ["linear", "tanh", "leaky_relu"])
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
                assert row[4] == pytest.approx(float(problem.generalization_loss(matrix[None, None])), rel=1e-9)
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


def test_when_every_data_set_has_diverged_the_rest_of_the_steps_is_not_run() -> None:
    rows, results = _run(steps=10_000, log_every=10, learning_rate=1e6, init_scale=1.0)
    assert {result.outcome for result in results} == {"diverged"}
    assert max(row[2] for row in rows) < 1_000


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
