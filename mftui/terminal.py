"""What goes to the terminal: no more bytes than the link takes.

`Governor` counts what is written and what has arrived, and says when there is room for another frame: stale frames are
dropped, never queued, so that a key acts at once on a slow link.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable

from textual.drivers.linux_driver import LinuxDriver
from textual.events import CursorPosition, Key
from textual.message import Message

from mftui.encoding import in_ascii, knows_unicode

LOCAL_RATE = 1_000_000
"""bytes a second; a terminal on the same machine takes more"""
SSH_RATE = 48_000
LOW_BANDWIDTH_RATE = 8_000
BURST_SECONDS = 0.5
"""of the rate may be sent at once"""
WINDOW_SECONDS = 2.0
"""over which the rate shown is averaged"""
SLOW_RATE = 40_000
"""bytes a second: a link that takes less is called one of low bandwidth, until it takes twice as much"""
SHARE = 0.5
"""of what a slow link takes goes into frames; the rest is for what keys change"""
PIECE_SECONDS = 0.15
LEAST_PIECE = 500
"""bytes"""
TELLING = 2_500
"""bytes: fewer may pass at once on a link that is slow all the same"""
ASKED_AFTER = 256
"""bytes: fewer are not worth a question"""
GRACE_SECONDS = 0.02
"""that an answer may take besides, from one time to the next"""
PATIENCE_SECONDS = 10.0
"""after which an answer is taken for lost"""
LAST_SECONDS = 1.0
"""that we wait for answers on leaving, or they would go to the shell"""
ASK = "\x1b[6n"


class Governor:
    """A token bucket over the bytes written, and what the terminal has taken of them.

    Between us and the terminal are buffers of hundreds of kilobytes: the kernel's, ssh's, TCP's. So after a picture we
    ask the terminal where its cursor is; with the answer, what was written before the question has arrived. On a link
    that turns out to be slow, no more is on its way than it passes on in `PIECE_SECONDS`. Terminals that never answer
    are sent all there is.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        """bytes a second, at most, in the long run"""
        self.total = 0
        self.pending: Callable[[], int] = lambda: 0
        """writes that the terminal has not taken yet"""
        self.arrived: Callable[[], None] = lambda: None
        """to be called when a picture has"""
        self.slow = False
        """whether the link takes few bytes"""
        self.key_read = 0.0
        """when the last key came, handled or not"""
        self._tokens = rate * BURST_SECONDS
        self._at = time.monotonic()
        self._marks: list[tuple[float, int]] = []
        self._ask: Callable[[], None] | None = None
        self._asked: deque[tuple[float, int]] = deque()
        """for each question that has no answer yet: when, and after how many bytes"""
        self._taken, self._taken_at = 0, 0.0
        """bytes, and since when that is known"""
        self._round_trip = float("inf")
        self._slowness = 0.0
        """seconds a byte"""

    def spend(self, count: int) -> None:
        self.total += count
        self._tokens -= count

    def has_room(self) -> bool:
        """Whether another frame may be drawn now; keys are always answered."""
        now = time.monotonic()
        slowness = self._slowness_at(now)
        rate = min(self.rate, SHARE / slowness) if slowness else self.rate
        self._tokens = min(rate * BURST_SECONDS, self._tokens + (now - self._at) * rate)
        self._at = now
        return self._tokens > 0 and not self.pending() and self.has_arrived()

    def has_arrived(self) -> bool:
        """Whether so little is on its way that what is written now is seen soon."""
        return self.total - self._taken <= self.piece

    @property
    def piece(self) -> float:
        """Bytes that may be on their way, infinite unless the link is known to be slow."""
        slowness = self._slowness_at(time.monotonic())
        return max(LEAST_PIECE, PIECE_SECONDS / slowness) if slowness else float("inf")

    def measured(self) -> float:
        """Bytes a second, lately."""
        now = time.monotonic()
        self._marks = [mark for mark in self._marks if mark[0] > now - WINDOW_SECONDS] + [(now, self.total)]
        first, count = self._marks[0]
        return (self.total - count) / (now - first) if now - first > WINDOW_SECONDS / 4 else 0.0

    # --- questions to the terminal -----------------------------------------------------------------------------------

    def ask_by(self, ask: Callable[[], None] | None) -> None:
        """How the terminal is asked from now on, or that it no longer is; it is asked at once."""
        self._ask = ask
        self._asked.clear()
        if ask is not None:
            self._put(ask, time.monotonic())

    def ask(self) -> None:
        """After a picture: ask whether it has arrived."""
        now = time.monotonic()
        if self._asked and now - self._asked[0][0] > PATIENCE_SECONDS:
            self._asked.clear()
            self._taken, self._taken_at = self.total, now
            if self._round_trip == float("inf"):
                self._ask = None  # it never answers
        last = self._asked[-1][1] if self._asked else self._taken
        if self._ask is not None and self.total - last >= ASKED_AFTER:
            self._put(self._ask, now)

    def _put(self, ask: Callable[[], None], now: float) -> None:
        self._asked.append((now, self.total))
        ask()

    def answered(self) -> None:
        """The terminal has taken all that was written before the oldest question."""
        if not self._asked:
            return
        now = time.monotonic()
        asked, total = self._asked.popleft()
        idle = asked > self._taken_at
        self._round_trip = min(now - asked, self._round_trip * (1.02 if idle else 1.0))
        waited = self._passing(asked, now)
        count = total - self._taken
        if count >= ASKED_AFTER:
            now_is = max(0.0, waited) / count
            telling = count >= TELLING or now_is > self._slowness
            self._slowness += (now_is - self._slowness) * (0.5 if telling else 0.02)
            self.slow = self._slowness * (SLOW_RATE if not self.slow else 2 * SLOW_RATE) > 1
        self._taken, self._taken_at = total, now

    def _slowness_at(self, now: float) -> float:
        """As last measured, or more if an answer has been due for long."""
        try:
            asked, total = self._asked[0]
        except IndexError:  # answers come in a thread
            return self._slowness
        return max(self._slowness, self._passing(asked, now) / max(ASKED_AFTER, total - self._taken))

    def _passing(self, asked: float, now: float) -> float:
        """Seconds that the link has needed, if the answer comes now, for what it did not have at the answer before."""
        return now - self._round_trip - max(asked, self._taken_at - self._round_trip) - GRACE_SECONDS

    @property
    def waits(self) -> bool:
        """Whether there is a question that will have an answer."""
        return bool(self._asked) and self._round_trip < float("inf")


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
    """Tells the app's governor of every byte, and of the terminal's answers."""

    @property
    def _governor(self) -> Governor | None:
        return getattr(self._app, "governor", None)

    def start_application_mode(self) -> None:
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if self._governor is not None and self.input_tty:
            self._governor.ask_by(lambda: self.write(ASK))

    def disable_input(self) -> None:
        if (governor := self._governor) is not None:
            until = time.monotonic() + LAST_SECONDS
            while governor.waits and time.monotonic() < until:
                time.sleep(0.01)
            governor.ask_by(None)
        super().disable_input()

    def process_message(self, message: Message) -> None:
        """In a thread: a position of the cursor is an answer to us, and nobody else asks for it."""
        governor = self._governor
        if governor is not None and isinstance(message, Key):
            governor.key_read = time.monotonic()
        if governor is None or not isinstance(message, CursorPosition):
            super().process_message(message)
            return
        governor.answered()
        self._loop.call_soon_threadsafe(governor.arrived)

    def write(self, data: str) -> None:
        if not knows_unicode():
            data = in_ascii(data)
        if (governor := self._governor) is not None:
            governor.spend(len(data.encode(errors="replace")))
            if self._writer_thread is not None:
                governor.pending = self._writer_thread._queue.qsize
        super().write(data)
