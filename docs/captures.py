"""Regenerates the pictures of the explorer, docs/*.svg, from real runs: `make captures`."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from engine.spec.preset import load
from mftui.app import Explorer

FOLDER = Path(__file__).parent
SIZE = (160, 45)
GUESSING = ["gnc.sampler=rejection", "gnc.eps_train=0.1", "gnc.draws=8_000_000", "gnc.effective_samples=8_000_000"]
"""plain guessing that lasts as long as the descent, so that both are seen at work"""
PATIENCE_SECONDS = 120.0
SETTLE_SECONDS = 1.5


def at_work(app: Explorer) -> bool:
    """The first trial's descent is past its plateau, and Guess & Check has enough hits for a histogram."""
    live = app.session.live
    if live is None:
        return False
    curve, guesses = live.curves.get((0, 0)), live.guesses.get((0, "gnc", 0))
    return bool(curve and curve.steps[-1] >= 4_000 and guesses and len(guesses.generalization_loss) >= 2_000)


def finished(app: Explorer) -> bool:
    return app.session.live is not None and app.session.live.state == "finished"


def tour_finished(app: Explorer) -> bool:
    return app.tour_session.live is not None and app.tour_session.live.state == "finished"


async def _until(pilot: Pilot[None], app: Explorer, condition: Callable[[Explorer], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition(app) and time.monotonic() < deadline:
        await pilot.pause(0.1)


def _write(app: Explorer, name: str) -> None:
    path = FOLDER / f"{name}.svg"
    path.write_text(app.export_screenshot(), encoding="utf-8")
    sys.stderr.write(f"wrote {path}\n")


async def explore() -> None:
    app = Explorer(load("quick-start", GUESSING), "cpu")
    async with app.run_test(size=SIZE) as pilot:
        await _until(pilot, app, at_work)
        while app.explore.shown != (0, 0):  # the trial whose guesses are under way
            await pilot.press("left_square_bracket" if app.explore.shown[0] else "left_curly_bracket")
        await pilot.pause(SETTLE_SECONDS)
        _write(app, "explorer")
        await app.action_quit()


async def matrices() -> None:
    app = Explorer(load("incremental-learning", ["seeds=1"]), "cpu")
    async with app.run_test(size=SIZE) as pilot:
        await _until(pilot, app, finished)
        await pilot.press("v")
        await pilot.pause(SETTLE_SECONDS)
        _write(app, "matrices")
        await app.action_quit()


async def sweep_and_others() -> None:
    app = Explorer(load("tour-wide"), "cpu")
    async with app.run_test(size=SIZE) as pilot:
        await _until(pilot, app, finished)
        for mode in ("sweep", "runs", "presets"):
            app.switch_mode(mode)
            await pilot.pause(SETTLE_SECONDS)
            _write(app, mode)
        app.switch_mode("tour")
        await pilot.pause(SETTLE_SECONDS)
        await _until(pilot, app, tour_finished)
        await pilot.pause(SETTLE_SECONDS)
        _write(app, "tour")
        await app.action_quit()


async def main() -> None:
    await explore()
    await matrices()
    await sweep_and_others()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"MFTUI_HOME": home, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        asyncio.run(main())
