"""What is on its way to a terminal, by its answers: on a link simulated by the clock."""

from __future__ import annotations

import pytest
from textual._xterm_parser import XTermParser
from textual.events import CursorPosition, Key

from mftui import terminal
from mftui.terminal import PATIENCE_SECONDS, PIECE_SECONDS, Governor


class Link:
    """Passes on so many bytes a second, and answers questions after a round trip; time goes as the test says."""

    def __init__(self, governor: Governor, rate: float, round_trip: float) -> None:
        self.governor, self.rate, self.round_trip = governor, rate, round_trip
        self.now = 1000.0
        self._free = self.now
        """when it will have passed on all"""
        self._answers: list[float] = []

    def clock(self) -> float:
        return self.now

    def ask(self) -> None:
        self._answers.append(self._free + self.round_trip)

    def write(self, count: int) -> None:
        """A picture of so many bytes."""
        self.governor.spend(count)
        self._free = max(self.now, self._free) + count / self.rate
        self.governor.ask()

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while self._answers and self._answers[0] <= until:
            self.now = self._answers.pop(0)
            self.governor.answered()
        self.now = until


def link(monkeypatch: pytest.MonkeyPatch, rate: float, round_trip: float = 0.02) -> Link:
    made = Link(Governor(rate=1e9), rate, round_trip)
    monkeypatch.setattr(terminal.time, "monotonic", made.clock)
    made.governor._at = made.now
    made.governor.ask_by(made.ask)
    made.wait(1.0)
    return made


@pytest.mark.parametrize("round_trip", [0.001, 0.3])
def test_on_a_slow_link_no_more_is_on_its_way_than_passes_soon(
    round_trip: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = link(monkeypatch, 20_000, round_trip)
    for _ in range(6):
        slow.write(20_000)
        slow.wait(3.0)
    assert slow.governor.slow
    assert slow.governor.piece == pytest.approx(PIECE_SECONDS * 20_000, rel=0.1)
    slow.write(5_000)
    assert not slow.governor.has_arrived()
    assert not slow.governor.has_room()
    slow.wait(0.25 + round_trip + 0.01)
    assert slow.governor.has_arrived()


def test_a_link_that_slows_down_is_noticed_before_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    found = link(monkeypatch, 1e7)
    found.write(30_000)
    found.wait(1.0)
    assert found.governor.piece > 1e6
    found.rate = 5_000
    found.write(30_000)
    found.wait(1.0)
    assert not found.governor.has_arrived()


def test_a_link_that_has_become_fast_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    found = link(monkeypatch, 20_000)
    for _ in range(5):
        found.write(20_000)
        found.wait(3.0)
    assert found.governor.slow
    found.rate = 1e7
    for _ in range(10):
        found.write(3_000)
        found.wait(0.5)
    assert not found.governor.slow
    assert found.governor.piece > 30_000


@pytest.mark.parametrize("round_trip", [0.001, 0.3])
def test_a_fast_link_is_never_taken_for_a_slow_one(round_trip: float, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = link(monkeypatch, 1e7, round_trip)
    for count in (30_000, 500, 2_000, 20_000, 300) * 10:
        fast.write(count)
        assert fast.governor.has_arrived()
        fast.wait(0.1)
    assert not fast.governor.slow


def test_a_terminal_that_never_answers_is_sent_everything_and_soon_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silent = link(monkeypatch, 1e7)
    asked: list[float] = []
    silent.governor = Governor(rate=1e9)
    silent.governor.ask_by(lambda: asked.append(silent.now))
    for _ in range(100):
        silent.write(20_000)
        silent.wait(0.5)
        assert silent.governor.has_room()
    assert not silent.governor.waits
    assert max(asked) <= 1001.0 + PATIENCE_SECONDS + 0.5


def test_an_answer_that_got_lost_holds_nothing_up_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    found = link(monkeypatch, 20_000)
    found.write(20_000)
    found._answers.clear()
    found.wait(2.0)
    assert not found.governor.has_arrived()
    found.wait(PATIENCE_SECONDS)
    found.governor.ask()
    assert found.governor.has_arrived()


def test_an_answer_of_the_terminal_is_no_key() -> None:
    messages = list(XTermParser().feed("a\x1b[24;80Rb"))
    assert [type(each) for each in messages if isinstance(each, Key | CursorPosition)] == [Key, CursorPosition, Key]
