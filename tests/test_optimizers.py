from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from engine.descent.descent import Descent
from engine.descent.inits import initial_factors
from engine.descent.optimizers import optimizer
from engine.descent.optimizers.stochastic import STEPS_A_BLOCK, Batches
from engine.events import Rows
from engine.models.activations import activation
from engine.models.factorization import end_to_end_matrix
from engine.problems.problem import make_problem
from engine.spec.names import OptimizerName
from tests.settings import point

Update = Callable[[Tensor, Tensor, dict[str, Any]], Tensor]
RATE = 0.02


def _gradient_descent(weights: Tensor, gradient: Tensor, memory: dict[str, Any]) -> Tensor:
    return weights - RATE * gradient


def _heavy_ball(weights: Tensor, gradient: Tensor, memory: dict[str, Any]) -> Tensor:
    """In the form without a velocity: W_{t+1} = W_t − η g + μ (W_t − W_{t−1})."""
    before = memory.get("before", weights)
    memory["before"] = weights
    return weights - RATE * gradient + 0.9 * (weights - before)


def _group_rmsprop(weights: Tensor, gradient: Tensor, memory: dict[str, Any]) -> Tensor:
    memory["step"] = memory.get("step", 0) + 1
    memory["average"] = 0.99 * memory.get("average", 0.0) + 0.01 * float(gradient.square().sum())
    root = math.sqrt(memory["average"] / (1 - 0.99 ** memory["step"]))
    return weights - RATE * gradient / (root + 1e-6)


def _group_rmsprop_heavy_ball(weights: Tensor, gradient: Tensor, memory: dict[str, Any]) -> Tensor:
    """W_{t+1} = W_t + (group RMSprop's step) + μ (W_t − W_{t−1})."""
    before = memory.get("before", weights)
    memory["before"] = weights
    return _group_rmsprop(weights, gradient, memory) + 0.9 * (weights - before)


def _torchs(make: Callable[[list[Tensor]], torch.optim.Optimizer]) -> Update:
    def update(weights: Tensor, gradient: Tensor, memory: dict[str, Any]) -> Tensor:
        if not memory:
            memory["weights"] = weights.clone().requires_grad_()
            memory["optimizer"] = make([memory["weights"]])
        memory["weights"].grad = gradient
        memory["optimizer"].step()
        return memory["weights"].detach().clone()

    return update


REFERENCES: dict[OptimizerName, Update] = {
    "gradient_descent": _gradient_descent,
    "heavy_ball": _heavy_ball,
    "nesterov": _torchs(lambda weights: torch.optim.SGD(weights, RATE, momentum=0.9, nesterov=True)),
    "group_rmsprop": _group_rmsprop,
    "group_rmsprop_heavy_ball": _group_rmsprop_heavy_ball,
    "adam": _torchs(lambda weights: torch.optim.Adam(weights, RATE)),
    "sgd": _gradient_descent,
}


@pytest.mark.parametrize("name", ["group_rmsprop", "group_rmsprop_heavy_ball", "adam"])
@pytest.mark.parametrize("epsilon", ["auto", 1e-4, 3.0])
def test_the_first_step_of_an_adaptive_optimizer_is_the_gradient_over_its_root_and_epsilon(
    name: OptimizerName, epsilon: float | str
) -> None:
    """At the first step every bias-corrected average is the gradient's own: its norm, or for Adam each entry's size."""
    rule = optimizer(point(optimizer=name, epsilon=epsilon).gd)
    gradient = torch.tensor([[3e-4, -4e-4, 0.0], [3.0, -4.0, 0.0]]).double()
    weights = torch.zeros(2, 3).double()
    rule.step(rule.init(weights), weights, gradient.clone(), torch.full((2, 1), RATE, dtype=torch.float64))
    added = {"adam": 1e-8}.get(name, 1e-6) if epsilon == "auto" else float(epsilon)
    root = gradient.abs() if name == "adam" else gradient.norm(dim=1, keepdim=True)
    torch.testing.assert_close(weights, -RATE * gradient / (root + added), rtol=1e-9, atol=0.0)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("name", REFERENCES)
