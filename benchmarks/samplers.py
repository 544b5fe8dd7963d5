"""Effective accepted samples a second, against a plain PyTorch loop, in one run.

    python benchmarks/samplers.py [--repetitions 5]

The plain loop is Guess & Check as the papers' experiments describe it: randn and bmm layer by layer, 200,000 guesses at
a time, on all cores. Its hits are too rare to be timed, so its accepted samples a second are its guesses a second times
the acceptance probability, which the sampler under test estimates (tests/test_samplers.py holds it against rejection).
Sides take turns, each in a process of its own; the least and the median of the turns' ratios are printed.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from engine.models.activations import activation
from engine.models.factorization import factor_shapes
from engine.parallel import keep_freed_memory
from engine.problems.problem import make_problem
from engine.samplers import SAMPLERS
from engine.samplers.interface import Target
from engine.spec.settings import PointSettings, SamplerName

PLAIN_BATCH = 200_000

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


def target(settings: PointSettings) -> Target:
    return Target(settings, 0, make_problem(settings.problem, [0]), torch.device("cpu"))


def plain_guesses_per_second(settings: PointSettings, batches: int) -> float:
    """The papers' loop: float32, fan-out scaling, all cores, torch as it comes."""
    trial = target(settings)
    function = activation(trial.point.model).function
    design = trial.problem.measurements.dense(25)[0].float().T.contiguous()
    targets = trial.problem.targets[0].float()
    hits = 0
    start = time.perf_counter()
    for _ in range(batches):
        product = torch.empty(0)
        for layer, (rows, columns) in enumerate(factor_shapes(trial.point)):
            weights = torch.randn(PLAIN_BATCH, rows, columns) / math.sqrt(rows)
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


def row(what: str, ratios: list[float], wanted: float, note: str = "") -> None:
    median = statistics.median(ratios)
    mark = "" if median >= wanted else "  (below)"
    print(f"{what:42} {min(ratios):>10,.1f} {median:>10,.1f} {wanted:>8,.1f}{mark}  {note}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    repetitions = parser.parse_args().repetitions
    torch.set_num_threads(1)
    keep_freed_memory()  # as workers do

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
        compare(
            repetitions, lambda settings, batches: other.submit(plain_guesses_per_second, settings, batches).result()
        )


def compare(repetitions: int, plain_rate: Callable[[PointSettings, int], float]) -> None:
    """Measure and print all rows; `plain_rate` runs the plain loop elsewhere."""
    print(f"{'ratio to the plain loop':42} {'least':>10} {'median':>10} {'wanted':>8}")
    print("effective accepted samples a second")
    for what, name, wanted, fields in POSTERIOR:
        samples = 20_000 if "depth" not in fields else 2_000
        trial = target(point(**fields, sampler=name, effective_samples=samples))
        ratios, notes = [], ""
        for _ in range(repetitions):
            plain = plain_rate(trial.point, 2)
            rate, probability, _ = effective_samples_per_second(trial, name)
            ratios.append(rate / (plain * probability))
            notes = f"{rate:,.0f}/s against {plain * probability:.2g}/s, P = {probability:.2e}"
        row(what, ratios, wanted, notes)

    trial = target(point(width=160, eps_train=1e-4, sampler="conditional", effective_samples=1_000))
    seconds = [effective_samples_per_second(trial, "conditional") for _ in range(repetitions)]
    print(
        f"1,000 effective samples at width 160, ε = 1e-4: {statistics.median(s for *_, s in seconds):.2f} s "
        f"(wanted: under 2 s), P = {seconds[0][1]:.1e}"
    )

    print("literal guesses a second")
    for what, wanted, fields in LITERAL:
        normals = sum(rows * columns for rows, columns in factor_shapes(point(**fields)))
        draws = min(8_000_000, 400_000_000 // normals)
        trial = target(point(**fields, eps_train=1e-9, sampler="rejection", draws=draws))
        ratios, notes = [], ""
        for _ in range(repetitions):
            plain = plain_rate(trial.point, max(1, draws // PLAIN_BATCH // 2))
            ours = literal_guesses_per_second(trial)
            ratios.append(ours / plain)
            notes = f"{ours:.2g}/s against {plain:.2g}/s; {ours * normals / 1e6:.0f} M normals/s"
        row(what, ratios, wanted, notes)


if __name__ == "__main__":
    main()
