"""What the explorer costs: bytes and processor time while a preset runs, how soon a key is answered, on any link.

    python benchmarks/screen.py [--preset NAME] [--seconds 20] [--drain KB/s] [--quick] [--json]

Runs `mftui` in a pseudo-terminal of 160×45 cells on a preset that keeps four panes moving, reads all it writes (at most
`--drain` a second, to stand for a slow link). While the run goes on it opens the help again and again, at random
moments, and times the key until the text has come; then it pauses the run, presses keys that change a plot, and times
the first bytes that follow. The numbers are of the screen's process alone, not of the worker's.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import random
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _harness import arguments_of, processor_seconds, run

from engine.runs import catalog, control
from mftui.benchmark import Row

COLUMNS, ROWS = 160, 45
START_SECONDS = 8.0
"""until the run is under way"""
KEYS = "yxm[]"
"""each changes something on the screen"""
HELP, HELP_TEXT, BACK = b"?", b"pause, or go on", b"\x1b"
PRESSES = 40
BETWEEN_SECONDS = 2.0, 2.4
"""from closing the help to opening it again: so long a link of 20 KB/s takes to draw what was under it"""
QUICK_SECONDS, QUICK_PRESSES = 6.0, 6
MOST_KILOBYTES, MOST_CORES = 20, 0.25
MOST_KEY_MS, MOST_KEY_MS_ON_A_SLOW_LINK = 50, 500
"""at the 95th percentile"""
PATIENCE_SECONDS = 5.0
CHUNK = 4096
SLOT_SECONDS = 0.02
"""of reading, on a slow link"""


@dataclass(frozen=True)
class Cost:
    seconds: float
    kilobytes_a_second: float
    cores: float
    resident_megabytes: float
    running_key_ms: tuple[float, float, float]
    """median, 95 %, largest: from the key until the help is there, while the run goes on"""
    paused_key_ms: tuple[float, float, float]
    """until the first bytes"""


class Terminal:
    """The far end of a pseudo-terminal."""

    def __init__(self, command: list[str], home: str, drain: float | None) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "MFTUI_HOME": home}
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        self._drain = drain
        self.bytes = 0

    def read(self, seconds: float, until: bytes | None = None) -> float:
        """Take what comes within so long, or until these bytes have; how long that was, in seconds."""
        began = time.monotonic()
        tail = b""
        while (left := began + seconds - time.monotonic()) > 0:
            if self._drain is not None:
                time.sleep(min(SLOT_SECONDS, left))
            ready, _, _ = select.select([self._master], [], [], 0 if self._drain is not None else left)
            if ready:
                came = os.read(self._master, CHUNK if self._drain is None else max(1, int(self._drain * SLOT_SECONDS)))
                self.bytes += len(came)
                tail = tail[-CHUNK:] + came
                if until is not None and until in tail:
                    break
        return time.monotonic() - began

    def press(self, key: bytes) -> None:
        os.write(self._master, key)


def resident_megabytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(preset: str, settings: list[str], seconds: float, drain: float | None, presses: int) -> Cost:
    """With settings that make the run last; `drain` is in bytes a second."""
    command = [sys.executable, "-m", "mftui.cli", "explore", preset, *settings]
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as home:
        terminal = Terminal(command, home, drain)
        try:
            terminal.read(START_SECONDS)
            pid = terminal.process.pid
            began, spent, before = time.monotonic(), processor_seconds(pid), terminal.bytes
            terminal.read(seconds)
            lasted = time.monotonic() - began
            rate = (terminal.bytes - before) / lasted / 1000
            cores = (processor_seconds(pid) - spent) / lasted
            running = []
            for _ in range(presses):
                terminal.press(HELP)
                running.append(terminal.read(PATIENCE_SECONDS, until=HELP_TEXT))
                terminal.press(BACK)
                terminal.read(rng.uniform(*BETWEEN_SECONDS))
            terminal.press(b" ")  # paused: what comes after a key is its answer
            terminal.read(2.0)
            paused = []
            for _ in range(presses):
                terminal.press(rng.choice(KEYS).encode())
                paused.append(terminal.read(PATIENCE_SECONDS, until=b""))
                terminal.read(0.3)
            memory = resident_megabytes(pid)
        finally:
            terminal.process.kill()
            terminal.process.wait()
            stop_runs(Path(home))
    return Cost(lasted, rate, cores, memory, quantiles(running), quantiles(paused))


def stop_runs(home: Path) -> None:
    """Runs outlive the screen."""
    for path in (home / "runs").iterdir() if (home / "runs").is_dir() else ():
        control.ask(path, "stop")
        while catalog.is_alive(path):
            time.sleep(0.1)


def quantiles(seconds: list[float]) -> tuple[float, float, float]:
    """Median, 95 %, largest; ms."""
    median, high, largest = (1000 * np.quantile(seconds, (0.5, 0.95, 1.0))).tolist()
    return median, high, largest


def rows(given: argparse.Namespace) -> Iterator[Row]:
    settings = ["gd.steps=3_000_000", "gnc.sampler=rejection", "gnc.draws=1_000_000_000"]
    settings += ["gnc.effective_samples=1_000_000_000", "model.width=5"]
    words = [word for setting in settings for word in ("--set", setting)]
    drain = None if given.drain is None else 1000 * given.drain
    seconds, presses = (QUICK_SECONDS, QUICK_PRESSES) if given.quick else (given.seconds, PRESSES)
    cost = measure(given.preset, words, seconds, drain, presses)
    link = "" if drain is None else f", {given.drain:g} KB/s taken"
    on = f"{COLUMNS}×{ROWS}, {given.preset}{link}"
    yield Row("written", cost.kilobytes_a_second, "KB/s", on=on, at_most=MOST_KILOBYTES)
    yield Row("processor", cost.cores, "cores", on=on, at_most=MOST_CORES)
    yield Row("memory", cost.resident_megabytes, "MB", on=on)
    most = MOST_KEY_MS if drain is None else MOST_KEY_MS_ON_A_SLOW_LINK
    for name, (median, high, largest) in (
        ("a key while it runs, until help is open", cost.running_key_ms),
        ("a key while it is paused, until the first bytes", cost.paused_key_ms),
    ):
        note = f"{presses} presses, {largest:.0f} ms at most"
        yield Row(f"{name}: median", median, "ms", on=on)
        yield Row(f"{name}: 95 %", high, "ms", on=on, at_most=most, note=note)


if __name__ == "__main__":
    parser = arguments_of(__doc__)
    parser.add_argument("--preset", default="quick-start")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--drain", type=float, metavar="KB/s", help="what the terminal takes; default: all")
    run(parser, rows)
