from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from engine import parallel
from engine.results import binomial_interval
from engine.samplers.interface import Target
from engine.samplers.rejection import Rejection
from tests.targets import run, target

pytestmark = pytest.mark.slow

CASES: list[dict[str, Any]] = [
    {"depth": 1, "eps_train": 0.1, "measurements": 6},
    {"depth": 2, "width": 3, "eps_train": 0.1, "activation": "tanh"},
    {"depth": 3, "width": 4, "eps_train": 0.05, "activation": "leaky_relu", "negative_slope": 0.3, "normalize": True},
    {"depth": 2, "width": 5, "eps_train": 0.1, "prior": "uniform", "kind": "completion", "measurements": 10},
    {"depth": 2, "width": 5, "eps_train": 0.1, "scaling": "fan_in", "measurements": 8},
]


def _plain_loop(trial: Target, draws: int) -> tuple[int, float, float]:
    """Hits, and mean and standard error of their generalization loss: NumPy and the definitions, a draw at a time."""
    settings, problem = trial.point, trial.problem
    generator = np.random.default_rng(12345)
    m, n, k, depth = settings.problem.rows, settings.problem.columns, settings.model.width, settings.model.depth
    sizes = [n, *[k] * (depth - 1), m]
    measured = problem.measurements.dense(m * n)[0].numpy()
    held_out = problem.held_out.dense(m * n)[0].numpy()
    assert problem.truth is not None
    truth = problem.truth[0].numpy().ravel()
    losses = []
    for _ in range(draws):
        product = np.eye(n)
        for layer in range(depth):
            shape = (sizes[layer + 1], sizes[layer])
            weights = (
                generator.standard_normal(shape)
                if settings.gnc.prior == "gaussian"
                else generator.uniform(-1, 1, shape)
            )
            product = weights / math.sqrt(shape[0] if settings.gnc.scaling == "fan_out" else shape[1]) @ product
            if layer < depth - 1 and settings.model.activation == "tanh":
                product = np.tanh(product)
            if layer < depth - 1 and settings.model.activation == "leaky_relu":
                product = np.where(product > 0, product, settings.model.negative_slope * product)
        if settings.gnc.normalize:
            product = product / (np.linalg.norm(product) + 1e-6)
        difference = product.ravel() - truth
        if np.mean((measured @ difference) ** 2) < settings.gnc.eps_train:
            losses.append(np.mean((held_out @ difference) ** 2))
    return len(losses), float(np.mean(losses)), float(np.std(losses, ddof=1)) / math.sqrt(len(losses))


@pytest.mark.parametrize("case", CASES)
def test_acceptance_and_posterior_mean_agree_with_a_plain_numpy_loop(case: dict[str, Any]) -> None:
    trial = target(draws=200_000, effective_samples=200_000, **case)
    state = run(Rejection(), trial)
    record = Rejection().record(trial, state)
    draws = 20_000
    hits, mean, error = _plain_loop(trial, draws)
    assert hits > 100
    p = (hits + state.hits) / (draws + state.draws)
    standard_error = math.sqrt(p * (1 - p) * (1 / draws + 1 / state.draws))
    assert abs(hits / draws - state.hits / state.draws) < 4 * standard_error
    summary = record.generalization_loss
    assert summary is not None
    assert abs(summary.mean - mean) < 4 * math.hypot(error, summary.standard_error)


def test_every_hit_is_under_the_threshold_and_the_best_is_the_least() -> None:
    trial = target(eps_train=0.1, draws=30_000, effective_samples=30_000)
    state = run(Rejection(), trial)
    assert state.draws == 30_000
    assert float(state.training_loss.max()) < 0.1
    assert state.best_training_loss == pytest.approx(float(state.training_loss.min()))


def test_the_draws_do_not_depend_on_the_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = target(eps_train=0.1, draws=100_000, effective_samples=100_000, width=20)
    states = []
    for cores in (1, 3):
        monkeypatch.setattr(parallel, "cores", lambda device, cores=cores: cores)
        states.append(run(Rejection(), trial))
    assert states[0].hits == states[1].hits > 0
    assert states[0].generalization_loss.tolist() == states[1].generalization_loss.tolist()


def test_no_hits_is_a_result_with_the_best_loss_and_advice() -> None:
    trial = target(eps_train=1e-9, draws=1_000)
    record = Rejection().record(trial, run(Rejection(), trial))
    assert record.generalization_loss is None
    assert record.log10_acceptance.value is None
    assert record.log10_acceptance.high == binomial_interval(0, 1_000).high
    assert record.best_training_loss > 1e-9
    assert not record.reliable
    assert f"the best training loss was {record.best_training_loss:.3g}" in record.advice
    assert "raise gnc.eps_train or gnc.draws" in record.advice
