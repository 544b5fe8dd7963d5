"""The explorer for tests of its screens: no worker of its own, a few finished runs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input

from engine.runs import worker
from engine.runs.catalog import RunError, runs_directory
from engine.runs.directory import RunDirectory
from engine.spec.preset import load
from mftui.app import Explorer
from mftui.screens.base import LabScreen
from mftui.screens.lists import ListScreen
from mftui.session import Session
from tests.pictures import text_on
from tests.runs import CEILING_SECONDS, make_run

S = TypeVar("S", bound=LabScreen)
SIZES = [(80, 24), (160, 45)]


def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the explorer would start is refused."""

    async def refuse(*_: object, **__: object) -> None:
        raise RunError("no worker in this test")

    monkeypatch.setattr(Session, "start", refuse)
    monkeypatch.setattr(Session, "go_on", refuse)
    monkeypatch.setattr(Session, "keep_spare", lambda _: None)


def finished_run(name: str, *overrides: str, folder: Path | None = None) -> RunDirectory:
    """A run in the user's folder, or another, computed in this process."""
    folder = folder or runs_directory()
    folder.mkdir(parents=True, exist_ok=True)
    run = make_run(folder / name, *overrides)
    (folder / f"{name}.toml").unlink()
    return computed(run)


def computed(run: RunDirectory) -> RunDirectory:
    """A run, computed in this process."""
    umask = os.umask(0o077)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)}
    try:
        assert worker.lead(run.path) == 0
    finally:  # put back what a worker changes of its process
        os.umask(umask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return run


def explorer() -> Explorer:
    return Explorer(load("quick-start"), "cpu")


async def until(pilot: Pilot[None], condition: Callable[[], object], what: str) -> None:
    """Look again and again; fails, with what is on the screen, rather than hangs."""
    deadline = time.monotonic() + CEILING_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what} on a screen that shows\n{text_on(pilot.app)}"
        await pilot.pause(0.02)


async def to_screen(pilot: Pilot[None], mode: str, kind: type[S]) -> S:
    """Go to a screen."""
    pilot.app.switch_mode(mode)
    await until(pilot, lambda: isinstance(pilot.app.screen, kind) and pilot.app.screen.is_mounted, mode)
    screen = pilot.app.screen
    assert isinstance(screen, kind)
    return screen


@asynccontextmanager
async def showing(
    mode: str, kind: type[S], size: tuple[int, int], ready: Callable[[S], object]
) -> AsyncIterator[tuple[Pilot[None], S]]:
    """An explorer at one of its screens, once that is ready."""
    app = explorer()
    async with app.run_test(size=size) as pilot:
        screen = await to_screen(pilot, mode, kind)
        await until(pilot, lambda: ready(screen), f"what {mode} shows")
        yield pilot, screen


EXTENTS = [(200, 60), (80, 24), (110, 30), (109, 30), (1, 1), (20, 5), (160, 45), (3, 60), (200, 2), (160, 45)]
"""to resize a terminal to, one after the other"""


def rows_of(app: Explorer) -> list[Strip]:
    """What the screen shows, row by row."""
    return app.screen._compositor.render_strips()


async def answer(pilot: Pilot[None], screen: ListScreen, text: str) -> None:
    """Wait for the prompt, and answer it."""
    await until(pilot, lambda: screen.prompt.has_class("-asking"), "the prompt")
    screen.prompt.query_one(Input).value = text
    await pilot.press("enter")


def notices(app: Explorer) -> list[str]:
    """What was notified."""
    return [notice.message for notice in app._notifications]
