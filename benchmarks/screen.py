"""What the explorer costs while a preset runs: bytes, processor time, memory, and how soon a key shows, on any link.

    python benchmarks/screen.py [--preset NAME] [--seconds 15] [--drain 20] [--quick] [--json]
    python benchmarks/screen.py --memory-minutes 60

Runs `mftui` in a pseudo-terminal of 160×45 cells, reads all it writes into a grid of cells, as a terminal would, and
answers where the cursor is. First a short preset whose curves move all the time, from its first row to its end: bytes,
frames, processor time. Then a run that lasts: the same once it has settled, and keys. At random moments of the run it
presses them: help, zoom, log axis, layout, palette, screens, back in time, and each again the other way; it times each
until what the key is to change can be read off the cells. Then all this on a slow link, which takes `--drain` kilobytes
a second. Processor time and memory are of the screen's process alone, not of the worker's.

`--memory-minutes N` measures something else: a run that writes hundreds of rows a second, for so long, and the screen's
resident memory every ten seconds. The slope is a line through means of a twelfth of the time each; its 95 % interval is
by Student's t, with means so long that they are taken for independent.
"""

from __future__ import annotations

import argparse
import codecs
import fcntl
import os
import pty
import random
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _harness import arguments_of, processor_seconds, run

from engine.runs.directory import RunDirectory
from mftui.benchmark import Row

COLUMNS, ROWS = 160, 45
ENDLESS: tuple[str, ...] = ("gd.steps=3_000_000", "gnc.sampler=rejection", "gnc.draws=1_000_000_000")
ENDLESS += ("gnc.effective_samples=1_000_000_000", "model.width=5")
MOVING = "incremental-learning"
RUNNING, FINISHED = "● running", "✓ finished"
FRAMES = re.compile(r"(\d+) fps")
START_SECONDS, SETTLE_SECONDS = 60.0, 3.0
"""until the run is under way, at most; and from then until anything is measured"""
QUICK_SECONDS = 5.0
TURNS, QUICK_TURNS = 10, 2
"""how often each key is pressed, there and back"""
SLOW_TURNS, SLOW_QUICK_TURNS = 4, 1
BETWEEN_SECONDS, SLOW_BETWEEN_SECONDS = (0.3, 0.7), (1.6, 2.0)
"""from what a key changed to the next key: so long a link of 20 KB/s takes to draw the rest"""
MOST_KILOBYTES, MOST_CORES = 20, 0.25
MOST_KEY_MS, MOST_KEY_MS_ON_A_SLOW_LINK = 50, 500
"""at the 95th percentile"""
PATIENCE_SECONDS = 5.0
CHUNK = 4096
SLOT_SECONDS = 0.02
"""of reading, on a slow link"""
SAMPLE_SECONDS = 10.0
MEANS = 12
LOGGING = ("gd.steps=1_000_000_000", "gd.log_every=10", "seeds=3", "model.width=5", "gnc.draws=200_000")
SLOWER, REST = b"-", "s of rest between two steps"
"""the key that paces the run, and what the screen says then"""
ESCAPES = re.compile(
    r"\x1b\[(\d*);?(\d*)H"  # to a line and column
    r"|\x1b\[(\d+)G"  # to a column
    r"|(\x1b\[2J)"  # clear
    r"|(\x1b\[6n)"  # where is the cursor?
    r"|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]P_^X](?:[^\x1b\x07]*)(?:\x07|\x1b\\)|\x1b[^\[\]P_^X]"  # others
    r"|([^\x1b]+)"  # text
)


@dataclass(frozen=True)
class Key:
    """One that changes something, and one that undoes it."""

    name: str
    there: bytes
    back: bytes
    mark: str
    """what is on the screen between the two"""


