"""What whole runs cost, in time and memory.

    python benchmarks/runs.py [--repetitions 3] [--quick] [--json]

The command of README, `mftui run width-linear --set seeds=2`, from start to results, with what its table says in three
ratios; the peak memory of a run's worker processes (each one's largest resident set, as the kernel counts it), of that
command and of completing a 1,000×1,000 matrix, for which nothing of 10⁶ × entries may be made.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _harness import arguments_of, run

from mftui.benchmark import Row

MFTUI = [sys.executable, "-P", "-m", "mftui.cli"]
PRESET, SETTINGS = "width-linear", ["--set", "seeds=2"]
SMALL = """
methods = ["gd"]
[gd]
steps = 1
"""
COMPLETION = """
methods = ["gd"]
[problem]
kind = "completion"
rows = 1000
columns = 1000
rank = 5
norm = 1000.0
measurements = 50_000
[model]
width = 1000
depth = {depth}
[gd]
steps = {steps}
log_every = {steps}
"""
STEPS, QUICK_STEPS = 100, 5
NAMED_WIDTH = 80
"""of which README tells what an effective sample takes"""
POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Cost:
    seconds: float
    peaks: tuple[float, ...]
    """MB, of each worker process"""
    results: dict[str, Any]


def cost(arguments: list[str]) -> Cost:
    """Of `mftui run ARGUMENTS…` to its end."""
    with tempfile.TemporaryDirectory() as home:
        began = time.perf_counter()
        process = subprocess.Popen(
            [*MFTUI, "run", *arguments, "--json", "--quiet", "--device", "cpu"],
            env={**os.environ, "MFTUI_HOME": home},
            stdout=(Path(home) / "results").open("wb"),
            stderr=(Path(home) / "said").open("wb"),
        )
        peaks: dict[int, float] = {}
        try:
            while process.poll() is None:
                for pid in descendants(process.pid):
                    peaks[pid] = max(peak_megabytes(pid), peaks.get(pid, 0.0))
                time.sleep(POLL_SECONDS)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)  # ends its workers, too
            process.wait()
        took = time.perf_counter() - began
        if process.returncode != 0:
            said = (Path(home) / "said").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"mftui run {' '.join(arguments)}: exit status {process.returncode}: {said}")
        return Cost(took, tuple(peaks.values()), json.loads((Path(home) / "results").read_bytes()))


def descendants(pid: int) -> Iterator[int]:
    """Processes under a process, as far as they are still there."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return
    for child in children:
        yield child
        yield from descendants(child)


def peak_megabytes(pid: int) -> float:
    """The largest resident set so far; 0 of a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def memory(name: str, costs: list[Cost]) -> Iterator[Row]:
    yield Row.of(f"peak memory of the largest worker: {name}", [max(each.peaks) for each in costs], "MB")
    if any(len(each.peaks) > 1 for each in costs):
        note = f"{max(len(each.peaks) for each in costs)} processes, their shared pages counted in each"
        yield Row.of(f"peaks of all workers together: {name}", [sum(each.peaks) for each in costs], "MB", note=note)


def of_a_preset(name: str, text: str, repetitions: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "preset.toml"
        file.write_text(text, encoding="utf-8")
        yield from memory(name, [cost([str(file)]) for _ in range(repetitions)])


def rows(given: argparse.Namespace) -> Iterator[Row]:
    repetitions = 1 if given.quick else given.repetitions
    command = " ".join(["mftui run", PRESET, *SETTINGS])
    costs = [cost([PRESET, *SETTINGS]) for _ in range(repetitions)]
    yield Row.of(f"{command}, from start to results", [each.seconds for each in costs], "s")
    yield from memory(command, costs)
    yield from ratios(costs[0].results)
    yield from of_a_preset("one step at 5×5, width 5, depth 2", SMALL, repetitions)
    steps = QUICK_STEPS if given.quick else STEPS
    for depth in (2, 3):
        name = f"1,000×1,000, 50,000 entries, width 1,000, depth {depth}"
        yield from of_a_preset(name, COMPLETION.format(depth=depth, steps=steps), repetitions)


def ratios(results: dict[str, Any]) -> Iterator[Row]:
    """What README says of its table; the ranges are over data sets."""
    trials = {(each["point"], each["method"], each["seed"]): each for each in results["trials"]}
    widths = {index: point["model"]["width"] for index, point in enumerate(results["points"])}
    seeds = sorted({seed for *_, seed in trials})

    def losses(point: int, method: str) -> list[float]:
        return [float(trials[point, method, seed]["generalization_loss"]) for seed in seeds]

    for point in (min(widths), max(widths)):
        over_prior = [gnc / prior for gnc, prior in zip(losses(point, "gnc"), losses(point, "prior"), strict=True)]
        name = f"loss of Guess & Check, width {widths[point]}"
        yield Row.of(name, over_prior, "×", against="the prior's")
    descents = [
        gd / prior for point in widths for gd, prior in zip(losses(point, "gd"), losses(point, "prior"), strict=True)
    ]
    yield Row.of("loss of gradient descent, all widths", descents, "×", against="the prior's")
    found = {key: trial["guesses"] for key, trial in trials.items() if key[1] == "gnc"}
    a_hit = {key: 10 ** -guesses["log10_acceptance"]["value"] for key, guesses in found.items()}
    a_sample = {key: guesses["draws"] / guesses["effective_sample_size"] for key, guesses in found.items()}
    note = "1 / P(L_train < ε), as the samplers estimate it"
    yield Row.of("guesses for a hit, all widths", list(a_hit.values()), "", note=note)
    for point in (point for point in widths if widths[point] == NAMED_WIDTH):
        for name, values in (("guesses for a hit", a_hit), ("draws for an effective sample", a_sample)):
            here = [values[point, "gnc", seed] for seed in seeds]
            yield Row.of(f"{name}, width {NAMED_WIDTH}", here, "")


if __name__ == "__main__":
    parser = arguments_of(__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    run(parser, rows)
