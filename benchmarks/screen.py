"""What the explorer costs: bytes and processor time while a preset runs, how soon a key is answered, on any link.

    python benchmarks/screen.py [--preset NAME] [--seconds 20] [--drain KB/s] [--json]

Runs `mftui` in a pseudo-terminal of 160×45 cells on a preset that keeps four panes moving, reads all it writes (at most
`--drain` a second, to stand for a slow link), presses keys at random moments and times the first bytes that follow. The
numbers are of the screen's process alone, not of the worker's.
"""

from __future__ import annotations

import argparse
import fcntl
import json
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
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

COLUMNS, ROWS = 160, 45
START_SECONDS = 8.0
"""until the run is under way"""
KEYS = "yxm[]"
"""each changes something on the screen"""
CHUNK = 4096
SLOT_SECONDS = 0.02
"""of reading, on a slow link"""


@dataclass(frozen=True)
class Cost:
    seconds: float
    kilobytes_a_second: float
    cores: float
    resident_megabytes: float
    key_ms_median: float
    key_ms_95: float
    key_ms_largest: float
    keys: int


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

    def read(self, seconds: float) -> bool:
        """Take what comes within so long; True at the first bytes if `seconds` had not passed."""
        deadline = time.monotonic() + seconds
        came = False
        while (left := deadline - time.monotonic()) > 0:
            if self._drain is not None:
                time.sleep(min(SLOT_SECONDS, left))
            ready, _, _ = select.select([self._master], [], [], 0 if self._drain is not None else left)
            if ready:
                most = CHUNK if self._drain is None else max(1, int(self._drain * SLOT_SECONDS))
                self.bytes += len(os.read(self._master, most))
                came = True
        return came

    def answer(self, key: str, patience: float) -> float:
        """Seconds from a key to the first bytes after it, once the terminal is quiet."""
        os.write(self._master, key.encode())
        began = time.monotonic()
        ready, _, _ = select.select([self._master], [], [], patience)
        took = time.monotonic() - began
        if ready:
            self.bytes += len(os.read(self._master, CHUNK))
        return took


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(preset: str, settings: list[str], seconds: float, drain: float | None) -> Cost:
    """With settings that make the run last."""
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
            os.write(terminal._master, b" ")  # paused: what comes after a key is its answer
            terminal.read(2.0)
            waits = []
            for _ in range(40):
                waits.append(1000 * terminal.answer(rng.choice(KEYS), 5.0))
                terminal.read(0.3)
            memory = resident_megabytes(pid)
            os.write(terminal._master, b"q")
            terminal.read(3.0)
        finally:
            terminal.process.kill()
            terminal.process.wait()
    quantiles = np.quantile(waits, (0.5, 0.95, 1.0)).tolist()
    return Cost(lasted, rate, cores, memory, *quantiles, len(waits))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="quick-start")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--drain", type=float, help="KB/s that the terminal takes; default: all")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    settings = ["gd.steps=3_000_000", "gnc.sampler=rejection", "gnc.draws=1_000_000_000"]
    settings += ["gnc.effective_samples=1_000_000_000", "model.width=5"]
    words = [word for setting in settings for word in ("--set", setting)]
    drain = None if arguments.drain is None else 1000 * arguments.drain
    cost = measure(arguments.preset, words, arguments.seconds, drain)
    if arguments.json:
        print(json.dumps(asdict(cost)))
        return
    print(f"{COLUMNS}×{ROWS}, {arguments.preset}, {cost.seconds:.0f} s, load {os.getloadavg()[0]:.1f}")
    print(f"written             {cost.kilobytes_a_second:8.1f} KB/s")
    print(f"processor           {cost.cores:8.2f} cores")
    print(f"memory              {cost.resident_megabytes:8.0f} MB")
    print(f"a key is answered   {cost.key_ms_median:8.0f} ms (median of {cost.keys})")
    print(f"                    {cost.key_ms_95:8.0f} ms (95 %), {cost.key_ms_largest:.0f} ms at most")


if __name__ == "__main__":
    main()
