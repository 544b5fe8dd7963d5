"""Who may compute on a device of this machine: a queue of tickets each. Never imports torch.

A ticket is a file whose name begins with the time it was drawn, locked by the process that drew it (a POSIX record
lock: it goes with the process, however that ends). The first tickets of a device's queue, as many as it has places, are
at work, the others wait. A GPU has one place, the CPU one a core.
"""

from __future__ import annotations

import os
import platform
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.home import home_directory
from engine.runs import lock
from engine.runs.files import from_json, to_json, write_all

WAIT_SECONDS = 0.2
"""between two looks at whose turn it is"""


@dataclass(frozen=True)
class Place:
    """A ticket as others see it."""

    device: str
    run: str
    """the run's directory"""
    pid: int
    drawn: float
    """seconds since 1970"""
    at_work: bool


class Ticket:
    """This process's place in the queue of a device, until it ends or gives it up."""

    def __init__(self, device: str, run: Path) -> None:
        """`device`: cpu, cuda:0 …"""
        self._places = places(device)
        self._folder = _folder(device)
        self._folder.mkdir(parents=True, exist_ok=True)
        hidden = self._folder / f".{os.getpid()}-{secrets.token_hex(4)}"
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            write_all(descriptor, to_json({"run": str(run), "pid": os.getpid()}).encode())
        finally:
            os.close(descriptor)
        self._lock = lock.Lock(hidden)
        self._lock.acquire(lock.LEADER)
        self._path = self._folder / f"{time.time_ns():020d}-{os.getpid()}"
        hidden.rename(self._path)  # seen only once it is locked: one that isn't is a dead process's

    def is_next(self) -> bool:
        """Whether the holder may compute; once it may, it always may."""
        return self.ahead() < self._places

    def ahead(self) -> int:
        """Tickets drawn earlier whose processes live."""
        return sum(path != self._path and _is_held(path) for path in _tickets(self._folder) if path < self._path)

    def give_up(self) -> None:
        self._path.unlink(missing_ok=True)
        self._lock.close()


def places(device: str) -> int:
    """How many processes may compute on a device at once."""
    return len(os.sched_getaffinity(0)) if device == "cpu" else 1


def queue() -> list[Place]:
    """All tickets of this machine, device by device, in their order."""
    found = []
    with suppress(OSError):
        for folder in sorted((home_directory() / "queue" / platform.node()).iterdir()):
            device = folder.name.replace("-", ":")
            living = [path for path in _tickets(folder) if _is_held(path)]
            for position, path in enumerate(living):
                with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                    content = from_json(path.read_bytes())
                    drawn = int(path.name.split("-")[0]) / 1e9
                    at_work = position < places(device)
                    found.append(Place(device, str(content["run"]), int(content["pid"]), drawn, at_work))
    return found


def _folder(device: str) -> Path:
    return home_directory() / "queue" / platform.node() / device.replace(":", "-")


def _tickets(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _is_held(path: Path) -> bool:
    """Whether the ticket's process lives; a dead one's is thrown away."""
    if lock.holder(path) is not None or path.name.endswith(f"-{os.getpid()}"):  # nobody sees locks of their own
        return True
    with suppress(OSError):
        path.unlink()
    return False
