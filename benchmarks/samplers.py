"""Effective accepted samples a second, against a plain PyTorch loop, in one run.

    python benchmarks/samplers.py [--repetitions 5] [--quick] [--json]

The plain loop is Guess & Check as the papers' experiments describe it: randn and bmm layer by layer, 200,000 guesses at
a time, on all cores. Its hits are too rare to be timed, so its accepted samples a second are its guesses a second times
the acceptance probability, which the sampler under test estimates (tests/test_samplers.py holds it against rejection).
Sides take turns, each in a process of its own, and the ratio of each turn is taken.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
from _harness import arguments_of, run

from engine.models.activations import activation
from engine.models.factorization import factor_shapes
from engine.parallel import keep_freed_memory
from engine.problems.problem import make_problem
from engine.samplers import SAMPLERS
from engine.samplers.interface import Target
from engine.spec.names import SamplerName
from engine.spec.settings import PointSettings
from mftui.benchmark import Row

CPU = torch.device("cpu")
PLAIN_BATCH = 200_000
QUICK_REPETITIONS = 2
QUICK = 4
"""times fewer samples and draws"""

DEEP: dict[str, Any] = {"depth": 10, "normalize": True, "eps_train": 0.0035}
POSTERIOR: list[tuple[str, SamplerName, float, dict[str, Any]]] = [
    ("width 40, depth 2, linear", "conditional", 2000, {"width": 40}),
    ("width 40, depth 2, tanh", "conditional", 2000, {"width": 40, "activation": "tanh"}),
    ("width 5, depth 10, linear, normalized", "conditional", 300, DEEP),
    ("width 5, depth 10, tanh, normalized", "conditional", 300, {**DEEP, "activation": "tanh"}),
]
LITERAL: list[tuple[str, float, dict[str, Any]]] = [
    ("width 5, depth 2, linear", 3, {}),
    ("width 5, depth 2, tanh", 3, {"activation": "tanh"}),
    ("width 40, depth 2, linear", 1.5, {"width": 40}),
    ("width 160, depth 2, linear", 1.5, {"width": 160}),
    ("width 5, depth 10, tanh, normalized", 1.5, {"depth": 10, "normalize": True, "activation": "tanh"}),
]


def point(**fields: Any) -> PointSettings:
    """Settings with these fields of [model] or [gnc]."""
    model = {name: value for name, value in fields.items() if name in ("width", "depth", "activation")}
    gnc = {name: value for name, value in fields.items() if name not in model}
    return PointSettings.model_validate({"model": model, "gnc": gnc})


def target(settings: PointSettings, device: torch.device = CPU) -> Target:
    return Target(settings, 0, make_problem(settings.problem, [0]).to(device, torch.float64), device)


def plain_guesses_per_second(settings: PointSettings, batches: int, device: torch.device = CPU) -> float:
    """The papers' loop: float32, fan-out scaling, all cores, torch as it comes."""
    trial = target(settings, device)
    function = activation(trial.point.model).function
    design = trial.problem.measurements.dense(25)[0].float().T.contiguous()
    targets = trial.problem.targets[0].float()
    hits = 0
    start = time.perf_counter()
    for _ in range(batches):
        product = torch.empty(0)
        for layer, (rows, columns) in enumerate(factor_shapes(trial.point)):
            weights = torch.randn(PLAIN_BATCH, rows, columns, device=device) / math.sqrt(rows)
            product = torch.bmm(weights, function(product)) if layer else weights
        if trial.point.gnc.normalize:
            product = product / (torch.linalg.matrix_norm(product, keepdim=True) + 1e-6)
        losses = (product.flatten(1) @ design - targets).square().mean(1)
        hits += int((losses < trial.point.gnc.eps_train).sum())
    return batches * PLAIN_BATCH / (time.perf_counter() - start)


def effective_samples_per_second(trial: Target, name: SamplerName) -> tuple[float, float, float]:
    """Effective samples a second, the acceptance probability found, and the seconds taken."""
    sampler = SAMPLERS[name]
    start = time.perf_counter()
    state = sampler.init(trial)
    while sampler.fraction(trial, state) < 1:
        state = sampler.step(trial, state)
    record = sampler.record(trial, state)
    seconds = time.perf_counter() - start
    assert record.reliable, record.advice
    assert record.log10_acceptance.value is not None
    return record.effective_sample_size / seconds, 10**record.log10_acceptance.value, seconds


def literal_guesses_per_second(trial: Target) -> float:
    sampler = SAMPLERS["rejection"]
    start = time.perf_counter()
    state = sampler.init(trial)
    while sampler.fraction(trial, state) < 1:
        state = sampler.step(trial, state)
    return float(state.draws / (time.perf_counter() - start))


def rows(given: argparse.Namespace) -> Iterator[Row]:
    torch.set_num_threads(1)
    keep_freed_memory()  # as workers do
    repetitions, fewer = (QUICK_REPETITIONS, QUICK) if given.quick else (given.repetitions, 1)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:

        def plain_rate(settings: PointSettings, batches: int) -> float:
            return other.submit(plain_guesses_per_second, settings, batches).result()

        yield from posterior(repetitions, fewer, plain_rate)
        yield from literal(repetitions, fewer, plain_rate)


PlainRate = Callable[[PointSettings, int], float]
"""runs the plain loop elsewhere"""


def posterior(repetitions: int, fewer: int, plain_rate: PlainRate) -> Iterator[Row]:
    for what, name, at_least, fields in POSTERIOR:
        samples = (20_000 if "depth" not in fields else 2_000) // fewer
        trial = target(point(**fields, sampler=name, effective_samples=samples))
        ratios, note = [], ""
        for _ in range(repetitions):
            plain = plain_rate(trial.point, max(1, 2 // fewer))
            rate, probability, _ = effective_samples_per_second(trial, name)
            ratios.append(rate / (plain * probability))
            note = f"{rate:,.0f}/s against {plain * probability:.2g}/s, P = {probability:.2e}"
        against = "the plain loop's accepted samples"
        yield Row.of(f"effective samples a second: {what}", ratios, "×", against=against, at_least=at_least, note=note)

    trial = target(point(width=160, eps_train=1e-4, sampler="conditional", effective_samples=1_000))
    found = [effective_samples_per_second(trial, "conditional") for _ in range(repetitions)]
    yield Row.of(
        "1,000 effective samples at width 160, ε = 1e-4",
        [took for *_, took in found],
        "s",
        at_most=2,
        note=f"P = {found[0][1]:.1e}",
    )


def literal(repetitions: int, fewer: int, plain_rate: PlainRate) -> Iterator[Row]:
    for what, at_least, fields in LITERAL:
        normals = sum(rows * columns for rows, columns in factor_shapes(point(**fields)))
        draws = min(8_000_000, 400_000_000 // normals) // fewer
        trial = target(point(**fields, eps_train=1e-9, sampler="rejection", draws=draws))
        ratios, note = [], ""
        for _ in range(repetitions):
            plain = plain_rate(trial.point, max(1, draws // PLAIN_BATCH // 2))
            ours = literal_guesses_per_second(trial)
            ratios.append(ours / plain)
            note = f"{ours:.2g}/s against {plain:.2g}/s; {ours * normals / 1e6:.0f} M normals/s"
        yield Row.of(
            f"literal guesses a second: {what}", ratios, "×", against="the plain loop's", at_least=at_least, note=note
        )


if __name__ == "__main__":
    parser = arguments_of(__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    run(parser, rows)