KEYS = (
    Key("help", b"?", b"?", "pause, or go on"),
    Key("zoom", b"z", b"z", "1/4, tab"),
    Key("log axis", b"y", b"y", "log · ╌ true"),
    Key("layout", b"v", b"vvv", "alignment of singular vectors"),  # four layouts: the first of three is timed
    Key("palette", b"\x10", b"\x1b[27u", "Search for commands"),
    Key("screen Sweep", b"2", b"1", "25–75 %"),
    Key("screen Runs", b"3", b"1", "started ↓"),
    Key("screen Presets", b"4", b"1", "what it shows"),
    Key("screen Tour", b"5", b"1", "The question"),
    Key("back in time", b"\x1b[D", b"\x1b[F", "escape: latest"),
)


class Terminal:
    """The far end of a pseudo-terminal: its cells, and the explorer that writes them."""

    def __init__(self, command: list[str], home: str, drain: float | None) -> None:
        """`drain` is in bytes a second."""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "MFTUI_HOME": home}
        environment["LC_ALL"] = "C.UTF-8"
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        self._drain = drain
        self._looked = time.monotonic()
        self.bytes = 0
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._lines = [[" "] * COLUMNS for _ in range(ROWS)]
        self._at = 0, 0

    @property
    def text(self) -> str:
        return "\n".join(map("".join, self._lines))

    def read(self, seconds: float, until: Callable[[str], bool] | None = None) -> float:
        """Take what comes within so long, or until this is true of the text; how long that was, in seconds."""
        began = time.monotonic()
        while (left := began + seconds - time.monotonic()) > 0:
            if self._drain is not None:
                time.sleep(min(SLOT_SECONDS, left))
            ready, _, _ = select.select([self._master], [], [], 0 if self._drain is not None else left)
            if ready:
                came = self._take(CHUNK if self._drain is None else self._allowed(self._drain))
                self.bytes += len(came)
                self._write(self._decode(came))
                if until is not None and until(self.text):
                    break
        return time.monotonic() - began

    def press(self, key: bytes) -> None:
        os.write(self._master, key)

    def _allowed(self, drain: float) -> int:
        """Bytes that the link has passed on since the last look; at most those of a tenth of a second."""
        before, self._looked = self._looked, time.monotonic()
        return max(1, int(drain * min(self._looked - before, 5 * SLOT_SECONDS)))

    def _take(self, most: int) -> bytes:
        try:
            return os.read(self._master, most)
        except OSError as error:
            raise RuntimeError(f"the explorer has ended, showing:\n{self.text}") from error

    def _write(self, text: str) -> None:
        text = self._rest + text
        end = 0
        while found := ESCAPES.match(text, end):
            end = found.end()
            line, column, along, clear, asked, plain = found.groups()
            if plain:
                y, x = self._at
                if y < ROWS:
                    self._lines[y][x : x + len(plain)] = plain[: max(0, COLUMNS - x)]
                self._at = y, x + len(plain)
            elif clear:
                self._lines = [[" "] * COLUMNS for _ in range(ROWS)]
            elif asked:
                os.write(self._master, b"\x1b[%d;%dR" % (self._at[0] + 1, self._at[1] + 1))
            elif along:
                self._at = self._at[0], int(along) - 1
            elif line is not None:
                self._at = int(line or 1) - 1, int(column or 1) - 1
        self._rest = text[end:]


@contextmanager
def explorer(
    preset: str, settings: tuple[str, ...], drain: float | None = None, settle: float = SETTLE_SECONDS
) -> Iterator[tuple[Terminal, Path]]:
    """One with a run that has been under way for so long, and its home; nothing is left of either."""
    words = [word for setting in settings for word in ("--set", setting)]
    with tempfile.TemporaryDirectory() as home:
        terminal = Terminal([sys.executable, "-m", "mftui.cli", "explore", preset, *words], home, drain)
        try:
            terminal.read(START_SECONDS, until=lambda text: RUNNING in text)
            if RUNNING not in terminal.text:
                raise RuntimeError(f"no run on the screen after {START_SECONDS:g} s:\n{terminal.text}")
            terminal.read(settle)
            yield terminal, Path(home)
        finally:
            end_all(home)
            terminal.process.wait()


def end_all(home: str) -> None:
    """Kill whoever was started with this home: the screen, its workers, and the spare one."""
    mark = f"MFTUI_HOME={home}\0".encode()
    found = True
    while found:
        found = False
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (process / "environ").read_bytes():
                    found = True
                    os.kill(int(process.name), signal.SIGKILL)
        time.sleep(0.05)


