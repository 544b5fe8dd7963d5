"""How the cost grows with width, depth, number of data sets, ε and matrix size, as exponents, and what limits it.

    python benchmarks/scaling.py [--repetitions 5] [--quick] [--json]

Seconds for a step of gradient descent (all data sets as one batch), for a literal guess, and for an effective sample of
the conditional sampler and of splitting, on one core, at sizes over a decade or more. The exponent is that of a power
law through all of them (`engine.analysis.line_fit`); low and high are its 95 % interval over the repetitions, each of
which goes through all sizes, for samplers on a data set of its own. If the lower and the upper half of the sizes differ
in their exponents, the row says so: the one exponent is then a summary, not a law.

What limits: the parts of the step or of a block of guesses are run alone, at the largest size, and their share of the
whole is told; what is left is "the rest". The calls are as many operations on matrices of 1×1. Effective samples are
told as features (or guesses) a sample, times the time of one.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import torch
from _harness import arguments_of, run, seconds
from descent import batched
from samplers import point as guess_point

from engine.analysis.line_fit import Means, bend, fit_law
from engine.models.factorization import factor_shapes
from engine.parallel import keep_freed_memory, limit_cores
from engine.problems.problem import make_problem
from engine.randomness import Stream
from engine.samplers import SAMPLERS, splitting
from engine.samplers.collapse import covariance_factor
from engine.samplers.conditional import BLOCKS_PER_STEP, DRAWS_PER_FEATURE, NOISE_PER_THRESHOLD
from engine.samplers.conditioning import Conditioner
from engine.samplers.interface import Sampler, Target
from engine.spec.names import SamplerName
from engine.spec.settings import PointSettings
from mftui.benchmark import Row, number

REPETITIONS, QUICK_REPETITIONS = 5, 3
TIMED_SECONDS, QUICK_TIMED_SECONDS = 0.1, 0.02
"""that one timing lasts at least"""
SAMPLES, QUICK_SAMPLES = 2_000, 200
SEEDS = 8
FEWEST_SAMPLES = 100
"""effective ones, below which an estimate of their number is noise"""
TURNS = 3
"""of the whole and its parts, so that a busy machine slows both"""
Timed = Callable[[], float]
"""seconds of something, measured anew"""


@dataclass(frozen=True)
class Effort:
    """At the quickest, or in full."""

    repetitions: int
    timed_seconds: float
    samples: int
    full: bool


def exponent(name: str, sizes: Sequence[float], costs: Sequence[Sequence[float]], note: str) -> Row:
    """The power law through costs in seconds, one list a repetition."""
    x, values = np.array(sizes, np.float64), np.array(costs)
    means, chosen = Means.of(values), np.ones(len(x), np.bool_)
    fit, halves = fit_law("logarithmic", x, means, chosen), bend("logarithmic", x, means, chosen)
    low, high = halves or (fit, fit)
    differs = f"; no single power: {low.slope:.2f} in the lower half, {high.slope:.2f} in the upper" if halves else ""
    return Row(
        f"{name}, {number(sizes[0])} to {number(sizes[-1])}: exponent",
        fit.slope,
        "",
        fit.slope - fit.slope_reach,
        fit.slope + fit.slope_reach,
        note=f"{time_of(means.mean[0])} to {time_of(means.mean[-1])}{differs}; {note}",
    )


def time_of(took: float) -> str:
    unit, factor = next(((u, f) for u, f in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)) if took * f >= 1), ("ns", 1e9))
    return f"{number(took * factor)} {unit}"


def limit(where: str, whole: Timed, parts: Mapping[str, Timed], rest: str = "the rest") -> str:
    """What takes most of the time, with its share, and what the others take."""
    turns = [(whole(), {name: part() for name, part in parts.items()}) for _ in range(TURNS)]
    shares = {name: statistics.median(took[name] / entire for entire, took in turns) for name in parts}
    shares[rest] = max(0.0, 1 - sum(shares.values()))
    (first, most), *others = sorted(shares.items(), key=lambda item: -item[1])
    listed = ", ".join(f"{name} {share:.0%}" for name, share in others)
    return f"at {where} limited by {first} ({most:.0%}; {listed})"


# --- gradient descent ------------------------------------------------------------------------------------------------


def rate(operate: Callable[[int], object], timed_seconds: float) -> float:
    """Seconds of one of as many operations as last long enough."""
    count = 1
    while (took := seconds(partial(operate, count))) < timed_seconds:
        count = max(2 * count, min(100 * count, math.ceil(1.2 * count * timed_seconds / max(took, 1e-9))))
    return took / count


def gd_settings(problem: dict[str, Any], model: dict[str, Any]) -> PointSettings:
    """Steps of a size that goes nowhere: their cost does not depend on where they are."""
    gd = {"learning_rate": 1e-6, "init_scale": 1.0}
    return PointSettings.model_validate({"problem": problem, "model": model, "gd": gd})


def gd_axis(name: str, sizes: Sequence[int], at: Callable[[int], tuple[PointSettings, int]], effort: Effort) -> Row:
    """`at` gives the settings and the number of data sets at a size."""
    steps = []
    for size in sizes:
        settings, seeds = at(size)
        steps.append(batched(settings, make_problem(settings.problem, range(seeds)), range(seeds))[1])
    costs = [[rate(step.run, effort.timed_seconds) for step in steps] for _ in range(effort.repetitions)]
    operations = steps[-1]._operations
    products = [each for each in operations if _is_product(each)]
    calls = [partial(np.multiply, *(np.ones((1, 1)) for _ in range(3))) for _ in operations]
    if steps[-1]._backend is torch:
        calls = [partial(torch.mul, torch.ones(1, 1), torch.ones(1, 1), out=torch.ones(1, 1)) for _ in operations]

    def beyond_calls(part: Sequence[Callable[[], object]]) -> float:
        empty = len(part) / len(calls) * rate(partial(_repeat, calls), effort.timed_seconds)
        return max(0.0, rate(partial(_repeat, part), effort.timed_seconds) - empty)

    parts: dict[str, Timed] = {
        "matrix products": partial(beyond_calls, products),
        "the update of the weights": partial(beyond_calls, operations[-1:]),
        f"the calls of {len(calls)} operations": partial(rate, partial(_repeat, calls), effort.timed_seconds),
    }
    whole = partial(rate, steps[-1].run, effort.timed_seconds)
    return exponent(f"a step of gradient descent against {name}", sizes, costs, limit(str(sizes[-1]), whole, parts))


def _is_product(operate: Callable[[], object]) -> bool:
    return isinstance(operate, partial) and getattr(operate.func, "__name__", "") == "matmul"


def _repeat(operations: Sequence[Callable[[], object]], times: int) -> None:
    for part in repeat(operations, times):
        for operate in part:
            operate()


def gradient_descent(effort: Effort) -> Iterator[Row]:
    def deep(width: int) -> tuple[PointSettings, int]:
        return gd_settings({}, {"width": width, "depth": 3}), SEEDS

    def shallow(width: int) -> tuple[PointSettings, int]:
        return gd_settings({}, {"width": width}), SEEDS

    def at_depth(depth: int) -> tuple[PointSettings, int]:
        return gd_settings({}, {"depth": depth}), SEEDS

    def with_seeds(seeds: int) -> tuple[PointSettings, int]:
        return gd_settings({}, {"width": 40, "activation": "tanh"}), seeds

    def of_size(size: int) -> tuple[PointSettings, int]:
        entries = {"kind": "completion", "rows": size, "columns": size, "measurements": size**2 // 4}
        return gd_settings(entries, {"width": size, "depth": 3}), SEEDS

    yield gd_axis("width, 5×5, linear, depth 3, 8 seeds", [16, 32, 64, 128, 256], deep, effort)
    yield gd_axis("width, 5×5, linear, depth 2, 8 seeds", [10, 40, 160, 640, 2560], shallow, effort)
    yield gd_axis("depth, 5×5, linear, width 5, 8 seeds", [2, 4, 8, 16, 32], at_depth, effort)
    yield gd_axis("seeds, 5×5, tanh, width 40, depth 2", [1, 4, 16, 64, 256], with_seeds, effort)
    sizes = [16, 32, 64, 128, 256] if effort.full else [8, 16, 32, 64, 128]
    yield gd_axis("m = n = width, a quarter of the entries, depth 3, 8 seeds", sizes, of_size, effort)


# --- samplers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Guesses:
    """What a sampler did on one data set."""

    seconds: float
    draws: int
    samples: float
    """effective ones"""
    steps: int
    log10_acceptance: float

    @property
    def seconds_a_sample(self) -> float:
        return self.seconds / self.samples

    @property
    def seconds_a_draw(self) -> float:
        return self.seconds / self.draws


def guess(settings: PointSettings, seed: int) -> Guesses:
    """A trial with the sampler that the settings name, to its end."""
    trial = _target(settings, seed)
    sampler = SAMPLERS[settings.gnc.sampler]
    states = [sampler.step(trial, sampler.init(trial))]  # once before, for what is made on first use

    def work() -> None:
        states[0] = sampler.init(trial)
        while sampler.fraction(trial, states[0]) < 1:
            states[0] = sampler.step(trial, states[0])

    took = seconds(work)
    record = sampler.record(trial, states[0])
    if settings.gnc.sampler != "rejection" and record.effective_sample_size < FEWEST_SAMPLES / 2:
        raise RuntimeError(f"{settings.gnc.sampler}: {record.advice}")
    acceptance = record.log10_acceptance.value
    return Guesses(
        took, record.draws, record.effective_sample_size, states[0].step, math.nan if acceptance is None else acceptance
    )


def _target(settings: PointSettings, seed: int) -> Target:
    return Target(settings, seed, make_problem(settings.problem, [seed]), torch.device("cpu"))


def sampler_axis(
    name: str, sizes: Sequence[float], at: Callable[[Any], PointSettings], effort: Effort
) -> tuple[Row, list[list[Guesses]]]:
    """The row of the seconds for an effective sample; and all that was guessed, a list for each data set."""
    found = [[guess(at(size), seed) for size in sizes] for seed in range(effort.repetitions)]
    features = [statistics.median(each[place].draws / each[place].samples for each in found) for place in (0, -1)]
    a_draw = [statistics.median(each[place].seconds_a_draw for each in found) for place in (0, -1)]
    settings = at(sizes[-1])
    note = (
        f"{number(features[0])} to {number(features[1])} guesses a sample, "
        f"each {time_of(a_draw[0])} to {time_of(a_draw[1])}"
    )
    limits = {"conditional": conditional_limit, "splitting": splitting_limit}
    note += "; " + limits[settings.gnc.sampler](settings, found[0][-1], number(sizes[-1]), effort)
    costs = [[each.seconds_a_sample for each in guesses] for guesses in found]
    return exponent(f"an effective sample, {settings.gnc.sampler}, against {name}", sizes, costs, note), found


def conditional_limit(settings: PointSettings, guesses: Guesses, where: str, effort: Effort) -> str:
    """What a block of features spends its time on."""
    problem, trial, sampler = settings.problem, _target(settings, 0), SAMPLERS["conditional"]
    entries, features = (problem.rows, problem.columns), guesses.draws // guesses.steps
    design = trial.problem.measurements.dense(math.prod(entries))[0].double().view(-1, *entries)
    conditioner = Conditioner(design, trial.problem.targets[0].double(), NOISE_PER_THRESHOLD * settings.gnc.eps_train)
    stream = Stream(0, "gnc", 0)
    factor = covariance_factor(settings, stream, features)
    covariance = conditioner.measurement_covariance(factor)
    parts: dict[str, Callable[[], object]] = {"hidden features": lambda: covariance_factor(settings, stream, features)}
    name = f"the {len(design)}×{len(design)} covariances of the measurements"
    parts[name] = lambda: conditioner.measurement_covariance(factor)
    rest = "the resampled directions and their weights"
    if not settings.gnc.normalize:
        posterior = conditioner.condition(factor, covariance)
        repeated = posterior.select(torch.arange(features).repeat(DRAWS_PER_FEATURE))
        parts["their Cholesky factors"] = lambda: conditioner.condition(factor, covariance)
        parts["drawing W"] = lambda: conditioner.draw(repeated, stream)
        rest = "weights and losses of the draws"
    timed: dict[str, Timed] = {
        name: partial(rate, partial(_times, part), effort.timed_seconds) for name, part in parts.items()
    }

    def block() -> float:
        return rate(partial(_times, lambda: sampler.step(trial, sampler.init(trial))), 0) / BLOCKS_PER_STEP

    said = limit(where, block, timed, rest)
    kept = max(0.0, 1 - block() / (guesses.seconds / guesses.steps))
    return f"{said}; besides, {kept:.0%} of the trial goes to keeping and weighing what passed"


def splitting_limit(settings: PointSettings, guesses: Guesses, where: str, effort: Effort) -> str:
    """What a move of all particles spends its time on, and the trial beside moves."""
    trial, sampler = _target(settings, 0), SAMPLERS["splitting"]
    state = sampler.step(trial, sampler.step(trial, sampler.init(trial)))  # particles, and a first threshold
    chunks = [state.latent[:, chunk] for chunk in splitting._chunks(trial)]

    def normals() -> object:
        return [Stream(0, "gnc", 0).normal(*chunk.shape, dtype=trial.dtype) for chunk in chunks]

    def losses() -> object:
        return [trial.training_loss(splitting._columns(trial, chunk)) for chunk in chunks]

    timed: dict[str, Timed] = {
        name: partial(rate, partial(_times, part), effort.timed_seconds)
        for name, part in {"normals": normals, "products and losses": losses}.items()
    }
    move = partial(rate, partial(_times, lambda: sampler.step(trial, state)), effort.timed_seconds)
    said = limit(where, move, timed, "proposing and accepting")
    beside = max(0.0, 1 - move() * guesses.draws / len(state.losses) / guesses.seconds)
    return f"{said}; besides, {beside:.0%} of the trial goes to thresholds, copies and keeping what passed"


def _times(function: Callable[[], object], times: int) -> None:
    for _ in range(times):
        function()


def conditional(effort: Effort) -> Iterator[Row]:
    common: dict[str, Any] = {"sampler": "conditional", "effective_samples": effort.samples}

    def linear(width: int) -> PointSettings:
        return guess_point(**common, width=width)

    def tanh(width: int) -> PointSettings:
        return guess_point(**common, width=width, activation="tanh")

    def deep(depth: int) -> PointSettings:
        fewer = max(FEWEST_SAMPLES, effort.samples // 4)
        return guess_point(**{**common, "effective_samples": fewer}, depth=depth, normalize=True, eps_train=0.0035)

    def of_size(size: int) -> PointSettings:
        problem = {"rows": size, "columns": size, "measurements": 3 * size}
        settings = guess_point(**common, width=8 * size, eps_train=0.5 / size**2)
        return PointSettings.model_validate({**settings.model_dump(), "problem": problem})

    yield sampler_axis("width, 5×5, linear, depth 2", [10, 30, 100, 300, 1000], linear, effort)[0]
    yield sampler_axis("width, 5×5, tanh, depth 2", [10, 30, 100, 300, 1000], tanh, effort)[0]
    yield sampler_axis("depth, 5×5, linear, width 5, normalized", [2, 4, 8, 20], deep, effort)[0]
    name = "m = n, 3m measurements, linear, width 8m, ε = 0.5/m²"
    yield sampler_axis(name, [2, 4, 8, 16, 24][: 5 if effort.full else 4], of_size, effort)[0]


def thresholds(effort: Effort) -> Iterator[Row]:
    """Against 1/ε, so that the exponent says how much dearer a smaller ε is."""
    inverse = [10.0, 100.0, 1e3, 1e4, 1e5]

    def at(over: float) -> PointSettings:
        return guess_point(width=40, effective_samples=effort.samples, sampler="conditional", eps_train=1 / over)

    row, found = sampler_axis("1/ε, 5×5, linear, width 40, depth 2", inverse, at, effort)
    yield row
    plain = literal_point(width=40)
    guesses = literal_guess(plain, effort)
    costs = [[guesses / 10**each.log10_acceptance for each in trial] for trial in found]
    rarest = statistics.median(trial[-1].log10_acceptance for trial in found)
    note = (
        f"{time_of(guesses)} a guess, times 1/P as the conditional sampler estimates it: too long to be waited for; "
        f"at {number(inverse[-1])} limited by how rare a fit is (one guess in {number(10**-rarest)}): a guess itself "
        f"costs the same at every ε and is {literal_limit(plain, 'width 40', effort)}"
    )
    yield exponent("an effective sample, rejection, against 1/ε, 5×5, linear, width 40, depth 2", inverse, costs, note)
    few = max(FEWEST_SAMPLES, effort.samples // 10)

    def split(over: float) -> PointSettings:
        return guess_point(sampler="splitting", effective_samples=few, eps_train=1 / over)

    sizes = [10.0, 30.0, 100.0, 300.0, 1e3] if effort.full else [10.0, 30.0, 100.0]
    yield sampler_axis("1/ε, 5×5, linear, width 5, depth 2", sizes, split, effort)[0]


# --- literal guesses -------------------------------------------------------------------------------------------------


def literal_point(**fields: Any) -> PointSettings:
    """Guesses that never fit, so that nothing is kept."""
    return guess_point(**fields, sampler="rejection", eps_train=1e-12, draws=1_000_000_000)


def literal_guess(settings: PointSettings, effort: Effort) -> float:
    """Seconds of one guess that is drawn, multiplied and tested."""
    trial, sampler = _target(settings, 0), SAMPLERS["rejection"]
    state = [sampler.step(trial, sampler.init(trial))]
    draws: int = state[0].draws

    def work(times: int) -> None:
        for _ in range(times):
            state[0] = sampler.step(trial, state[0])

    return rate(work, effort.timed_seconds) / draws


def literal_limit(settings: PointSettings, where: str, effort: Effort) -> str:
    """What a literal guess spends its time on."""
    normals = sum(rows * columns for rows, columns in factor_shapes(settings))
    many = max(1, (1 << 21) // normals)
    draw = partial(rate, partial(_times, partial(_normals, normals, many)), effort.timed_seconds)
    parts: dict[str, Timed] = {f"{normals:,} normals": lambda: draw() / many}
    return limit(where, partial(literal_guess, settings, effort), parts, "products and losses")


def literal(effort: Effort) -> Iterator[Row]:
    def of_size(size: int) -> PointSettings:
        problem = {"rows": size, "columns": size, "measurements": 3 * size}
        return PointSettings.model_validate({**literal_point(width=size).model_dump(), "problem": problem})

    axes: dict[str, tuple[list[int], Callable[[int], PointSettings]]] = {
        "width, 5×5, linear, depth 2": ([5, 15, 50, 150, 500], lambda width: literal_point(width=width)),
        "depth, 5×5, linear, width 5": ([2, 4, 8, 20], lambda depth: literal_point(depth=depth)),
        "m = n = width, 3m measurements, linear, depth 2": ([4, 8, 16, 32, 64], of_size),
    }
    for name, (sizes, at) in axes.items():
        costs = [[literal_guess(at(size), effort) for size in sizes] for _ in range(effort.repetitions)]
        note = literal_limit(at(sizes[-1]), str(sizes[-1]), effort)
        yield exponent(f"a literal guess against {name}", sizes, costs, note)


def data_sets(effort: Effort) -> Iterator[Row]:
    """Guessing against the number of data sets, on one core: a block of each in turn."""
    sizes = [1, 2, 4, 8]
    names: tuple[SamplerName, ...] = ("rejection", "conditional")
    for name in names:
        settings, sampler = guess_point(width=40, sampler=name), SAMPLERS[name]
        trials = [_target(settings, seed) for seed in range(sizes[-1])]

        def blocks(trials: Sequence[Target], sampler: Sampler = sampler) -> float:
            return seconds(lambda: [sampler.step(trial, sampler.init(trial)) for trial in trials])

        blocks(trials)  # once before, for what is made on first use
        costs = [[blocks(trials[:size]) for size in sizes] for _ in range(effort.repetitions)]
        alone: dict[str, Timed] = {
            "the guesses of each alone": lambda b=blocks, t=trials: sum(b([trial]) for trial in t)  # type: ignore[misc]
        }
        note = limit(f"{sizes[-1]} data sets", partial(blocks, trials), alone)
        yield exponent(f"guesses, {name}, against data sets, 5×5, linear, width 40, depth 2", sizes, costs, note)


def _normals(count: int, batch: int) -> None:
    Stream(0, "gnc", 0).normal(count, batch, dtype=torch.float32)


def rows(given: argparse.Namespace) -> Iterator[Row]:
    torch.set_num_threads(1)
    limit_cores(1)
    keep_freed_memory()  # as workers do
    effort = Effort(given.repetitions, TIMED_SECONDS, SAMPLES, True)
    if given.quick:
        effort = Effort(QUICK_REPETITIONS, QUICK_TIMED_SECONDS, QUICK_SAMPLES, False)
    yield from gradient_descent(effort)
    yield from literal(effort)
    yield from data_sets(effort)
    yield from conditional(effort)
    yield from thresholds(effort)


if __name__ == "__main__":
    parser = arguments_of(__doc__)
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, choices=range(3, 100), metavar="N ≥ 3")
    run(parser, rows)
