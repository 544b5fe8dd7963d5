"""Who works on a run: POSIX record locks on the bytes of one file. Imports nothing slow.

A lock goes when its process ends, however it ends, so that a dead worker is told from a slow one at once. Children
don't inherit it. Closing *any* descriptor of the file would drop all of a process's locks, so a process that holds one
opens the file once, and never calls `holder`.

Byte 0 is held by the one process that leads the run, byte 1 + n by whoever works on unit n.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

LEADER = 0


def unit(number: int) -> int:
    """The byte of a unit of work."""
    return 1 + number


class Lock:
    """A process's hold on some bytes of a file; ends with the process."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def acquire(self, byte: int) -> bool:
        """Take a byte; False if another process holds it."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        return True

    def release(self, byte: int) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, byte)

    def beat(self) -> None:
        """Show other hosts, whose view of locks may be poorer, that this process lives: touch the file."""
        with suppress(OSError):
            os.utime(self._descriptor)

    def close(self) -> None:
        """Drop everything."""
        os.close(self._descriptor)


def holder(path: Path, byte: int | None = None) -> int | None:
    """Process id of whoever holds a byte, or any byte; None if nobody does. Takes nothing and never blocks.

    On network file systems the id may be another host's, or 0.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        start, length = (0, 0) if byte is None else (byte, 1)
        probe = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
        kind, _, _, _, pid = struct.unpack("hhqqi", fcntl.fcntl(descriptor, fcntl.F_GETLK, probe)[:28])
        return int(pid) if kind != fcntl.F_UNLCK else None
    finally:
        os.close(descriptor)
