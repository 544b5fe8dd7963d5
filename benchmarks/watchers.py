"""What watching costs: `python benchmarks/watchers.py [--watchers 8] [--seconds 4] [--turns 5] [--json]`.

One run, one worker. Turns with nobody watching and with WATCHERS processes that poll its store ten times a second
alternate; the watchers stay alive, and are halted by signals in between. The rate is steps of descent a second, as the
run tells. The slow-down is the median over the turns of each pair's ratio. With fewer idle cores than
processes the watchers take processor time that the worker wants: the processor time the worker itself spends on a step
tells what watching costs it beside that, and is printed as well.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from engine.runs.directory import RunDirectory
from engine.spec import preset
from mftui.live import LiveRun

POLLS_A_SECOND = 10
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


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def turn(live: LiveRun, pid: int, seconds: float) -> tuple[float, float]:
    """Steps a second of wall-clock time, and steps a second of the worker's processor time."""
    live.poll()
    steps, cpu, began = live.progress["gd"].done, cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    live.poll()
    done = live.progress["gd"].done - steps
    return done / (time.monotonic() - began), done / (cpu_seconds(pid) - cpu)


def signal_all(watchers: list[subprocess.Popen[str]], number: int) -> None:
    for watcher in watchers:
        watcher.send_signal(number)


def measure(count: int, seconds: float, turns: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory.create(preset.load("quick-start", SETTINGS), "cpu", Path(folder) / "run", urgent=True)
        live = LiveRun.start(run)
        watchers: list[subprocess.Popen[str]] = []
        try:
            while "gd" not in live.progress or run.worker() is None:
                live.poll()
                time.sleep(0.05)
            pid = run.worker() or 0
            for _ in range(count):
                command = [sys.executable, "-P", "-c", WATCH, str(run.path)]
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
    return {
        "watchers": count,
        "steps_a_second_alone": statistics.median(alone[0] for alone, _ in pairs),
        "steps_a_second_watched": statistics.median(watched[0] for _, watched in pairs),
        "slow_down": 1 - statistics.median(watched[0] / alone[0] for alone, watched in pairs),
        "slow_down_by_processor_time": 1 - statistics.median(watched[1] / alone[1] for alone, watched in pairs),
        "load_average": os.getloadavg()[0],
        "cores": len(os.sched_getaffinity(0)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--watchers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.watchers, given.seconds, given.turns)
    if given.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name.replace('_', ' '):30} {value:12.4g}")


if __name__ == "__main__":
    main()
