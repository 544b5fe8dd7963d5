"""How much faster gradient descent is here than in the plain loop that one would write: `python benchmarks/descent.py`.

The yardstick takes the same steps from the same weights on the same data, one run at a time, logging nothing: as lean
as autograd allows (the product, the mean square, `torch.autograd.grad`, one in-place update a factor), and as usual
(`backward`, `torch.optim.SGD`). Both sides use one thread. They alternate
within each repetition, and the ratio of each pair is taken, so that a busy machine slows both; the lowest and the
median ratio are printed. The last losses are compared, to be sure that the steps are the same.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from engine.descent.batched_step import BatchedStep
from engine.descent.descent import Descent
from engine.descent.inits import initial_factors
from engine.models.activations import activation
from engine.models.factorization import end_to_end_matrix
from engine.problems.problem import EntryOperator, Problem, make_problem
from engine.spec.settings import PointSettings

SEEDS = range(8)
CPU = torch.device("cpu")
REPETITIONS = 9
LOGGING_REPETITIONS = 41


def point(problem: dict[str, object], model: dict[str, object], gd: dict[str, object]) -> PointSettings:
    return PointSettings.model_validate({"problem": problem, "model": model, "gd": gd})


def plain(settings: PointSettings, problem: Problem, seed: int, steps: int, *, usual: bool = False) -> float:
    """The plain loop for one seed; the last training loss.

    As lean as autograd allows, or, if `usual`, as in the tutorials: `backward` and `torch.optim.SGD`.
    """
    weights = [factor[0].clone().requires_grad_() for factor in initial_factors(settings, [seed])]
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
            measured = operator.matrices[seed] @ matrix.flatten()
        return (measured - targets).square().mean()

    for _ in range(steps):
        if usual:
            optimizer.zero_grad()
            training_loss().backward()
            optimizer.step()
            continue
        gradients = torch.autograd.grad(training_loss(), weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= rate * gradient
    return float(training_loss().detach())


def timed(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    function()
    return clock() - start


def batched(settings: PointSettings, problem: Problem) -> tuple[Descent, BatchedStep]:
    descent = Descent({0: settings}, SEEDS, problem, CPU)
    state, _ = descent.init()
    descent._steps.load(0, state.weights, state.optimizer)
    return descent, descent._steps


def report(name: str, ratios: list[float], target: str) -> None:
    print(f"{name:62} median {statistics.median(ratios):7.2f}  min {min(ratios):7.2f}   {target}", flush=True)


def against_plain(name: str, settings: PointSettings, steps: int, plain_steps: int, target: str) -> None:
    """Run-steps a second of all seeds as one batch over those of the plain loop."""
    problem = make_problem(settings.problem, SEEDS)
    same_steps(settings, problem)
    _, ours = batched(settings, problem)
    for usual, kind in ((False, "lean"), (True, "usual")):
        ratios = []
        for repetition in range(REPETITIONS):
            seed = SEEDS[repetition % len(SEEDS)]
            start = time.perf_counter()
            plain(settings, problem, seed, plain_steps, usual=usual)
            theirs = (time.perf_counter() - start) / plain_steps
            ratios.append(theirs / (timed(lambda: ours.run(steps)) / steps / len(SEEDS)))
        report(f"{name}, {kind} loop", ratios, target)


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


def logging(name: str, settings: PointSettings, target: str) -> None:
    """Processor time of a whole descent, all its rows included, over that of its steps alone: short runs, many pairs.

    What differs by a few percent drowns in the wall-clock times of a busy machine.
    """
    problem = make_problem(settings.problem, SEEDS)
    _, ours = batched(settings, problem)
    descent = Descent({0: settings}, SEEDS, problem, CPU)

    def whole() -> None:
        state, _ = descent.init()
        while descent.fraction(state) < 1:
            state, _ = descent.step(state)
        descent.finish(state)

    def bare() -> None:
        ours.run(settings.gd.steps)

    ratios = []
    for repetition in range(LOGGING_REPETITIONS):
        first, second = (bare, whole) if repetition % 2 else (whole, bare)
        times = {first: timed(first, time.process_time), second: timed(second, time.process_time)}
        ratios.append(times[whole] / times[bare])
    report(name, ratios, target)


def against_products(name: str, settings: PointSettings, steps: int, target: str) -> None:
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
        for left, right, out in shapes:
            torch.bmm(left, right, out=out)

    ratios = []
    for _ in range(REPETITIONS):
        bare = timed(lambda: [products() for _ in range(steps)])
        ratios.append(timed(lambda: ours.run(steps)) / bare)
    report(name, ratios, target)


def main() -> None:
    torch.set_num_threads(1)
    tiny = {"learning_rate": 0.05, "init_scale": 0.1}
    wide = point({}, {"width": 40}, tiny)
    deep = point({}, {"width": 5, "depth": 10}, {**tiny, "init_scale": 1.0})
    print("run-steps a second, 8 seeds as one batch over the plain loop:")
    against_plain("5×5, 15 measurements, linear, width 40, depth 2", wide, 4_000, 1_000, "target ≥ 150")
    against_plain("5×5, 15 measurements, linear, width 5, depth 10", deep, 1_500, 300, "target ≥ 30")
    entries = {"kind": "completion", "rows": 100, "columns": 100, "rank": 5, "norm": 100.0, "measurements": 2_000}
    large = point(entries, {"width": 100, "depth": 3}, {"learning_rate": 0.1, "init_scale": 0.1})
    against_plain("100×100, 2,000 entries, width 100, depth 3", large, 10, 10, "target > 1")
    print("time of a step over that of its bare products:")
    against_products("100×100, 2,000 entries, width 100, depth 3", large, 10, "target ≤ 1.5")
    print("time of a descent with all diagnostics logged every 100 steps over that of its steps:")
    logged = {**tiny, "steps": 13_000, "log_every": 100}
    predicted = {**logged, "init": "balanced", "predict_from": 0}
    narrow = {"width": 5, "depth": 10}
    logging("width 40, depth 2", point({}, {"width": 40}, logged), "target ≤ 1.10")
    logging("width 5, depth 10", point({}, narrow, {**logged, "steps": 4_000}), "target ≤ 1.10")
    print("the same with theory beside it, rates and course (off unless gd.predict_from asks for it):")
    logging("width 40, depth 2", point({}, {"width": 40}, predicted), "no target")
    logging("width 5, depth 10", point({}, narrow, {**predicted, "steps": 4_000}), "no target")


if __name__ == "__main__":
    main()
