"""What a GPU is worth: the same code on it and on this machine's CPU, and plain loops on it.

    python benchmarks/gpu.py [--repetitions 5] [--device cuda] [--quick] [--json]

Run-steps of gradient descent a second, of eight data sets and of a thousand, and what logging adds; literal guesses and
effective samples a second. Each is the ratio of a pair of turns, so that what else the machine does slows both. Without
a GPU there is one row, which says why.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from _harness import arguments_of, run, seconds
from descent import CPU, LARGE, TINY, WIDE, batched, made, overheads, plain, point
from descent import DEEP as DEEP_MODEL
from samplers import (
    DEEP,
    PLAIN_BATCH,
    effective_samples_per_second,
    literal_guesses_per_second,
    plain_guesses_per_second,
    target,
)
from samplers import point as guess_point

from engine.descent import batched_step
from engine.parallel import keep_freed_memory
from engine.problems.problem import make_problem
from engine.spec.settings import PointSettings
from mftui.benchmark import Row

REPETITIONS, QUICK_REPETITIONS = 5, 2
QUICK = 5
"""times fewer draws, samples and steps"""
GUESSES: dict[str, dict[str, Any]] = {
    "width 5, depth 2, linear": {},
    "width 40, depth 2, tanh": {"width": 40, "activation": "tanh"},
    "width 5, depth 10, tanh, normalized": {**DEEP, "activation": "tanh"},
}
DRAWS, CPU_DRAWS, SAMPLES = 200_000_000, 2_000_000, 20_000
STEPS = 1_000


def pairs(first: Callable[[], float], second: Callable[[], float], repetitions: int) -> list[float]:
    """Ratios of two rates, after a turn that doesn't count."""
    first(), second()
    return [first() / second() for _ in range(repetitions)]


def literal(device: torch.device, repetitions: int, fewer: int) -> Iterator[Row]:
    for name, fields in GUESSES.items():

        def rate(where: torch.device, draws: int, fields: dict[str, Any] = fields) -> float:
            settings = guess_point(**{**fields, "eps_train": 1e-9}, sampler="rejection", draws=draws // fewer)
            return literal_guesses_per_second(target(settings, where))

        def plainly(fields: dict[str, Any] = fields) -> float:
            batches = max(1, DRAWS // PLAIN_BATCH // fewer // 50)
            return plain_guesses_per_second(guess_point(**fields), batches, device)

        ours = partial(rate, device, DRAWS)
        what = f"literal guesses a second: {name}"
        yield Row.of(what, pairs(ours, plainly, repetitions), "×", against=f"the plain loop on {device}")
        yield Row.of(what, pairs(ours, partial(rate, CPU, CPU_DRAWS), repetitions), "×", against="all cores of the CPU")


def posterior(device: torch.device, repetitions: int, fewer: int) -> Iterator[Row]:
    for name, fields in list(GUESSES.items())[1:]:

        def rate(where: torch.device, fields: dict[str, Any] = fields) -> float:
            samples = SAMPLES // fewer // (10 if "normalize" in fields else 1)
            settings = guess_point(**fields, sampler="conditional", effective_samples=samples)
            return effective_samples_per_second(target(settings, where), "conditional")[0]

        ratios = pairs(partial(rate, device), partial(rate, CPU), repetitions)
        yield Row.of(f"effective samples a second: {name}", ratios, "×", against="all cores of the CPU")


def descent(device: torch.device, repetitions: int, fewer: int) -> Iterator[Row]:
    tanh = point({}, {"width": 40, "activation": "tanh"}, TINY)
    for name, settings, seeds, cheaper, at_least in (
        ("5×5, linear, width 40, depth 2", WIDE, range(8), 1, 5.0),
        ("5×5, tanh, width 40, depth 2", tanh, range(8), 1, 5.0),
        ("5×5, linear, width 5, depth 10", DEEP_MODEL, range(8), 2, 5.0),
        ("5×5, linear, width 40, depth 2", WIDE, range(1000), 10, None),
        ("100×100, 2,000 entries, width 100, depth 3", LARGE, range(8), 20, None),
    ):
        steps = STEPS // fewer // cheaper
        what = f"run-steps a second, {len(seeds):,} seeds: {name}"
        here, there = (run_steps_per_second(settings, seeds, where, steps) for where in (device, CPU))
        with patch.object(batched_step, "_record", lambda *_: None):
            unrecorded = run_steps_per_second(settings, seeds, device, steps)
        ratios = pairs(here, unrecorded, repetitions)
        yield Row.of(what, ratios, "×", against="the same operations, not as a CUDA graph", at_least=at_least)
        yield Row.of(what, pairs(here, there, repetitions), "×", against="a core of the CPU")
        eager = partial(plain_steps_per_second, settings, device, max(10, steps // 10))
        yield Row.of(what, pairs(here, eager, repetitions), "×", against=f"the lean plain loop on {device}")
    for name, settings, steps in (
        ("width 40, depth 2", WIDE, 100_000),
        ("width 5, depth 10", DEEP_MODEL, 20_000),
        ("100×100, width 100, depth 3", LARGE, 4_000),
    ):
        gd = settings.gd.model_copy(update={"steps": steps // fewer, "log_every": 100})
        yield logging(name, settings.model_copy(update={"gd": gd}), device, repetitions)


def run_steps_per_second(
    settings: PointSettings, seeds: Sequence[int], device: torch.device, steps: int
) -> Callable[[], float]:
    ours = batched(settings, make_problem(settings.problem, seeds), seeds, device)[1]
    return lambda: steps * len(seeds) / seconds(partial(made, ours, steps))


def logging(name: str, settings: PointSettings, device: torch.device, repetitions: int) -> Row:
    """Wall-clock time of whole descents over that of their steps alone."""
    ratios = overheads(settings, device, time.perf_counter, repetitions)
    return Row.of(f"a descent, logged every 100 steps: {name}", ratios, "×", against="its steps alone")


def plain_steps_per_second(settings: PointSettings, device: torch.device, steps: int) -> float:
    problem = make_problem(settings.problem, [0]).to(device, torch.float64)
    return steps / seconds(lambda: plain(settings, problem, 0, steps, device=device))


def rows(given: argparse.Namespace) -> Iterator[Row]:
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        from engine.runs.environment import report

        yield Row("what a GPU is worth", None, note=report()["why_no_cuda"])
        return
    torch.set_num_threads(1)
    keep_freed_memory()  # as workers do
    repetitions, fewer = (QUICK_REPETITIONS, QUICK) if given.quick else (given.repetitions, 1)
    yield from descent(device, repetitions, fewer)
    yield from literal(device, repetitions, fewer)
    yield from posterior(device, repetitions, fewer)


if __name__ == "__main__":
    parser = arguments_of(__doc__)
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--device", default="cuda")
    run(parser, rows)
