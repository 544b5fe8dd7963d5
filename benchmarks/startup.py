"""How long the commands that should answer at once take.

    python benchmarks/startup.py [--repeats 9] [--quick] [--json]

Wall-clock and processor time, each of a fresh process: `mftui --help`; `mftui runs` with 100 runs; and the explorer in
a pseudo-terminal, until it has drawn something on the alternate screen, until it says "running", and until there is a
first row of the run's curve to draw. The targets are for an idle machine; processor
time depends less on what else runs.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from _harness import arguments_of, processor_seconds, run

from engine.runs import catalog
from engine.runs.directory import RunDirectory
from engine.runs.store import EventLog
from engine.spec import preset
from mftui.benchmark import Row

MFTUI = [sys.executable, "-P", "-m", "mftui.cli"]
RUNS = 100
QUICK_REPEATS = 2
GOALS = {"mftui --help": 0.3, "mftui runs": 0.3, "explorer, first paint": 0.7}
"""seconds on 2 idle cores"""
ALTERNATE_SCREEN = b"\x1b[?1049h"
ESCAPE = re.compile(rb"\x1b(\[[0-9;?=>$ ]*[A-Za-z~]|[\]P_][^\x07\x1b]*(\x07|\x1b\\)|[()].|.)")
ENDED = ("stopped", "finished", "failed")
SOMETHING = 40
"""printable characters on the alternate screen that count as a picture"""
RUNNING = "● running".encode()
LOOK_SECONDS = 0.01
PATIENCE_SECONDS = 60.0


def make_runs(home: Path) -> None:
    """Run directories as workers leave them: a spec, events of a finished attempt."""
    experiment = preset.load("quick-start")
    (home / "runs").mkdir(parents=True)
    for index in range(RUNS):
        directory = RunDirectory.create(
            experiment, "cpu", home / "runs" / f"quick-start-20261123-{index:06}-{index:04x}"
        )
        with EventLog(directory.path) as log:
            for kind in ("started", "device", "finished"):
                log.event(kind, device="cpu")
        for unit in range(4):
            with EventLog(directory.path, f"{unit:04}") as log:
                for seed in range(3):
                    log.event("trial", point=0, method="gd", seed=seed, outcome="finished")


def command_seconds(arguments: list[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Wall-clock and processor seconds of a command."""
    before, started = os.times(), time.perf_counter()
    subprocess.run([*MFTUI, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - started, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, used


def explorer_seconds(home: Path, environment: Mapping[str, str]) -> tuple[float, float, float, float]:
    """Wall-clock seconds until the explorer shows something, its processor seconds until then; and wall-clock seconds
    until it says "running" and until the first row of the curve is stored.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 45, 160, 0, 0))
    started = time.perf_counter()
    process = subprocess.Popen(
        MFTUI,
        env={**environment, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    before = set((home / "runs").iterdir())
    tests: dict[str, Callable[[bytes], bool]] = {
        "paint": _shows_something,
        "running": lambda seen: RUNNING in seen,
        "row": lambda _: any(file.stat().st_size for run in _new(home, before) for file in run.glob("gd-*.rec")),
    }
    reached: dict[str, float] = {}
    used, seen = 0.0, b""
    while len(reached) < len(tests):
        if select.select([master], [], [], LOOK_SECONDS)[0]:
            seen += os.read(master, 1 << 16)
        for name in [name for name, passed in tests.items() if name not in reached and passed(seen)]:
            reached[name] = time.perf_counter() - started
            used = used or processor_seconds(process.pid)
        if time.perf_counter() - started > PATIENCE_SECONDS:
            raise TimeoutError(f"the explorer has come no further than {sorted(reached)}: {seen[-500:]!r}")
    _leave(home, process, master)
    return reached["paint"], used, reached["running"], reached["row"]


def _leave(home: Path, process: subprocess.Popen[bytes], master: int) -> None:
    """End the explorer and wait for its run's end, or the next one would share the machine with this one's worker."""
    started = time.perf_counter()
    os.write(master, b"q")
    while process.poll() is None:
        if select.select([master], [], [], 0.1)[0]:
            try:
                os.read(master, 1 << 16)
            except OSError:
                process.wait()
        if time.perf_counter() - started > PATIENCE_SECONDS:
            process.send_signal(signal.SIGKILL)
    os.close(master)
    while any(catalog.state(run) not in ENDED for run in (home / "runs").iterdir()):
        time.sleep(0.1)
        if time.perf_counter() - started > PATIENCE_SECONDS:
            raise TimeoutError("the explorer's run doesn't end")


def _new(home: Path, before: set[Path]) -> set[Path]:
    return set((home / "runs").iterdir()) - before


def _shows_something(seen: bytes) -> bool:
    _, switched, after = seen.partition(ALTERNATE_SCREEN)
    text = ESCAPE.sub(b"", after).decode(errors="ignore")
    return bool(switched) and sum(each.isalnum() for each in text) >= SOMETHING


def rows(given: argparse.Namespace) -> Iterator[Row]:
    repeats = QUICK_REPEATS if given.quick else given.repeats
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make_runs(home)
        environment = {**os.environ, "MFTUI_HOME": folder}
        measured: dict[str, Callable[[], tuple[float, float]]] = {
            "mftui --help": lambda: command_seconds(["--help"], environment),
            "mftui runs": lambda: command_seconds(["runs"], environment),
        }
        for name, measure in measured.items():
            measure()  # once before, for the disk's cache
            walls, used = zip(*(measure() for _ in range(repeats)), strict=True)
            yield Row.of(name, walls, "s", at_most=GOALS[name])
            yield Row.of(f"{name}, processor time", used, "s")
        explorer_seconds(home, environment)
        found = zip(*(explorer_seconds(home, environment) for _ in range(repeats)), strict=True)
        names = ("first paint", "first paint, processor time", "running", "first row of the curve")
        for name, seconds in zip(names, found, strict=True):
            yield Row.of(f"explorer, {name}", seconds, "s", at_most=GOALS.get(f"explorer, {name}"))


if __name__ == "__main__":
    parser = arguments_of(__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    run(parser, rows)
