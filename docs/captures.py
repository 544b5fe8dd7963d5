"""Regenerates the README's picture of the explorer, docs/explorer.svg, from a real run: `python docs/captures.py`."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from engine.spec.preset import load
from mftui.app import Explorer

PICTURE = Path(__file__).parent / "explorer.svg"
SIZE = (160, 45)
SETTINGS = ["gnc.sampler=rejection", "gnc.eps_train=0.1", "gnc.draws=8_000_000", "gnc.effective_samples=8_000_000"]
"""plain guessing that lasts as long as the descent, so that both are seen at work"""
PATIENCE_SECONDS = 120.0


def worth_showing(app: Explorer) -> bool:
    """The first trial's descent is past its plateau, and Guess & Check has enough hits for a histogram."""
    live = app.live
    if live is None:
        return False
    curve, guesses = live.curves.get((0, 0)), live.guesses.get((0, "gnc", 0))
    return bool(curve and curve.steps[-1] >= 4_000 and guesses and len(guesses.generalization_loss) >= 2_000)


def self_contained(svg: str) -> str:
    """Without the fonts that Textual's pictures load from elsewhere: the reader's own monospaced font serves."""
    svg = re.sub(r"@font-face\s*{[^}]*}", "", svg)
    return svg.replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")


async def capture() -> None:
    app = Explorer(load("quick-start", SETTINGS), "cpu")
    async with app.run_test(size=SIZE) as pilot:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not worth_showing(app) and time.monotonic() < deadline:
            await pilot.pause(0.1)
        PICTURE.write_text(self_contained(app.export_screenshot()), encoding="utf-8")
        await app.action_quit()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        os.environ["MFTUI_HOME"] = home
        asyncio.run(capture())
    sys.stderr.write(f"wrote {PICTURE}\n")
