"""Starts workers. Imports nothing slow: a worker is to load while its front end does."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

from engine.runs.catalog import FORMAT, RunError
from engine.runs.control import forget_requests
from engine.runs.files import APPEND
from engine.runs.process import PYTHON_M, spawn

if TYPE_CHECKING:
    from engine.runs.directory import RunDirectory

_STRAGGLER_SECONDS = 5.0
"""how long the helpers of a leader that died may take to notice it"""


def check_device(name: str) -> None:
    """Raises `RunError` if this machine has no such device. Asks torch, in a process of its own, if it may lack."""
    if name in ("auto", "cpu"):
        return
    probe = subprocess.run([*PYTHON_M, "engine.runs.environment", name], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        raise RunError((probe.stderr.strip().splitlines() or [f"--device {name}: torch does not work here"])[-1])


class Spare:
    """A worker that has loaded what takes seconds, and waits for a run; it ends with the process that started it."""

    def __init__(self) -> None:
        self._process = spawn(["--spare"], subprocess.PIPE, subprocess.DEVNULL)

    def start(self, run: RunDirectory) -> subprocess.Popen[bytes]:
        """Execute `run` in it, as `start_worker` does; in a fresh worker if the spare one is gone."""
        refuse_if_held(run)
        forget_requests(run.path)
        orders = self._process.stdin
        try:
            assert orders is not None  # noqa: S101 (it was asked to be a pipe)
            orders.write(os.fsencode(run.path) + b"\n")
            orders.close()  # it was the only one
        except OSError:
            return start_worker(run)
        return self._process

    def dismiss(self) -> None:
        """It isn't needed."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


def start_worker(run: RunDirectory) -> subprocess.Popen[bytes]:
    """Execute `run` in a process of its own: own session, no terminal, output to the run's log.

    Raises `RunError` if another process holds the run.
    """
    refuse_if_held(run)
    forget_requests(run.path)
    log = os.open(run.log, APPEND, 0o600)
    try:
        return spawn([str(run.path)], subprocess.DEVNULL, log)
    finally:
        os.close(log)


def refuse_if_held(run: RunDirectory) -> None:
    """Raises `RunError` unless the run may go on here and now: of our format, and nobody at work on it."""
    if run.format != FORMAT:
        raise RunError(
            f"{run.name}: was made by an earlier version and can be looked at, not gone on with; "
            f"mftui run {run.path / 'spec.toml'} begins it anew"
        )
    deadline = time.monotonic() + _STRAGGLER_SECONDS
    while run.is_alive():
        if (leader := run.worker()) is not None or time.monotonic() > deadline:
            by = f"process {leader}" if leader else "another host, or helpers that do not end"
            raise RunError(f"{run.name}: already running, held by {by}")
        time.sleep(0.05)
