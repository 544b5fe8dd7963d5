"""What goes to the terminal: no more bytes than the link takes.

`Governor` counts what is written, and says when there is room for another frame: stale frames are dropped, never
queued, so that a key acts at once on a slow link.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from textual.drivers.linux_driver import LinuxDriver

from mftui.encoding import in_ascii, knows_unicode

LOCAL_RATE = 1_000_000
"""bytes a second; a terminal on the same machine takes more"""
SSH_RATE = 48_000
LOW_BANDWIDTH_RATE = 8_000
BURST_SECONDS = 0.5
"""of the rate may be sent at once"""
WINDOW_SECONDS = 2.0
"""over which the rate shown is averaged"""


class Governor:
    """A token bucket over the bytes written."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        """bytes a second, at most, in the long run"""
        self.total = 0
        self.pending: Callable[[], int] = lambda: 0
        """writes that the terminal has not taken yet"""
        self._tokens = rate * BURST_SECONDS
        self._at = time.monotonic()
        self._marks: list[tuple[float, int]] = []

    def spend(self, count: int) -> None:
        self.total += count
        self._tokens -= count

    def has_room(self) -> bool:
        """Whether another frame may be drawn now; keys are always answered."""
        now = time.monotonic()
        self._tokens = min(self.rate * BURST_SECONDS, self._tokens + (now - self._at) * self.rate)
        self._at = now
        return self._tokens > 0 and not self.pending()

    def measured(self) -> float:
        """Bytes a second, lately."""
        now = time.monotonic()
        self._marks = [mark for mark in self._marks if mark[0] > now - WINDOW_SECONDS] + [(now, self.total)]
        first, count = self._marks[0]
        return (self.total - count) / (now - first) if now - first > WINDOW_SECONDS / 4 else 0.0


def rate_for(link: str | None, *, low_bandwidth: bool, max_rate: int | None) -> float:
    """Bytes a second for a session over `link` (SSH_CONNECTION or SSH_TTY, None if local)."""
    if max_rate is not None:
        return float(max_rate)
    if low_bandwidth:
        return LOW_BANDWIDTH_RATE
    return SSH_RATE if link else LOCAL_RATE


def ssh_link() -> str | None:
    """What ssh says of the connection; None on a terminal of this machine."""
    return os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY") or None


class CountingDriver(LinuxDriver):
    """Tells the app's governor of every byte."""

    def write(self, data: str) -> None:
        if not knows_unicode():
            data = in_ascii(data)
        governor: Governor | None = getattr(self._app, "governor", None)
        if governor is not None:
            governor.spend(len(data.encode(errors="replace")))
            if self._writer_thread is not None:
                governor.pending = self._writer_thread._queue.qsize
        super().write(data)