def measure(given: argparse.Namespace, drain: float | None) -> Iterator[Row]:
    """On a link that takes so many bytes a second, or all."""
    link = "" if drain is None else f", {given.drain:g} KB/s taken"
    on = f"{COLUMNS}×{ROWS}, {given.preset}{link}"
    slow = drain is not None
    with explorer(given.preset, ENDLESS, drain) as (terminal, _):
        if not slow:
            yield from bytes_and_cores(terminal, QUICK_SECONDS if given.quick else given.seconds, on)
        turns = (SLOW_QUICK_TURNS if slow else QUICK_TURNS) if given.quick else (SLOW_TURNS if slow else TURNS)
        found = answers(terminal, turns, SLOW_BETWEEN_SECONDS if slow else BETWEEN_SECONDS)
    found["any of them"] = [each for times in found.values() for each in times]
    for name, times in found.items():
        median, high, largest = (1000 * np.quantile(times, (0.5, 0.95, 1.0))).tolist()
        note = f"{len(times)} presses, {largest:.0f} ms at most"
        most = MOST_KEY_MS_ON_A_SLOW_LINK if slow else MOST_KEY_MS
        yield Row(f"a key while it runs, {name}: median", median, "ms", on=on)
        yield Row(f"a key while it runs, {name}: 95 %", high, "ms", on=on, at_most=most, note=note)


def measure_moving(given: argparse.Namespace) -> Iterator[Row]:
    """From the first row on, which is when most moves."""
    with explorer(MOVING, (), settle=0.0) as (terminal, _):
        seconds = QUICK_SECONDS if given.quick else given.seconds
        yield from bytes_and_cores(terminal, seconds, f"{COLUMNS}×{ROWS}, {MOVING}")


def bytes_and_cores(terminal: Terminal, seconds: float, on: str) -> Iterator[Row]:
    """For so long, or until the run has finished."""
    pid = terminal.process.pid
    began, spent, before = time.monotonic(), processor_seconds(pid), terminal.bytes
    frames: list[int] = []
    while (left := began + seconds - time.monotonic()) > 0 and FINISHED not in terminal.text:
        terminal.read(min(1.0, left), until=lambda text: FINISHED in text)
        frames += map(int, FRAMES.findall(terminal.text)[:1])
    lasted = time.monotonic() - began
    yield Row("frames a second", float(np.mean(frames)) if frames else 0.0, "", on=on, note=f"over {lasted:.1f} s")
    yield Row("written", (terminal.bytes - before) / lasted / 1000, "KB/s", on=on, at_most=MOST_KILOBYTES)
    yield Row("processor", (processor_seconds(pid) - spent) / lasted, "cores", on=on, at_most=MOST_CORES)
    yield Row("memory", memory(pid)[0], "MiB", on=on)


def answers(terminal: Terminal, turns: int, between: tuple[float, float]) -> dict[str, list[float]]:
    """Seconds from each press of each key until its effect is on the screen."""
    rng = random.Random(0)
    found: dict[str, list[float]] = {key.name: [] for key in KEYS}
    back = KEYS[-1]
    deadline = time.monotonic() + START_SECONDS
    while back.mark not in terminal.text and time.monotonic() < deadline:  # the first log points take seconds
        terminal.press(back.there)
        terminal.read(1.0, until=lambda text: back.mark in text)
    terminal.press(back.back)
    terminal.read(2.0)
    for _ in range(turns):
        for key in rng.sample(KEYS, len(KEYS)):
            for press, wanted in ((key.there, True), (key.back, False)):
                terminal.press(press)
                seen = lambda text, key=key, wanted=wanted: (key.mark in text) is wanted  # noqa: E731
                found[key.name].append(terminal.read(PATIENCE_SECONDS, until=seen))
                terminal.read(rng.uniform(*between))
    return found


