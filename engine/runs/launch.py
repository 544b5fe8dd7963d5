"""Starts workers. Never imports torch: the worker does."""

from __future__ import annotations

import os
import subprocess
import sys

from engine.runs.directory import RunDirectory, RunError

EXIT_STORE_FULL = 3
"""exit status of a worker that could not store any more, and so could not say so in the store either"""

PYTHON_M = (sys.executable, "-P", "-m")
"""-P: a folder named engine/ where the user happens to stand must not be taken for ours"""


def check_device(name: str) -> None:
    """Raises `RunError` if this machine has no such device. Asks torch, in a process of its own, if it may lack."""
    if name in ("auto", "cpu"):
        return
    probe = subprocess.run([*PYTHON_M, "engine.runs.environment", name], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        raise RunError((probe.stderr.strip().splitlines() or [f"--device {name}: torch does not work here"])[-1])


def start_worker(run: RunDirectory) -> subprocess.Popen[bytes]:
    """Execute `run` in a process of its own: own session, no terminal, output to the run's log.

    Raises `RunError` if another process holds the run.
    """
    if (holder := run.worker()) is not None:
        raise RunError(f"{run.name}: already running, held by process {holder}")
    run.control.unlink(missing_ok=True)  # what an earlier worker was asked; from here on, requests are for the new one
    log = os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            [*PYTHON_M, "engine.runs.worker", str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            close_fds=True,
        )
    finally:
        os.close(log)
