"""The processes that help a run's leader: each takes units that nobody has taken. Never imports torch.

They end with the leader: their standard input is a pipe from it, by which requests are passed on, and its end tells
them to stop. What they have to say comes back by their standard output.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from engine.runs.control import Control, ControlError
from engine.runs.files import from_json, to_json
from engine.runs.process import PYTHON_M

Report = Callable[[str, str], None]
"""takes the kind of an event of the run as a whole, and a sentence (which may be empty)"""

BEGUN = "begun"
"""what a helper tells its leader once it has a place on its device"""


class Crew:
    """Helpers of one run."""

    def __init__(self, directory: Path, report: Report) -> None:
        self._directory = directory
        self._report = report
        self._members: list[subprocess.Popen[bytes]] = []
        self._begun: set[int] = set()
        self.failure = ""
        """what made a helper give up"""

    def hire(self, devices: Sequence[str], cores: int) -> None:
        """A helper for each of `devices`, with so many cores each. Raises OSError if one can't be started."""
        for device in devices:
            command = [*PYTHON_M, "engine.runs.worker", str(self._directory), "--help-on", device, str(cores)]
            member = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._members.append(member)
            threading.Thread(target=self._listen, args=(member.pid, member.stdout), name="helper", daemon=True).start()

    def pass_on(self, request: Mapping[str, Any]) -> None:
        """Tell them all."""
        line = to_json(dict(request)).encode() + b"\n"
        for member in self._members:
            if member.stdin is not None:
                with suppress(OSError, ValueError):
                    member.stdin.write(line)
                    member.stdin.flush()

    def at_work(self) -> bool:
        return any(member.poll() is None for member in self._members)

    def send_home_those_who_wait(self) -> None:
        """Those with no place on their device yet: waiting for them, two runs could wait for each other's places."""
        for member in self._members:
            if member.pid not in self._begun and member.stdin is not None:
                with suppress(OSError):
                    member.stdin.close()

    def statuses(self) -> set[int]:
        """Exit statuses of those that have ended."""
        return {status for member in self._members if (status := member.poll()) is not None}

    def dismiss(self) -> None:
        """Wait until all have ended; they stop where they are."""
        for member in self._members:
            if member.stdin is not None:
                with suppress(OSError):
                    member.stdin.close()
        for member in self._members:
            member.wait()

    def _listen(self, pid: int, reports: IO[bytes]) -> None:
        for line in reports:
            with suppress(ValueError, KeyError, TypeError, OSError):
                said = from_json(line)
                if said["kind"] == BEGUN:
                    self._begun.add(pid)
                elif said["kind"] == "failed":
                    self.failure = str(said["message"])
                else:
                    self._report(str(said["kind"]), str(said["message"]))


def obey(orders: Iterable[bytes], control: Control) -> None:
    """As a helper: take requests from the leader, in a thread of its own; stop when there is no leader any more."""

    def listen() -> None:
        for line in orders:
            with suppress(ControlError, ValueError, RecursionError):
                request = from_json(line)
                if isinstance(request, dict):
                    control.put(request)
        control.stop()

    threading.Thread(target=listen, name="orders", daemon=True).start()


def tell_leader(kind: str, message: str) -> None:
    """As a helper: something for the run's events."""
    print(to_json({"kind": kind, "message": message}), flush=True)
