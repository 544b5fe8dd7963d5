"""How worker processes are started, and what their exit statuses mean. Imports nothing slow."""

from __future__ import annotations

import subprocess
import sys

EXIT_FAILED = 1
EXIT_STORE_FULL = 3
"""a worker that could not store any more, and so could not say so in the store either"""

PYTHON_M = (sys.executable, "-P", "-m")
"""-P: a folder named engine/ where the user happens to stand must not be taken for ours"""


def spawn(arguments: list[str], orders: int, output: int) -> subprocess.Popen[bytes]:
    """A worker in a session of its own, with no terminal."""
    return subprocess.Popen(
        [*PYTHON_M, "engine.runs.worker", *arguments],
        stdin=orders,
        stdout=output,
        stderr=output,
        start_new_session=True,
        close_fds=True,
    )
