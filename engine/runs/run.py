"""The one loop: units are taken, advanced side by side, one of each method, and left when they are done."""

from __future__ import annotations

import time
from typing import Literal

import torch

from engine.runs import lock
from engine.runs.control import Control
from engine.runs.crew import Report
from engine.runs.directory import RunDirectory
from engine.runs.lane import Lane, is_finished
from engine.runs.store import events_of_unit
from engine.runs.units import Unit, units
from engine.spec.settings import Method

POLL_SECONDS = 0.02
"""how long a paused loop sleeps between two looks at requests by file; those by socket wake it"""
TAKE_SECONDS = 1.0
"""between two tries for units that others hold: they come free only where a process dies"""

Outcome = Literal["finished", "stopped"]


class Loop:
    """Works on a run's units, as far as no other process holds them."""

    def __init__(
        self, run: RunDirectory, device: torch.device, held: lock.Lock, control: Control, report: Report
    ) -> None:
        self._run = run
        self._device = device
        self._held = held
        self._control = control
        self._report = report
        self._waiting = units(run.experiment)
        self._lanes: dict[Method, Lane] = {}
        self._told_of_pause = False
        self._next_take = 0.0

    @property
    def waiting(self) -> list[Unit]:
        """Units that this process has not taken."""
        return self._waiting

    @property
    def at_work(self) -> bool:
        return bool(self._lanes)

    def take(self) -> None:
        """Take units until there is one of each method at work, or none left. Raises `StoreFullError`."""
        self._next_take = time.monotonic() + TAKE_SECONDS
        for unit in list(self._waiting):
            if unit.method in self._lanes or not self._held.acquire(lock.unit(unit.number)):
                continue  # whoever finishes a unit holds it until it ends
            self._waiting.remove(unit)
            earlier = events_of_unit(self._run.path, unit.number)
            if not is_finished(unit, earlier):
                self._lanes[unit.method] = Lane(self._run, unit, self._device, self._remark, earlier)

    def work(self) -> Outcome:
        """Until nothing is left to take, or a stop is asked for. Raises `StoreFullError` when the disk is full."""
        self.take()
        while self._lanes:
            single_step = self._wait_while_paused()
            for method, lane in list(self._lanes.items()):
                self._control.look()
                if self._control.stopping:
                    self._leave()
                    return "stopped"
                if self._control.paused and not single_step:
                    break
                self._set_rates()
                lane.step(finely=single_step or bool(self._control.rest))
                if lane.done:
                    lane.close()
                    del self._lanes[method]
                    self._next_take = 0.0
            if time.monotonic() >= self._next_take:
                self.take()
            if self._control.rest:
                self._control.wait(self._control.rest)
        return "finished"

    def idle(self) -> None:
        """A moment of waiting for others, in which pauses are still told."""
        self._wait_while_paused()
        self._control.wait(POLL_SECONDS)
        self._control.look()

    def _remark(self, told: str) -> None:
        self._report("remark", told)

    def _wait_while_paused(self) -> bool:
        """Whether to make one round although the run is paused."""
        while self._control.paused:
            if self._control.take_step():
                return True
            if not self._told_of_pause:
                for lane in self._lanes.values():
                    lane.checkpoint()
                self._report("paused", "")
                self._told_of_pause = True
            self._control.wait(POLL_SECONDS)
            self._control.look()
            self._set_rates()
        if self._told_of_pause:
            self._report("continued", "")
            self._told_of_pause = False
        return False

    def _set_rates(self) -> None:
        while (rate := self._control.take_rate()) is not None:
            for lane in self._lanes.values():
                lane.change_learning_rate(rate)

    def _leave(self) -> None:
        for lane in self._lanes.values():
            lane.checkpoint()
            lane.close()