def memory(pid: int) -> tuple[float, float]:
    """Resident, and its proportional share of what several processes have mapped; MiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    resident, share = (int(re.findall(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)[0]) for name in ("Rss", "Pss"))
    return resident / 1024, share / 1024


def stored_rows(home: Path) -> int:
    """Of all tables of the run; the screen reads every one of them."""
    total = 0
    for path in (home / "runs").iterdir():
        for table, columns in RunDirectory.open(path).tables.items():
            total += sum(file.stat().st_size for file in path.glob(f"{table}-*.rec")) // (8 * len(columns) + 8)
    return total


def memory_rows(preset: str, minutes: float) -> Iterator[Row]:
    """A long run, watched and not touched."""
    at, resident, share = [], [], []
    with explorer(preset, LOGGING) as (terminal, home):
        terminal.press(SLOWER)
        terminal.read(PATIENCE_SECONDS, until=lambda text: REST in text)
        pid, began = terminal.process.pid, time.monotonic()
        rows, spent, before = stored_rows(home), processor_seconds(pid), terminal.bytes
        for count in range(1, int(60 * minutes / SAMPLE_SECONDS) + 1):
            terminal.read(began + count * SAMPLE_SECONDS - time.monotonic())
            now, (whole, part) = (time.monotonic() - began) / 60, memory(pid)
            at.append(now)
            resident.append(whole)
            share.append(part)
            told = f"{now:7.2f} min  resident {whole:.2f} MiB, proportional {part:.2f} MiB"
            print(f"{told}, {stored_rows(home) - rows:,} rows", file=sys.stderr, flush=True)
        rows, lasted = stored_rows(home) - rows, time.monotonic() - began
        rate, cores = (terminal.bytes - before) / lasted / 1000, (processor_seconds(pid) - spent) / lasted
    after = [index for index, minute in enumerate(at) if minute > 1]
    on = f"{COLUMNS}×{ROWS}, {preset}, {minutes:g} minutes"
    yield Row("rows read and shown", rows, "rows", on=on, note=f"{rows / lasted:.0f} a second")
    yield Row("written", rate, "KB/s", on=on, at_most=MOST_KILOBYTES)
    yield Row("processor", cores, "cores", on=on, at_most=MOST_CORES)
    for name, values in (("resident", resident), ("proportional share", share)):
        yield Row(f"memory, {name}: after the first minute", values[after[0]], "MiB", on=on)
        yield Row(f"memory, {name}: at the end", values[-1], "MiB", on=on, note=f"{max(values):.1f} MiB at most")
    for span, first in (("after the first minute", 1), ("in the second half", minutes / 2)):
        chosen = [index for index, minute in enumerate(at) if minute > first]
        slope, low, high = slope_of([at[index] / 60 for index in chosen], [resident[index] for index in chosen])
        yield Row(f"memory, resident: growth {span}", slope, "MiB/h", low, high, on=on)


def slope_of(hours: list[float], values: list[float]) -> tuple[float, float, float]:
    """Of a line through `MEANS` means, and its 95 % interval: neighbouring samples are not independent."""
    from scipy import stats

    parts = min(MEANS, len(hours))
    x, y = ([float(np.mean(part)) for part in np.array_split(each, parts)] for each in (hours, values))
    fit = stats.linregress(x, y)
    wide = stats.t.ppf(0.975, parts - 2) * fit.stderr
    return float(fit.slope), float(fit.slope - wide), float(fit.slope + wide)


def rows(given: argparse.Namespace) -> Iterator[Row]:
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that what was started is ended first
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    if given.memory_minutes:
        yield from memory_rows(given.preset, max(2.0, given.memory_minutes))
        return
    yield from measure_moving(given)
    yield from measure(given, None)
    if given.drain:
        yield from measure(given, 1000 * given.drain)


if __name__ == "__main__":
    parser = arguments_of(__doc__)
    parser.add_argument("--preset", default="quick-start")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--drain", type=float, default=20.0, metavar="KB/s", help="what the slow link takes; 0: none")
    parser.add_argument(
        "--memory-minutes", type=float, default=0.0, metavar="N", help="memory alone, for so long, at least 2"
    )
    run(parser, rows)
