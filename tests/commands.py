"""Commands for tests: in this process, in one of their own, and in a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.runs import control
from engine.runs.catalog import is_alive, runs_directory
from mftui.cli import main
from tests.runs import CEILING_SECONDS, TINY, wait_until

CLI = [sys.executable, "-P", "-m", "mftui.cli"]


@dataclass(frozen=True)
class Ended:
    """What a command came to."""

    status: int
    stdout: str
    stderr: str


Command = Callable[..., Ended]


@pytest.fixture
def mftui(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """`mftui ARGUMENTS…` through the real entry point, in this process; a worker is still one of its own."""

    def command(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["mftui", *map(str, arguments)])
        capfd.readouterr()
        status: Any = 0
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        said = capfd.readouterr()
        return Ended(status, said.out, said.err)

    return command


@pytest.fixture
def no_worker_is_left() -> Iterator[None]:
    """Stops whatever goes on where runs go, after the test."""
    yield
    for path in runs_directory().iterdir() if runs_directory().is_dir() else ():
        if is_alive(path):
            control.ask(path, "stop")
            wait_until(lambda path=path: not is_alive(path), f"the end of {path.name}")


def in_a_process(*arguments: str | Path) -> Ended:
    """`mftui ARGUMENTS…` in a process of its own, to its end."""
    ended = subprocess.run(
        [*CLI, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=CEILING_SECONDS
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def tiny(folder: Path, text: str = TINY) -> Path:
    """A preset file of a tiny experiment."""
    file = folder / "tiny.toml"
    file.write_text(text, encoding="utf-8")
    return file


class Terminal:
    """`mftui ARGUMENTS…` in a pseudo-terminal that is its controlling one."""

    def __init__(self, *arguments: str | Path, columns: int = 80) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [*CLI, *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environment, "TERM": "xterm-256color"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        os.set_blocking(self._master, False)
        self.text = ""
        self._open = True

    def read(self) -> str:
        """All that was written so far."""
        with suppress(OSError):
            while self._open and (data := os.read(self._master, 1 << 16)):
                self.text += data.decode(errors="replace")
        return self.text

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.read(), repr(text), lambda: f"the terminal shows {self.text[-2000:]!r}")

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        """Exit status, once it has ended."""

        def ended() -> bool:
            self.read()
            return self.process.poll() is not None

        wait_until(ended, "the end of the command")
        self.read()
        return int(self.process.returncode)

    def close(self) -> None:
        """As when the window is closed, or the connection lost."""
        if self._open:
            self._open = False
            os.close(self._master)


@contextmanager
def terminal(*arguments: str | Path, columns: int = 80) -> Iterator[Terminal]:
    opened = Terminal(*arguments, columns=columns)
    try:
        yield opened
    finally:
        opened.close()
        if opened.process.poll() is None:
            opened.process.kill()
        opened.process.wait()
