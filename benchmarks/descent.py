"""How much faster gradient descent is here than in the plain loop that one would write.

    python benchmarks/descent.py [--quick] [--json]

The yardstick takes the same steps from the same weights on the same data, one run at a time, logging nothing: as lean
as autograd allows (the product, the mean square, `torch.autograd.grad`, one in-place update a factor), and as usual
(`backward`, `torch.optim.SGD`). Both sides use one thread. They alternate within each repetition, and the ratio of each
pair is taken, so that a busy machine slows both. The last losses are compared, to be sure that the steps are the same.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from _harness import arguments_of, run, seconds

from engine.descent.batched_step import BatchedStep
from engine.descent.descent import Descent
from engine.descent.inits import initial_factors
from engine.models.activations import activation
from engine.models.factorization import end_to_end_matrix
from engine.problems.problem import DenseOperator, EntryOperator, Problem, make_problem
from engine.spec.settings import PointSettings
from mftui.benchmark import Row

SEEDS = range(8)
CPU = torch.device("cpu")
REPETITIONS, QUICK_REPETITIONS = 9, 3
LOGGING_REPETITIONS, QUICK_LOGGING_REPETITIONS = 21, 1

TINY = {"learning_rate": 0.05, "init_scale": 0.1}
ENTRIES = {"kind": "completion", "rows": 100, "columns": 100, "rank": 5, "norm": 100.0, "measurements": 2_000}


def point(problem: dict[str, Any], model: dict[str, Any], gd: dict[str, Any]) -> PointSettings:
    return PointSettings.model_validate({"problem": problem, "model": model, "gd": gd})


WIDE = point({}, {"width": 40}, TINY)
DEEP = point({}, {"width": 5, "depth": 10}, {**TINY, "init_scale": 1.0})
LARGE = point(ENTRIES, {"width": 100, "depth": 3}, {"learning_rate": 0.1, "init_scale": 0.1})


def plain(
    settings: PointSettings, problem: Problem, seed: int, steps: int, *, usual: bool = False, device: torch.device = CPU
) -> float:
    """The plain loop for one seed; the last training loss.

    As lean as autograd allows, or, if `usual`, as in the tutorials: `backward` and `torch.optim.SGD`.
    """
    weights = [factor[0].to(device, copy=True).requires_grad_() for factor in initial_factors(settings, [seed])]
    operator, targets = problem.measurements, problem.targets[seed]
    rate = settings.gd.learning_rate
    assert rate != "auto"
    optimizer = torch.optim.SGD(weights, rate)

    def training_loss() -> torch.Tensor:
        matrix = weights[0]
        for factor in weights[1:]:
            matrix = factor @ matrix
        if isinstance(operator, EntryOperator):
            measured = matrix.flatten()[operator.indices[seed]]
        else:
            assert isinstance(operator, DenseOperator)
            measured = operator.matrices[seed] @ matrix.flatten()
        return (measured - targets).square().mean()

    for _ in range(steps):
        if usual:
            optimizer.zero_grad()
            training_loss().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            continue
        gradients = torch.autograd.grad(training_loss(), weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= rate * gradient
    return float(training_loss().detach())


def batched(
    settings: PointSettings, problem: Problem, seeds: Sequence[int] = SEEDS, device: torch.device = CPU
) -> tuple[Descent, BatchedStep]:
    """`problem` holds the data sets of `seeds`, on the CPU."""
    descent = Descent({0: settings}, seeds, problem, device)
    state, _ = descent.init()
    descent._steps.load(0, state.weights, state.optimizer)
    return descent, descent._steps


def against_plain(
    name: str, settings: PointSettings, steps: int, plain_steps: int, at_least: float, repetitions: int
) -> Iterator[Row]:
    """Run-steps a second of all seeds as one batch over those of the plain loop."""
    problem = make_problem(settings.problem, SEEDS)
    same_steps(settings, problem)
    _, ours = batched(settings, problem)
    for usual, kind in ((False, "lean"), (True, "usual")):
        ratios, rate = [], 0.0
        for repetition in range(repetitions):
            seed = SEEDS[repetition % len(SEEDS)]
            start = time.perf_counter()
            plain(settings, problem, seed, plain_steps, usual=usual)
            theirs = (time.perf_counter() - start) / plain_steps
            mine = seconds(lambda: ours.run(steps)) / steps / len(SEEDS)
            ratios.append(theirs / mine)
            rate = max(rate, 1 / mine)
        yield Row.of(
            f"run-steps a second, {kind} loop: {name}",
            ratios,
            "×",
            against=f"the {kind} plain loop",
            at_least=at_least,
            note=f"{len(SEEDS)} seeds as one batch; {rate:,.0f} run-steps a second at best",
        )


def same_steps(settings: PointSettings, problem: Problem, steps: int = 20) -> None:
    """Both sides must come to the same loss."""
    descent, ours = batched(settings, problem)
    ours.run(steps)
    for seed in SEEDS:
        matrix = end_to_end_matrix(
            [factor[seed : seed + 1] for factor in descent._layout.factors(ours.weights)], activation(settings.model)
        )
        mine = float(problem.one(seed).training_loss(matrix[:, None]))
        theirs = plain(settings, problem, seed, steps)
        assert abs(mine - theirs) <= 1e-9 * theirs, (mine, theirs)


def logging(name: str, settings: PointSettings, at_most: float | None, repetitions: int) -> Row:
    """Processor time of a whole descent, all its rows included, over that of its steps alone.

    Each stretch of steps is taken twice in turn, logged and bare, so that whatever else the machine does slows both:
    what differs by a few percent drowns in the wall-clock times of a busy machine.
    """
    ratios = overheads(settings, CPU, time.process_time, repetitions)
    low, high = interval_of_median(ratios)
    return Row(
        f"a descent, logged: {name}",
        statistics.median(ratios),
        "×",
        low,
        high,
        against="its steps alone",
        at_most=at_most,
        note=f"{repetitions} descents, 95 % interval of the median",
    )


def overheads(
    settings: PointSettings, device: torch.device, clock: Callable[[], float], repetitions: int
) -> list[float]:
    """What `overhead` comes to each time, after one that finds cold memory."""
    problem = make_problem(settings.problem, SEEDS)
    _, ours = batched(settings, problem, SEEDS, device)
    descent = Descent({0: settings}, SEEDS, problem, device)
    return [overhead(descent, ours, clock) for _ in range(repetitions + 1)][1:]


def overhead(descent: Descent, ours: BatchedStep, clock: Callable[[], float]) -> float:
    """Time of one descent over that of as many bare steps of `ours`."""
    start = clock()
    state, _ = descent.init()
    logged, bare = clock() - start, 0.0
    while descent.fraction(state) < 1:
        before, start = state.step, clock()
        state, _ = descent.step(state)
        ours.wait()  # for all that the device has to do
        logged += clock() - start
        bare += seconds(partial(made, ours, state.step - before), clock)
    return (logged + seconds(partial(descent.finish, state), clock)) / bare


def made(ours: BatchedStep, steps: int) -> None:
    """So many steps, to their end."""
    ours.run(steps)
    ours.wait()


def interval_of_median(values: Sequence[float]) -> tuple[float, float]:
    """Order statistics between which the median lies in 95 % of samples of any distribution; all, if they are few."""
    ordered, count = sorted(values), len(values)
    outside = 0
    while sum(math.comb(count, below) for below in range(outside + 1)) <= 0.025 * 2**count:
        outside += 1
    rank = max(outside - 1, 0)
    return ordered[rank], ordered[-1 - rank]


def against_products(name: str, settings: PointSettings, steps: int, at_most: float, repetitions: int) -> Row:
    """Time of a step over that of its matrix products alone, of the same library and shapes."""
    problem = make_problem(settings.problem, SEEDS)
    _, ours = batched(settings, problem)
    rows, columns, width, depth = (
        settings.problem.rows,
        settings.problem.columns,
        settings.model.width,
        settings.model.depth,
    )
    hidden, first, last = (
        torch.randn(len(SEEDS), *shape).double() for shape in ((width,) * 2, (width, columns), (rows, width))
    )
    features, matrix = torch.empty_like(first), first.new_empty(len(SEEDS), rows, columns)
    shapes = [(hidden, first, features)] * (3 * (depth - 2)) + [(last, first, matrix)]
    shapes += [(matrix, first.mT.contiguous(), torch.empty_like(last)), (last.mT.contiguous(), matrix, features)]

    def products() -> None:
        for _ in range(steps):
            for left, right, out in shapes:
                torch.bmm(left, right, out=out)

    ratios = []
    for _ in range(repetitions):
        bare = seconds(products)
        ratios.append(seconds(lambda: ours.run(steps)) / bare)
    return Row.of(f"a step: {name}", ratios, "×", against="its matrix products alone", at_most=at_most)


def rows(given: argparse.Namespace) -> Iterator[Row]:
    torch.set_num_threads(1)
    repetitions = QUICK_REPETITIONS if given.quick else REPETITIONS
    wide, deep = "5×5, 15 measurements, linear, width 40, depth 2", "5×5, 15 measurements, linear, width 5, depth 10"
    large = "100×100, 2,000 entries, width 100, depth 3"
    yield from against_plain(wide, WIDE, 4_000, 1_000, 150, repetitions)
    yield from against_plain(deep, DEEP, 1_500, 300, 30, repetitions)
    yield from against_plain(large, LARGE, 10, 10, 1, repetitions)
    yield against_products(large, LARGE, 10, 1.5, repetitions)
    yield from logged(QUICK_LOGGING_REPETITIONS if given.quick else LOGGING_REPETITIONS)


def logged(repetitions: int) -> Iterator[Row]:
    """With theory (off unless gd.predict_from asks for it): rates and course. As many steps as in the figures."""
    every = {**TINY, "log_every": 100}
    models = {"width 40, depth 2": ({"width": 40}, 100_000), "width 5, depth 10": ({"width": 5, "depth": 10}, 20_000)}
    for name, (model, steps) in models.items():
        settings = point({}, model, {**every, "steps": steps})
        yield logging(f"all diagnostics every 100 steps, {name}", settings, 1.1, repetitions)
    for name, (model, steps) in models.items():
        settings = point({}, model, {**every, "steps": steps, "init": "balanced", "predict_from": 0})
        yield logging(f"the same with theory beside it, {name}", settings, None, repetitions)


if __name__ == "__main__":
    run(arguments_of(__doc__), rows)
