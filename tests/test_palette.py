"""What ctrl+p opens: commands to search in, to choose from, to run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from textual.app import SystemCommand
from textual.pilot import Pilot

from engine.spec.preset import load
from mftui.app import Explorer
from mftui.views.palette_screen import PaletteScreen
from tests.lab import no_worker, until
from tests.pictures import text_on


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    no_worker(monkeypatch)


@asynccontextmanager
async def palette() -> AsyncIterator[tuple[Pilot[None], PaletteScreen, list[str]]]:
    """One of three commands, and the names of those that were run."""
    ran: list[str] = []
    commands = [
        SystemCommand(name, f"what {name} does", partial(ran.append, name)) for name in ("Zoom out", "Run", "Zoom")
    ]
    app = Explorer(load("quick-start"), "cpu")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = PaletteScreen(commands, "Search…")
        await app.push_screen(screen)
        await pilot.pause()
        yield pilot, screen, ran


async def test_the_palette_lists_all_by_name_or_those_that_match() -> None:
    async with palette() as (pilot, screen, ran):
        assert [each.title for each in screen.list.found] == ["Run", "Zoom", "Zoom out"]
        await pilot.press(*"zot")
        assert [each.title for each in screen.list.found] == ["Zoom out"]
        await pilot.press("backspace")
        assert [each.title for each in screen.list.found] == ["Zoom", "Zoom out"]
        await pilot.press("q")
        await pilot.pause()
        assert "no command matches" in text_on(pilot.app)
        await pilot.press("enter")
        assert pilot.app.screen is screen
        await pilot.press("escape")
        assert pilot.app.screen is not screen
        assert ran == []


@pytest.mark.parametrize(
    ("keys", "run"),
    [
        ("enter", "Run"),
        ("down enter", "Zoom"),
        ("down up enter", "Run"),
        ("ctrl+end enter", "Zoom out"),
        ("pagedown enter", "Zoom out"),
        ("pagedown pageup enter", "Run"),
        ("ctrl+end down ctrl+home up enter", "Run"),
    ],
)
async def test_keys_choose_in_the_palette_and_enter_runs(keys: str, run: str) -> None:
    async with palette() as (pilot, screen, ran):
        await pilot.press(*keys.split())
        await until(pilot, lambda: ran == [run] and pilot.app.screen is not screen, run)


async def test_a_click_runs_a_command_or_closes_the_palette() -> None:
    async with palette() as (pilot, screen, ran):
        await pilot.hover(screen.list, offset=(5, 1))
        await until(pilot, lambda: screen.list.place == 1, "what the mouse points at")
        await pilot.click(screen.list, offset=(5, 1))
        await until(pilot, lambda: ran == ["Zoom"] and pilot.app.screen is not screen, "its command")
        await pilot.app.push_screen(screen := PaletteScreen([], "Search…"))
        await pilot.click(offset=(2, 23))
        await until(pilot, lambda: pilot.app.screen is not screen, "the end of an empty palette")


async def test_a_theme_is_chosen_in_the_palette() -> None:
    app = Explorer(load("quick-start"), "cpu")
    async with app.run_test(size=(80, 24)) as pilot:
        app.action_change_theme()
        await pilot.pause()
        await pilot.press(*"textual-light", "enter")
        await until(pilot, lambda: app.theme == "textual-light", "the theme")
