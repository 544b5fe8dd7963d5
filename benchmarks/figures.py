"""What the paper's figures cost here, and what the published procedure would.

    python benchmarks/figures.py [--only width-tanh depth-tanh] [--quick] [--json]

Every preset of its Figures 1 to 11, a panel each; those of the momentum figures as published are Figures 1 and 2 again.
Ours: a preset with all its 8 data sets, run as `mftui run` does on all cores, with a home of its own, from the start of
its worker to its end (loading torch, about 2 s, is in it). Wanted: a width figure within 60 s, a depth figure within
180 s on 2 cores.

"G&C ±": the largest, over the sweep points, relative standard error of the plotted median that sampling alone makes.
Each data set's mean L_gen has a standard error s_i, which its sampler reports. Means are drawn anew around those
reported, N(mean_i, s_i²), 20,000 times (seeded); the standard deviation of their medians over the data sets, over the
median itself, is the number. How much the data sets differ is not in it: that is what the figure's bars show. Wanted:
under 5 %. "worst set ±" is the largest s_i/mean_i. Trials that are not reliable are counted.

Published: literal guessing, 10⁸ guesses × 8 data sets × 6 widths, or 10⁹ × 8 × 9 depths, with randn and bmm in batches
as the published code has it but on this CPU with all cores, and gradient descent by autograd, a data set at a time. A
slice of each is timed at every sweep point (10⁶ guesses, 300 steps) and multiplied up: hours, estimated, not run. For
Figures 1 and 2 only: the guesses of the others cost the same.

Of the two presets that README quotes there are also medians and quartiles over the data sets of the loss; and of Guess
& Check how many guesses go to one that fits, how many draws there were, those of the pilot with them, and how many
independent guesses that fit they are worth: medians over the data sets, with the least and the largest. `--quick` takes
3 data sets of these two, of the depths 2 and 10, and fewer guesses: its seconds and errors are not those of a figure,
and have no target.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _harness import arguments_of, run

from engine.results import TrialResult
from engine.spec.experiment import Experiment
from engine.spec.preset import load
from engine.spec.settings import METHOD_LABELS, Method
from mftui.benchmark import Row

ACTIVATIONS = ("linear", "tanh", "leaky-relu")
VARIANTS = {
    "width": ("", "-momentum", "-rank-2", "-uniform", "-completion"),
    "depth": ("", "-momentum", "-rank-2", "-uniform", "-completion", "-unnormalized"),
}
PRESETS = tuple(
    f"{axis}-{activation}{variant}"
    for axis, variants in VARIANTS.items()
    for variant in variants
    for activation in ACTIVATIONS
)
FIRST = tuple(f"{axis}-{activation}" for axis in VARIANTS for activation in ACTIVATIONS)
"""those of Figures 1 and 2"""
WANTED_SECONDS = {"width": 60, "depth": 180}
PUBLISHED_GUESSES = {"width": 10**8, "depth": 10**9}
SLICE_GUESSES, BATCH = 1_000_000, 100_000
SLICE_STEPS = 300
RESAMPLES = 20_000
MOST_ERROR = 0.05
QUICK_SEEDS, QUICK = 3, 10
"""data sets; times fewer guesses in a slice"""
IN_README: Mapping[str, list[str]] = {"width-linear": [], "depth-linear": ["model.depth=[2,10]"]}
"""presets that README quotes, and what of them --quick takes"""


@dataclass(frozen=True)
class Ours:
    seconds: float
    median_error: float
    """largest relative standard error of a median, from sampling alone"""
    worst_data_set_error: float
    unreliable: int
    """trials of G&C that did not end as finished and reliable"""
    trials: list[TrialResult]


def ours(experiment: Experiment) -> Ours:
    from engine.runs.directory import RunDirectory
    from mftui.live import LiveRun

    with tempfile.TemporaryDirectory() as home:
        os.environ["MFTUI_HOME"] = home
        directory = RunDirectory.create(experiment, "cpu", Path(home) / "run", workers=0)
        start = time.perf_counter()
        live = LiveRun.start(directory)
        try:
            while not live.over:
                live.poll()
                time.sleep(0.05)
            seconds = time.perf_counter() - start
        finally:
            live.stop()  # where this was interrupted; a run that is over isn't asked
            live.wait(10.0)
        assert live.state == "finished", live.message
    generator, of_medians, of_sets = np.random.default_rng(0), [], []
    guessed = [trial for trial in live.results if trial.method == "gnc"]
    for point in range(len(experiment.points)):
        losses = [t.guesses.generalization_loss for t in guessed if t.point == point and t.guesses]
        means = np.array([loss.mean for loss in losses if loss])
        errors = np.array([loss.standard_error for loss in losses if loss])
        if not len(means):
            of_medians.append(math.inf)
            continue
        medians = np.median(generator.normal(means, errors, (RESAMPLES, len(means))), axis=1)
        of_medians.append(float(medians.std() / np.median(means)))
        of_sets.append(float((errors / means).max()))
    unreliable = sum(t.outcome != "finished" or not (t.guesses and t.guesses.reliable) for t in guessed)
    return Ours(seconds, max(of_medians), max(of_sets, default=math.inf), unreliable, list(live.results))


def published(experiment: Experiment, fewer: int) -> tuple[float, float]:
    """Hours of guessing and of gradient descent, from slices at each sweep point."""
    import torch

    from engine.descent.inits import initial_factors
    from engine.models.activations import activation
    from engine.models.factorization import factor_shapes
    from engine.problems.problem import make_problem

    guesses, slice_guesses = PUBLISHED_GUESSES[experiment.name.split("-")[0]], SLICE_GUESSES // fewer
    guessing = descent = 0.0
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    for point in experiment.points:
        problem = make_problem(point.problem, [0])
        function, entries = activation(point.model).function, point.problem.rows * point.problem.columns
        design, targets = problem.measurements.dense(entries)[0].float().T.contiguous(), problem.targets[0].float()
        torch.randn(BATCH, 5, 5)  # the first allocation is not part of it
        start = time.perf_counter()
        for _ in range(slice_guesses // BATCH):
            product = torch.empty(0)
            for layer, (rows, columns) in enumerate(factor_shapes(point)):
                weights = torch.randn(BATCH, rows, columns) / math.sqrt(rows)
                product = torch.bmm(weights, function(product)) if layer else weights
            if point.gnc.normalize:
                product = product / (torch.linalg.matrix_norm(product, keepdim=True) + 1e-6)
            (((product.flatten(1) @ design - targets).square().mean(1)) < point.gnc.eps_train).sum().item()
        guessing += (time.perf_counter() - start) * guesses / slice_guesses * experiment.seeds

        layers = [factor[0].clone().float().requires_grad_() for factor in initial_factors(point, [0])]
        optimizer = torch.optim.SGD(layers, 1e-4)  # the step's rule costs little beside the gradient
        start = time.perf_counter()
        for _ in range(SLICE_STEPS):
            product = layers[0]
            for factor in layers[1:]:
                product = factor @ function(product)
            optimizer.zero_grad()
            (product.flatten() @ design - targets).square().mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        descent += (time.perf_counter() - start) * point.gd.steps / SLICE_STEPS * experiment.seeds
    return guessing / 3600, descent / 3600


def rows(given: argparse.Namespace) -> Iterator[Row]:
    for name in given.only or (IN_README if given.quick else PRESETS):
        experiment = load(name, [f"seeds={QUICK_SEEDS}", *IN_README.get(name, [])] if given.quick else [])
        yield from figure(experiment, quick=given.quick)


def figure(experiment: Experiment, *, quick: bool) -> Iterator[Row]:
    name, on = experiment.name, f"{experiment.seeds} data sets"
    found = ours(experiment)
    yield Row(
        f"{name}: from start to end",
        found.seconds,
        "s",
        on=on,
        at_most=None if quick else WANTED_SECONDS[name.split("-")[0]],
        note=f"{found.unreliable} trials of G&C not reliable",
    )
    yield Row(
        f"{name}: G&C ±, of a plotted median",
        found.median_error,
        "",
        on=on,
        at_most=None if quick else MOST_ERROR,
        note=f"worst data set {found.worst_data_set_error:.2%}",
    )
    if name in IN_README:
        yield from medians(experiment, found.trials)
        yield from guesses(experiment, found.trials)
    if name not in FIRST:
        return
    for what, hours in zip(("guessing", "descent"), published(experiment, QUICK if quick else 1), strict=True):
        note = f"{hours:,.1f} h, estimated from a slice of each sweep point"
        yield Row(
            f"{name}: published {what} on this CPU", 3600 * hours / found.seconds, "×", against="all of ours", note=note
        )


def medians(experiment: Experiment, trials: list[TrialResult]) -> Iterator[Row]:
    """Medians and quartiles over the data sets of the generalization loss."""
    methods: tuple[Method, ...] = ("gnc", "prior", "gd")
    for point in range(len(experiment.points)):
        for method in methods:
            of_point = [each for each in trials if (each.point, each.method) == (point, method)]
            losses = [each.generalization_loss for each in of_point if each.generalization_loss is not None]
            low, middle, high = np.quantile(losses, (0.25, 0.5, 0.75)).tolist()
            what = f"{experiment.name}, {experiment.label(point)}: loss of {METHOD_LABELS[method]}, quartiles"
            yield Row(what, middle, "", low, high, on=f"{len(losses)} data sets")


def guesses(experiment: Experiment, trials: list[TrialResult]) -> Iterator[Row]:
    """How rare a fit is, and what was drawn to sample it."""
    for point in range(len(experiment.points)):
        of_point = [each.guesses for each in trials if (each.point, each.method) == (point, "gnc")]
        records = [each for each in of_point if each is not None and each.log10_acceptance.value is not None]
        where, on = f"{experiment.name}, {experiment.label(point)}", f"{len(records)} data sets"
        if not records:
            yield Row(f"{where}: guesses per hit", None, note="no guess fits")
            continue
        per_hit = [10 ** -(each.log10_acceptance.value or 0.0) for each in records]
        yield Row.of(f"{where}: guesses per hit", per_hit, "", on=on)
        yield Row.of(f"{where}: draws of guesses", [each.draws for each in records], "", on=on)
        yield Row.of(f"{where}: effective samples", [each.effective_sample_size for each in records], "", on=on)


if __name__ == "__main__":
    parser = arguments_of(__doc__)
    parser.add_argument("--only", metavar="NAME", nargs="+", choices=PRESETS, help="these presets")
    run(parser, rows)
