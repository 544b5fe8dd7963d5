"""Requests to a running worker: over a unix socket on the same host, by a file from any other. Never imports torch.

The socket has a short hashed name (paths of sockets are limited to 108 bytes) in a folder of mode 0700 that belongs to
the user, and both sides check that the other is the same user. A worker acknowledges at once and acts at its next step
boundary. From another host a request is a line appended to `requests.jsonl` in the run's directory, which the worker
looks at between steps.
"""

from __future__ import annotations

import hashlib
import math
import os
import socket
import stat
import struct
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args

from engine.runs.files import APPEND, from_json, to_json, write_all

Kind = Literal["pause", "continue", "stop", "step", "learning_rate", "rest"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LONGEST_REST = 10.0
"""seconds"""
REQUESTS = "requests.jsonl"
ANSWER_SECONDS = 5.0
"""how long a front end waits for an acknowledgement; a worker that lives answers within milliseconds"""
_LARGEST = 4096
"""bytes of a request or an answer"""


class ControlError(Exception):
    """A request that was not taken; the message says why."""


class Control:
    """What a worker has been asked for and has not done yet. Its threads put in, its loop takes out."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._paused = False
        self._stopping = False
        self._steps = 0
        self._rates: list[float] = []
        self.rest = 0.0
        """seconds to wait after each round of steps, for a watcher's eyes"""
        self._relay: Callable[[Mapping[str, Any]], None] | None = None
        self._journal: Path | None = None
        self._read = 0

    @property
    def stopping(self) -> bool:
        return self._stopping

    @property
    def paused(self) -> bool:
        """Whether to wait before the next step; a single step lets the loop through once."""
        return self._paused and not self._stopping

    def put(self, request: Mapping[str, Any]) -> None:
        """Take a request. Raises `ControlError` if it makes no sense."""
        kind, value = _checked(request)
        with self._changed:
            match kind:
                case "pause":
                    self._paused = True
                case "continue":
                    self._paused, self._steps = False, 0
                case "step":
                    self._paused, self._steps = True, self._steps + 1
                case "stop":
                    self._stopping = True
                case "rest":
                    self.rest = value
                case "learning_rate":
                    self._rates.append(value)
            if self._relay is not None:
                self._relay(request)
            self._changed.notify_all()

    def relay(self, others: Callable[[Mapping[str, Any]], None]) -> None:
        """Pass every further request on."""
        self._relay = others

    def stop(self, *_: object) -> None:
        """Handles SIGTERM: takes no lock, needs no room on the disk, and is never taken back."""
        self._stopping = True

    def take_rate(self) -> float | None:
        """The oldest learning rate asked for and not yet set."""
        with self._changed:
            return self._rates.pop(0) if self._rates else None

    def take_step(self) -> bool:
        """Whether a single step is asked for; it counts as done."""
        with self._changed:
            if self._steps:
                self._steps -= 1
                return True
            return False

    def wait(self, seconds: float) -> None:
        """Until something is asked, or `seconds` have passed."""
        with self._changed:
            self._changed.wait(seconds)

    def follow(self, directory: Path) -> None:
        """From here on `look` takes the requests in the run's file of requests."""
        self._journal = directory / REQUESTS

    def look(self) -> None:
        """Take what other hosts have asked since the last look."""
        if self._journal is None:
            return
        try:
            if self._journal.stat().st_size <= self._read:
                return
            with self._journal.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except OSError:
            return
        complete = data[: data.rfind(b"\n") + 1]
        self._read += len(complete)
        for line in complete.splitlines():
            with suppress(ControlError, ValueError, RecursionError):
                self.put(_mapping(line))


def _checked(request: Mapping[str, Any]) -> tuple[Kind, float]:
    """A request's kind and value, 0 where it needs none. Raises `ControlError`."""
    kind, value = request.get("request"), request.get("value", 0.0)
    if kind not in KINDS:
        raise ControlError(f"expected one of {', '.join(KINDS)}, got {kind!r}")
    if kind == "learning_rate" and not _is_rate(value):
        raise ControlError(f"learning_rate: expected a number above 0, got {value!r}")
    if kind == "rest" and not (value == 0 or (_is_rate(value) and value <= LONGEST_REST)):
        raise ControlError(f"rest: expected seconds from 0 to {LONGEST_REST:g}, got {value!r}")
    return kind, float(value) if kind in ("learning_rate", "rest") else 0.0


def _is_rate(rate: object) -> bool:
    if not isinstance(rate, int | float) or isinstance(rate, bool):
        return False
    try:
        return math.isfinite(rate) and rate > 0
    except OverflowError:  # an int beyond the largest float
        return False


def _mapping(data: bytes) -> Mapping[str, Any]:
    value = from_json(data)
    if not isinstance(value, dict):
        raise ControlError("expected a JSON object")
    return value


def ask(directory: Path, kind: Kind, value: float | None = None) -> None:
    """Ask the worker of the run in `directory`, wherever it is.

    Raises `ControlError` if it refuses, and OSError if it can be reached neither by socket nor by file.
    """
    request = to_json({"request": kind, **({} if value is None else {"value": value})}).encode()
    try:
        answer = _exchange(socket_path(directory), request)
    except OSError:
        descriptor = os.open(directory / REQUESTS, APPEND, 0o600)
        try:
            write_all(descriptor, request + b"\n")
        finally:
            os.close(descriptor)
        return
    if "error" in answer:
        raise ControlError(str(answer["error"]))


def _exchange(path: Path, request: bytes) -> Mapping[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(str(path))
        if _peer(connection) != os.getuid():
            raise PermissionError(f"{path}: not the user's own worker")
        connection.sendall(request)
        if not (answer := connection.recv(_LARGEST)):
            raise ConnectionResetError(f"{path}: the worker ended without an answer")
        return _mapping(answer)


def forget_requests(directory: Path) -> None:
    """Those in a run's file were for an earlier worker; for whoever starts the next one."""
    (directory / REQUESTS).unlink(missing_ok=True)


class Server:
    """Listens for requests to one run, in a thread of its own."""

    def __init__(self, directory: Path, control: Control) -> None:
        """Raises OSError if there can be no socket; `Control.follow` still serves then."""
        self._path = socket_path(directory)
        self._control = control
        self._path.unlink(missing_ok=True)  # of a worker that died: this one holds the run's lock
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.bind(str(self._path))
        except OSError:
            self._socket.close()
            raise
        self._socket.listen()
        threading.Thread(target=self._serve, name="control", daemon=True).start()

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            # each on its own: one that connects and says nothing is not waited for by the others
            threading.Thread(target=self._converse, args=(connection,), name="request", daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(ANSWER_SECONDS)
            if _peer(connection) == os.getuid():
                connection.sendall(to_json(self._answer(connection.recv(_LARGEST))).encode())

    def _answer(self, data: bytes) -> Mapping[str, Any]:
        try:
            self._control.put(_mapping(data))
        except (ControlError, ValueError, RecursionError) as error:
            return {"error": str(error)}
        return {"taken": True}


def socket_path(directory: Path) -> Path:
    """Where the worker of a run listens. Raises OSError if the folder of sockets is somebody else's, or open to all."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(base) / "mftui" if base else Path(tempfile.gettempdir()) / f"mftui-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(f"{folder}: expected a folder of mode 0700 that belongs to you")
    name = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:16]
    return folder / f"{name}.sock"


def _peer(connection: socket.socket) -> int:
    """User id of whoever is at the other end."""
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)
