"""Kills workers at random moments and lets others go on, until the run is done; then compares it with one left alone.

    python -m tests.kill [--kills 500] [--seed 0]

Each worker is a fork of this process, so that torch is imported once; no thread is started before a fork. A round is
one run; rounds follow until there were enough kills. Exit status 1 if a number differs, or a committed row is lost.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from engine.runs import lane, worker
from engine.runs.directory import RunDirectory
from tests.runs import make_run, results_of, tables_of

for module in ("engine.runs.run", "engine.runs.directory", "engine.runs.environment"):
    import_module(module)  # once, rather than in each fork
lane.CHECKPOINT_SECONDS = 0.02
MOST_KILLS = 200
"""of one run"""
LONGER = 1.02
"""the mean life of a worker over that of the one before"""

DESCENTS = [
    ["gd.optimizer='gradient_descent'"],
    ["gd.optimizer='heavy_ball'", "gd.learning_rate=0.02"],
    ["gd.optimizer='nesterov'", "gd.learning_rate=0.02"],
    ["gd.optimizer='adam'", "gd.learning_rate=0.002"],
    ["gd.optimizer='group_rmsprop'", "gd.learning_rate=0.002"],
    ["gd.optimizer='sgd'", "gd.learning_rate=0.02"],
]
GUESSES = [
    ["gnc.sampler='rejection'", "gnc.draws=50_000"],
    ["gnc.sampler='collapsed'", "gnc.draws=150_000", "model.width=8"],
    ["gnc.sampler='conditional'", "gnc.eps_train=1e-3", "gnc.effective_samples=1_500"],
    ["gnc.sampler='splitting'", "gnc.eps_train=3e-2", "gnc.effective_samples=50"],
    ["gnc.sampler='auto'", "gnc.eps_train=1e-2", "gnc.effective_samples=1_000"],
]
MIXTURES = [
    [*descent, *guess, "gd.steps=1_000", "gd.log_every=20"]
    for descent, guess in zip(DESCENTS, [*GUESSES, GUESSES[0]], strict=True)
]
"""overrides of `tests.runs.TINY`: every optimizer and every sampler"""


def lead_in_fork(run: RunDirectory) -> int:
    """Process id of a fork that leads the run."""
    sys.stdout.flush()
    if (pid := os.fork()) == 0:
        status = 70
        try:
            status = worker.lead(run.path)
        finally:
            os._exit(status)
    return pid


def kill_again_and_again(run: RunDirectory, rng: random.Random, mean_seconds: float) -> int:
    """Workers, one after the other, each killed after a random time, until one comes to the end; how many died.

    Each may live a little longer in the mean than the one before, so that there is an end on a machine that has become
    slower. Raises AssertionError if what a killed worker had stored is not there afterwards, or there is no end.
    """
    for kills in range(MOST_KILLS):
        pid = lead_in_fork(run)
        deadline = time.monotonic() + rng.expovariate(1 / (mean_seconds * LONGER**kills))
        while time.monotonic() < deadline:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                assert status == 0, f"a worker ended with status {status}: {run.log.read_text()}"
                return kills
            time.sleep(0.001)
        seen = {path: path.stat().st_size for path in run.path.glob("*.rec")}
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert all(path.stat().st_size >= size for path, size in seen.items())
    raise AssertionError(f"{MOST_KILLS} workers were killed, and none came to the end")


def remarks(run: RunDirectory) -> list[str]:
    return [event["message"] for event in run.reader().events() if event["event"] in ("remark", "failed")]


def compare(one: RunDirectory, other: RunDirectory) -> None:
    """Raises AssertionError unless the numbers are the same, to the bit."""
    assert not remarks(other), remarks(other)
    mine, its = tables_of(one), tables_of(other)
    assert {table for table in mine if mine[table] != its[table]} == set()
    assert {**results_of(one), "preset": ""} == {**results_of(other), "preset": ""}


def main(kills: int, seed: int) -> None:
    rng = random.Random(seed)
    done = rounds = 0
    with tempfile.TemporaryDirectory() as folder:
        while done < kills:
            mixture = MIXTURES[rounds % len(MIXTURES)]
            alone = make_run(Path(folder) / f"alone-{rounds}", *mixture)
            began = time.monotonic()
            _, status = os.waitpid(lead_in_fork(alone), 0)
            seconds = time.monotonic() - began
            assert status == 0, alone.log.read_text()
            killed = make_run(Path(folder) / f"killed-{rounds}", *mixture)
            done += kill_again_and_again(killed, rng, seconds / 6)
            compare(alone, killed)
            rounds += 1
            print(f"round {rounds}: {done} kills so far, a run takes {seconds:.1f} s; equal to the bit", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    main(arguments.kills, arguments.seed)