def test_an_optimizers_steps_are_those_of_its_textbook_formula(name: OptimizerName, backend: str) -> None:
    generator = torch.Generator().manual_seed(0)
    ours = optimizer(point(optimizer=name, learning_rate=RATE).gd)
    weights = torch.randn(3, 7, generator=generator, dtype=torch.float64)
    expected, memories = weights.clone(), [{} for _ in range(3)]
    state = ours.init(weights)
    for _ in range(30):
        gradient = torch.randn(3, 7, generator=generator, dtype=torch.float64)
        expected = torch.stack([REFERENCES[name](*run) for run in zip(expected, gradient, memories, strict=True)])
        rates = torch.full((3, 1), RATE, dtype=torch.float64)
        arrays = (*state, weights, gradient * RATE if ours.scaled_gradient else gradient.clone(), rates)
        *held, weights_, gradient_, rates_ = [a.numpy() for a in arrays] if backend == "numpy" else arrays
        ours.step(tuple(held), weights_, gradient_, rates_)
        torch.testing.assert_close(weights, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_every_optimizer_lowers_the_training_loss(name: str) -> None:
    settings = point(optimizer=name, learning_rate=0.03, init_scale=0.7, steps=1_000, log_every=500)
    procedure = Descent({0: settings}, [0, 1], make_problem(settings.problem, [0, 1]), torch.device("cpu"))
    state, events = procedure.init()
    while procedure.fraction(state) < 1:
        state, more = procedure.step(state)
        events += more
    rows = [row for event in events if isinstance(event, Rows) and event.table == "gd" for row in event.rows]
    losses = {(row[1], row[2]): row[3] for row in rows}
    assert all(losses[seed, 1_000] < losses[seed, 0] / 2 for seed in (0, 1))


@pytest.mark.parametrize("kind", ["sensing", "completion"])
def test_sgd_takes_the_steps_of_autograd_on_the_batches_of_its_stream(kind: str) -> None:
    fields: dict[str, Any] = {"kind": kind, "optimizer": "sgd", "batch_size": 4, "learning_rate": 0.05}
    settings = point(depth=3, width=4, init_scale=0.7, steps=20, log_every=20, **fields)
    seeds = (3, 5)
    problem = make_problem(settings.problem, seeds)
    procedure = Descent({0: settings}, seeds, problem, torch.device("cpu"))
    state, _ = procedure.init()
    while procedure.fraction(state) < 1:
        state, _ = procedure.step(state)
    sigma, batches = activation(settings.model), Batches(seeds, 15, 4)
    for position, seed in enumerate(seeds):
        weights = [factor[0].clone().requires_grad_() for factor in initial_factors(settings, [seed])]
        rows = problem.measurements.dense(25)[position].double()
        for step in range(20):
            batch = batches.at(step)[position]
            residual = rows[batch] @ end_to_end_matrix(weights, sigma).flatten() - problem.targets[position][batch]
            gradients = torch.autograd.grad(residual.square().mean(), weights)
            with torch.no_grad():
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight -= 0.05 * gradient
        loss = problem.one(position).training_loss(end_to_end_matrix(weights, sigma).detach()[None, None])
        last = state.last_finite[position]
        assert last is not None
        assert last[1] == pytest.approx(float(loss), rel=1e-9)


@pytest.mark.parametrize(("measurements", "size"), [(15, 4), (15, 15), (6_000, 8)])
def test_a_batch_has_no_measurement_twice_and_depends_on_seed_and_step_only(measurements: int, size: int) -> None:
    steps = [0, 1, STEPS_A_BLOCK - 1, STEPS_A_BLOCK, 3 * STEPS_A_BLOCK + 7]
    batches = Batches((2, 9), measurements, size)
    drawn = [batches.at(step).clone() for step in steps]
    for step, batch in zip(reversed(steps), reversed(drawn), strict=True):
        assert torch.equal(Batches((9,), measurements, size).at(step)[0], batch[1])
        assert all(len(set(row)) == size and min(row) >= 0 and max(row) < measurements for row in batch.tolist())
    if size < measurements:
        assert len({tuple(row) for batch in drawn for row in batch.tolist()}) == 2 * len(steps)


def test_every_measurement_is_drawn_equally_often() -> None:
    steps, batches = 4_000, Batches((0,), 15, 4)
    counts = torch.bincount(torch.cat([batches.at(step)[0] for step in range(steps)]), minlength=15)
    standard_error = math.sqrt(steps * 4 / 15 * 11 / 15)
    assert (counts - steps * 4 / 15).abs().max() < 4 * standard_error


def test_heavy_ball_is_not_gradient_descent_by_another_name() -> None:
    """As the momentum of the published code is."""
    ends = []
    for name in ("gradient_descent", "heavy_ball"):
        settings = point(optimizer=name, learning_rate=0.01, init_scale=0.5, steps=50, log_every=50)
        procedure = Descent({0: settings}, [0], make_problem(settings.problem, [0]), torch.device("cpu"))
        state, _ = procedure.init()
        while procedure.fraction(state) < 1:
            state, _ = procedure.step(state)
        assert state.last_finite[0] is not None
        ends.append(state.last_finite[0][1])
    assert ends[1] < 0.9 * ends[0]
