"""Every screen at three sizes, as it was when somebody last looked at it.

The pictures in tests/snapshots/ are what the screens show of a made-up run. After a change that is meant, make them
anew, look at them in a browser, and commit them:

    MFTUI_SNAPSHOTS=update pytest tests/test_snapshots.py
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from rich.segment import Segment
from textual.pilot import Pilot

from engine.runs import catalog
from engine.runs.directory import RunDirectory
from engine.runs.store import EventLog, Writer
from engine.spec import preset
from engine.spec.experiment import Experiment
from mftui import app as app_module
from mftui.app import Explorer
from mftui.screens import runs as runs_module
from mftui.screens import tour as tour_module
from mftui.screens.explore import ExploreScreen
from mftui.screens.presets import PresetsScreen
from mftui.screens.runs import RunsScreen
from mftui.screens.sweep import SweepScreen
from mftui.screens.tour import TourScreen
from mftui.session import Session
from mftui.tour import parse as parse_page
from mftui.views import canvas_view, roles
from mftui.views.help_screen import HelpScreen
from tests.lab import to_screen, until
from tests.pictures import cells, difference, picture
from tests.sweeps import sweep_of

FOLDER = Path(__file__).parent / "snapshots"
STILL_LOOKS = 10
"""a fifth of a second at least: two frames of the explorer"""
UPDATE = os.environ.get("MFTUI_SNAPSHOTS") == "update"
SIZES = [(80, 24), (160, 45), (200, 60)]
THEN = 1_699_963_200.0
"""2023-11-14, at noon"""
MADE_UP = """
title = "Made up: three widths"
about = "A run that nobody computed.\\n\\nIts curves are formulas, so that they are the same everywhere."
seeds = 2
[gd]
steps = 2_000
log_every = 20
[gnc]
sampler = "rejection"
eps_train = 0.05
[sweep]
over = "model.width"
values = [5, 20, 80]
"""
PAGE = """title: A page of the tour
preset: made-up
panes: singular values, results

A paragraph about *matrix factorization*, which is long enough to be broken into several lines on every screen.

## The formula

    W = W_3 W_2 W_1

- one thing to look for
- another one, with W* in it
"""
TRUTH = np.array([3.0, 2.0, 1.0, 0.0, 0.0])


def pinned_textual() -> str:
    """What the pictures were made with: other versions of Textual draw frames and footers of their own."""
    found = re.search(r"^textual==(\S+)$", (FOLDER.parents[1] / "constraints.txt").read_text(), re.MULTILINE)
    assert found
    return found[1]


def curves(width: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Singular values that rise one by one, and what is left to learn."""
    steps = np.arange(0, 2_001, 20.0)
    begin = np.array([200, 500, 900, 1500, 1800]) + 100 * seed + width
    values = np.maximum(TRUTH, 0.02) / (1 + np.exp(-(steps[:, None] - begin) / 60))
    left = ((TRUTH - values) ** 2).sum(1)
    return np.column_stack([steps, left / 40 + 1e-9, left / 20 + 1e-6, values]), steps


def write_run(run: RunDirectory) -> None:
    """All that a worker would have stored."""
    writer = Writer(run.path, run.tables, 0)
    for point, settings in enumerate(run.experiment.points):
        for seed in range(run.experiment.seeds):
            rows, steps = curves(settings.model.width, seed)
            place = np.full((len(steps), 2), [point, seed])
            writer.event("truth", point=point, seed=seed, singular_values=TRUTH.tolist(), matrix=None, observed=None)
            writer.rows("gd", np.hstack([place, rows]))
            columns = np.arange(len(run.tables["diagnostics"]) - 3)
            diagnostics = 1 + (1 + columns % 5) * np.exp(-steps[:, None] / 700)
            writer.rows("diagnostics", np.hstack([place, steps[:, None], diagnostics]))
            for method, scale, hits in ((1, 0.3, 2_000), (2, 0.1, 900)):
                share = (np.arange(hits) + 0.5) / hits
                losses = scale * (share / (1 - share)) ** 0.4
                sample = np.column_stack([np.zeros(hits), losses / 4, losses, np.zeros(hits)])
                writer.rows("guesses", [[point, method, seed, 40_000, hits, 0.01]])
                writer.rows("samples", np.hstack([np.full((hits, 3), [point, method, seed]), sample]))
            for index in range(3):
                writer.rows("progress", [[THEN, point, index, seed, 2_000, 1.0]])
    for result in sweep_of(run.experiment, lambda width, seed: 0.9 / width**0.5 + 0.02 * seed):
        writer.event("trial", **result.to_json())
    writer.close()


