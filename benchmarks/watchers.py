"""What watching a run costs it.

    python benchmarks/watchers.py [--watchers 8] [--seconds 4] [--turns 5] [--quick] [--json]

One run, one worker. Turns with nobody watching and with WATCHERS processes that poll its store ten times a second
alternate; the watchers stay alive, and are halted by signals in between. The rate is steps of descent a second, as the
run tells. The slow-down is that of each pair of turns. With fewer idle cores than
processes the watchers take processor time that the worker wants: the processor time the worker itself spends on a step
tells what watching costs it beside that.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from _harness import arguments_of, processor_seconds, run

from engine.runs.directory import RunDirectory
from engine.spec import preset
from mftui.benchmark import Row
from mftui.live import LiveRun

POLLS_A_SECOND = 10
MOST = 0.05
"""slow-down by eight watchers"""
QUICK_SECONDS, QUICK_TURNS = 1.5, 3
SETTINGS = ("model.width=3", "gd.steps=1_000_000_000", "gd.log_every=100", "methods=['gd']", "seeds=2")
WATCH = f"""
import sys, time
from pathlib import Path
from engine.runs.directory import RunDirectory
from mftui.live import LiveRun
live = LiveRun(RunDirectory.open(Path(sys.argv[1])))
live.poll()
print("ready", flush=True)
while True:
    live.poll()
    time.sleep(1 / {POLLS_A_SECOND})
"""


def turn(live: LiveRun, pid: int, seconds: float) -> tuple[float, float]:
    """Steps a second of wall-clock time, and steps a second of the worker's processor time."""
    live.poll()
    steps, cpu, began = live.progress["gd"].done, processor_seconds(pid), time.monotonic()
    time.sleep(seconds)
    live.poll()
    done = live.progress["gd"].done - steps
    return done / (time.monotonic() - began), done / (processor_seconds(pid) - cpu)


def signal_all(watchers: list[subprocess.Popen[str]], number: int) -> None:
    for watcher in watchers:
        watcher.send_signal(number)


Turn = tuple[float, float]


def measure(count: int, seconds: float, turns: int) -> list[tuple[Turn, Turn]]:
    """Pairs of turns, alone and watched."""
    with tempfile.TemporaryDirectory() as folder:
        directory = RunDirectory.create(preset.load("quick-start", SETTINGS), "cpu", Path(folder) / "run", urgent=True)
        live = LiveRun.start(directory)
        watchers: list[subprocess.Popen[str]] = []
        try:
            while "gd" not in live.progress or directory.worker() is None:
                live.poll()
                time.sleep(0.05)
            pid = directory.worker() or 0
            for _ in range(count):
                command = [sys.executable, "-P", "-c", WATCH, str(directory.path)]
                watchers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            for watcher in watchers:
                assert watcher.stdout is not None
                watcher.stdout.readline()
            pairs = []
            for _ in range(turns):
                signal_all(watchers, signal.SIGSTOP)
                alone = turn(live, pid, seconds)
                signal_all(watchers, signal.SIGCONT)
                pairs.append((alone, turn(live, pid, seconds)))
        finally:
            signal_all(watchers, signal.SIGKILL)
            live.stop()
            live.wait(30)
            for watcher in watchers:
                watcher.wait()
    return pairs


def rows(given: argparse.Namespace) -> Iterator[Row]:
    wait, turns = (QUICK_SECONDS, QUICK_TURNS) if given.quick else (given.seconds, given.turns)
    pairs = measure(given.watchers, wait, turns)
    watchers = f"{given.watchers} watchers"
    yield Row.of("steps a second, alone", [alone[0] for alone, _ in pairs], "1/s")
    yield Row.of(f"steps a second, {watchers}", [watched[0] for _, watched in pairs], "1/s")
    for kind, index in (("by the clock", 0), ("by the worker's processor time", 1)):
        slow_downs = [1 - watched[index] / alone[index] for alone, watched in pairs]
        yield Row.of(f"slow-down by {watchers}, {kind}", slow_downs, "", against="the same run alone", at_most=MOST)


if __name__ == "__main__":
    parser = arguments_of(__doc__)
    parser.add_argument("--watchers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--turns", type=int, default=5)
    run(parser, rows)
