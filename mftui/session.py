"""A run on the screen, and the spare worker that waits for the next one. Knows nothing of widgets."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from engine.runs import catalog
from engine.runs.catalog import RunError
from engine.runs.control import ControlError, Kind
from engine.runs.directory import RunDirectory
from engine.runs.launch import Spare
from engine.spec.experiment import Experiment
from mftui.live import LiveRun

STOP_SECONDS = 2.0
"""how long a worker may take to stop before we go on without it"""


class Session:
    """One run at a time; starting another stops it, but a run that is only watched goes on."""

    def __init__(self, device: str, spare: Spare | None = None) -> None:
        """`spare` is a worker for the first run."""
        self.device = device
        self.live: LiveRun | None = None
        self.stopping = False
        self.ours = False
        """whether the run was started here, and is stopped for another"""
        self._spares = [spare] if spare else []
        """one at most; shared with the sessions beside this one"""
        self._starting = asyncio.Lock()
        self._ending: list[LiveRun] = []
        """runs left behind whose workers were slow to stop"""
        self._passing: set[Path] = set()
        """runs that nobody asked for, such as those of the tour's pages"""

    def beside(self) -> Session:
        """Another, with a run of its own and the same spare worker."""
        other = Session(self.device)
        other._spares = self._spares
        return other

    async def start(self, experiment: Experiment, *, in_passing: bool = False) -> None:
        """Raises `RunError` or OSError if the run can't be made or started.

        A run begun in passing is removed, if it is left for another before its first result.
        """
        async with self._starting:
            await self._leave()
            run = await asyncio.to_thread(RunDirectory.create, experiment, self.device, urgent=True)
            spare = self._spares.pop() if self._spares else None
            self.live = await asyncio.to_thread(LiveRun.start, run, spare)
            self.ours = True
            if in_passing:
                self._passing.add(run.path)

    async def go_on(self, run: RunDirectory) -> None:
        """Resume a run that was stopped or died. Raises `RunError` or OSError."""
        async with self._starting:
            await self._leave()
            self.live = await asyncio.to_thread(LiveRun.start, run)
            self.ours = True

    async def watch(self, run: RunDirectory) -> None:
        """Show a run that somebody else started, or that is over."""
        async with self._starting:
            await self._leave()
            live = LiveRun(run)
            await asyncio.to_thread(live.poll)  # before anybody else polls it
            self.live, self.ours = live, False

    async def take_over(self, other: Session) -> None:
        """Show what the other session shows, from here on this one's."""
        async with self._starting:
            await self._leave()
            self.live, self.ours = other.live, other.ours
            other.live, other.ours = None, False

    @property
    def at_work(self) -> bool:
        """Whether there is a run that goes on, or one left behind whose end is to be seen to."""
        return bool(self._ending) or (self.live is not None and not self.live.over)

    @property
    def at_work_here(self) -> bool:
        """Whether there is a run that would be stopped."""
        return self.ours and self.live is not None and not self.live.over

    def keep_spare(self) -> None:
        """Have a worker ready for the next start: it has loaded what takes seconds."""
        if not self._spares:
            self._spares.append(Spare())

    async def ask(self, kind: Kind, value: float | None = None) -> None:
        """Raises `ControlError` if the worker refuses, OSError if it can't be reached."""
        if self.live is not None and not self.live.over:
            before, self.stopping = self.stopping, self.stopping or kind == "stop"
            try:
                await asyncio.to_thread(self.live.ask, kind, value)
            except (ControlError, OSError):
                self.stopping = before
                raise

    def poll(self) -> bool:
        """Read what is new; True if anything was."""
        self._ending = [live for live in self._ending if not self._has_ended(live)]
        if self.live is None or not self.live.poll():
            return False
        if self.live.over:
            self.stopping = False
        return True

    def detach(self) -> None:
        """From here on the run goes on whatever becomes of this session."""
        self.ours = False

    async def close(self) -> None:
        """Stop what was started here."""
        async with self._starting:
            while self._spares:
                self._spares.pop().dismiss()
            await self._leave()

    async def _leave(self) -> None:
        live = self.live
        if live is None or not self.at_work_here:
            return
        await self.ask("stop")
        await asyncio.to_thread(live.wait, STOP_SECONDS)
        if not self._has_ended(live):
            self._ending.append(live)
        self.stopping = False

    def _has_ended(self, live: LiveRun) -> bool:
        if not live.wait(0):
            return False
        live.poll()  # all of it, now
        if live.run.path in self._passing and not live.results:
            with suppress(RunError):
                catalog.remove(live.run.path)
        return True