def make_run(name: str, experiment: Experiment, last: str) -> RunDirectory:
    """A run of long ago that came to this end."""
    catalog.runs_directory().mkdir(parents=True, exist_ok=True)
    run = RunDirectory.create(experiment, "cpu", catalog.runs_directory() / name)
    with EventLog(run.path) as log:
        log.event("started", pid=1)
        log.event("device", device="cpu")
        log.event(last, **({"message": "out of memory"} if last == "failed" else {}))
    return run


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunDirectory]:
    """The run that the explorer shows, among others, where nothing depends on the time, the place or the machine."""
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "made-up.toml").write_text(MADE_UP)
    for name in ("quick-start", "another"):
        (folder / f"{name}.toml").write_text(f'extends = "made-up"\ntitle = "{name.title()}"\nseeds = 1\n')
    monkeypatch.setattr(preset, "preset_directory", lambda: folder)
    monkeypatch.setattr(tour_module, "pages", lambda: (parse_page(1, PAGE),))
    monkeypatch.setattr(runs_module, "format_size", lambda _: "84 kB")
    monkeypatch.setattr(Explorer, "_read_link", lambda _: None)
    monkeypatch.setattr(canvas_view, "knows_unicode", lambda: True)
    for name in ("NO_COLOR", "TEXTUAL_THEME"):
        monkeypatch.delenv(name, raising=False)
    for module in (roles, canvas_view, app_module):
        monkeypatch.setattr(module, "few_colors", lambda: False)
    forget_the_terminal()
    experiment = preset.load("made-up")
    with monkeypatch.context() as then:
        then.setattr(time, "time", lambda: THEN)
        for name, last in (("an-earlier-one", "stopped"), ("one-that-failed", "failed")):
            make_run(name, preset.load("another"), last)
        run = make_run("made-up-20231114", experiment, "finished")
        write_run(run)
    catalog.write_note(run.path, "looks right")

    async def watch(session: Session, _: Experiment, **__: object) -> None:
        await session.watch(run)

    monkeypatch.setattr(Session, "start", watch)
    monkeypatch.setattr(Session, "keep_spare", lambda _: None)
    yield run
    forget_the_terminal()


def forget_the_terminal() -> None:
    """What is asked once only."""
    for cached in (canvas_view.glyphs, roles.rich_style):
        cached.cache_clear()


async def explore(pilot: Pilot[None]) -> None:
    screen = await to_screen(pilot, "explore", ExploreScreen)
    await until(pilot, lambda: screen.trial is not None and len(screen.trial.results) == 3, "the run")
    await pilot.press("t")


async def sweep(pilot: Pilot[None]) -> None:
    screen = await to_screen(pilot, "sweep", SweepScreen)
    await until(pilot, lambda: screen.view is not None, "the sweep")
    await pilot.press("right", "T")


async def runs(pilot: Pilot[None]) -> None:
    screen = await to_screen(pilot, "runs", RunsScreen)
    await until(pilot, lambda: len(screen.roster.rows) == 3 and screen._overlaid, "the list")
    await pilot.press("home", "down", "space")
    await until(pilot, lambda: screen.marks and len(screen._overlaid[0].curve.table) == 101, "its curves")


async def presets(pilot: Pilot[None]) -> None:
    screen = await to_screen(pilot, "presets", PresetsScreen)
    await until(pilot, lambda: screen.roster.rows, "the list")


async def tour(pilot: Pilot[None]) -> None:
    screen = await to_screen(pilot, "tour", TourScreen)
    await until(pilot, lambda: screen.live is not None, "the page")


async def keys(pilot: Pilot[None]) -> None:
    await to_screen(pilot, "explore", ExploreScreen)
    await pilot.press("question_mark")
    await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen), "the keys")


SCREENS: dict[str, Callable[[Pilot[None]], Awaitable[None]]] = {
    "explore": explore,
    "sweep": sweep,
    "runs": runs,
    "presets": presets,
    "tour": tour,
    "help": keys,
}


async def settled(pilot: Pilot[None]) -> str:
    """The picture, once it has stayed as it is for a while."""
    shown: list[list[list[Segment]]] = []

    def stays() -> bool:
        shown.append(cells(pilot.app))
        return len(shown) > STILL_LOOKS and all(each == shown[-1] for each in shown[-STILL_LOOKS:])

    await until(pilot, stays, "a picture that stays")
    return picture(pilot.app)


@pytest.mark.skipif(version("textual") != pinned_textual(), reason=f"made with Textual {pinned_textual()}")
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(size, id=f"{size[0]}x{size[1]}", marks=[] if size == SIZES[0] else [pytest.mark.slow])
        for size in SIZES
    ],
)
async def test_every_screen_looks_as_it_did(size: tuple[int, int], shown: RunDirectory) -> None:
    app = Explorer(shown.experiment, "cpu")
    changed = {}
    async with app.run_test(size=size) as pilot:
        for name, go in SCREENS.items():
            await go(pilot)
            now, file = await settled(pilot), FOLDER / f"{name}-{size[0]}x{size[1]}.svg"
            if UPDATE:
                file.parent.mkdir(exist_ok=True)
                file.write_text(now, encoding="utf-8")
            elif now != (before := file.read_text(encoding="utf-8") if file.exists() else ""):
                changed[file.name] = difference(before, now)
    assert not changed, "\n\n".join(f"{name}:\n{told}" for name, told in changed.items())
