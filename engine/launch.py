"""Starts workers. Never imports torch: the worker does."""

from __future__ import annotations

import os
import subprocess
import sys

from engine.directory import RunDirectory, RunError

EXIT_STORE_FULL = 3
"""exit status of a worker that could not store any more, and so could not say so in the store either"""


def start_worker(run: RunDirectory) -> subprocess.Popen[bytes]:
    """Execute `run` in a process of its own: own session, no terminal, output to the run's log.

    Raises `RunError` if another process holds the run.
    """
    if (holder := run.worker()) is not None:
        raise RunError(f"{run.name}: already running, held by process {holder}")
    log = os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "engine.worker", str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            close_fds=True,
        )
    finally:
        os.close(log)
