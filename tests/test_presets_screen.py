"""The screen of presets: every key, with shipped presets and the user's own, at the smallest and an ordinary size."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rich.console import Console
from textual.pilot import Pilot
from textual.widgets import Input

from engine.spec import preset
from engine.spec.defects import PresetError
from engine.spec.experiment import Experiment
from mftui.plain import paragraphs
from mftui.screens.explore import ExploreScreen
from mftui.screens.presets import PresetsScreen, save, wrong_name
from mftui.views.confirm import Confirm
from mftui.views.help_screen import HelpScreen, written
from mftui.views.preset_page import page, settings
from tests.lab import SIZES, answer, no_worker, notices, showing, to_screen, until

at_both_sizes = pytest.mark.parametrize("size", SIZES, ids=str)
slow = pytest.mark.slow
ORDINARY = SIZES[1]
on_an_ordinary_terminal = pytest.mark.parametrize("size", [ORDINARY], ids=str)
MINE = 'title = "My own"\nextends = "width-linear"\nseeds = 3\n'


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    no_worker(monkeypatch)


@asynccontextmanager
async def presets_screen(size: tuple[int, int]) -> AsyncIterator[tuple[Pilot[None], PresetsScreen]]:
    """Shown, and its list read."""
    async with showing("presets", PresetsScreen, size, lambda screen: screen.roster.rows) as shown:
        yield shown


def write_own(name: str, text: str = MINE) -> Path:
    folder = preset.own_directory()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(text)
    return folder / f"{name}.toml"


def names(screen: PresetsScreen) -> list[str]:
    return [str(row.key) for row in screen.roster.rows]


async def go_to(pilot: Pilot[None], screen: PresetsScreen, name: str) -> None:
    """At once: there are dozens of presets, and each key waits for the page of one."""
    screen.roster.move(names(screen).index(name) - screen.roster.cursor)
    await pilot.pause()
    assert screen.current is not None
    assert screen.current.name == name


# --- the user's own presets ------------------------------------------------------------------------------------------


def test_an_own_preset_is_found_by_name_everywhere() -> None:
    write_own("mine")
    assert preset.own() == ["mine"]
    mine = preset.load("mine", ["model.width=7"])
    assert (mine.name, mine.title, mine.seeds, mine.values) == ("mine", "My own", 3, (7,))
    assert preset.parse('extends = "mine"', "other").seeds == 3


def test_a_shipped_preset_is_never_hidden_by_an_own_one() -> None:
    write_own("width-linear", "seeds = 77")
    assert preset.own() == []
    assert preset.load("width-linear").seeds != 77


def test_an_unknown_name_is_answered_with_own_names_too() -> None:
    write_own("mine")
    with pytest.raises(PresetError, match=r"did you mean 'mine'\?"):
        preset.load("mien")


def test_a_saved_preset_reads_back_the_same_and_is_for_its_owner_only() -> None:
    experiment = preset.load("quick-start", ["gd.steps=77"])
    path = save(experiment, "seventy seven")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    again = preset.load("seventy seven")
    assert (again.points, again.seeds, again.methods) == (experiment.points, experiment.seeds, experiment.methods)


@pytest.mark.parametrize(
    "name", ["", "a/b", "../a", ".a", "-a", " a", "a\n", "a.toml", "quick-start", "x" * 101], ids=repr
)
def test_what_is_no_name_for_a_preset_is_refused(name: str) -> None:
    assert wrong_name(name)
    with pytest.raises(PresetError):
        save(preset.load("quick-start"), name)
    assert not preset.own_directory().exists()


# --- the page --------------------------------------------------------------------------------------------------------


def test_lines_that_were_wrapped_are_joined_and_meant_breaks_stay() -> None:
    wrapped = "word " * 23 + "end"
    assert paragraphs(f"{wrapped}\nlonger words follow\nshort.\n\nnext") == [
        f"{wrapped} longer words follow",
        "short.",
        "next",
    ]
    short, long = "word " * 17 + "end", "one-long-word-" * 3
    assert paragraphs(f"{short}\n{long}\n{short}\nend") == [f"{short} {long}", short, "end"]


@pytest.mark.parametrize("name", preset.shipped())
def test_the_page_of_a_preset_tells_all_that_it_sets(name: str) -> None:
    experiment = preset.load(name)
    told = {key: value for key, value, _ in settings(experiment)}
    assert ("sweep" in told) is (experiment.over is not None)
    for section, fields in experiment.points[0].model_dump(exclude_defaults=True).items():
        given = experiment.document.get(section, {})
        assert {f"{section}.{key}" for key in fields if key in given} - {experiment.over} <= set(told)


# --- the screen ------------------------------------------------------------------------------------------------------


@slow
@at_both_sizes
async def test_presets_are_listed_with_what_they_show_and_own_ones_are_marked(size: tuple[int, int]) -> None:
    path = write_own("mine")
    write_own("broken", "seeds = 0")
    async with presets_screen(size) as (pilot, screen):
        assert names(screen) == [*preset.shipped(), "broken", "mine"]
        for keys, place in ((["j"], 1), (["k"], 0), (["up"], 0), (["down"], 1), (["home"], 0), (["end"], -1)):
            await pilot.press(*keys)
            assert screen.roster.cursor == place % len(names(screen))
        assert (screen.page.border_title, screen.page.border_subtitle) == ("mine", str(path))
        lines = [screen.roster.render_line(y) for y in range(screen.roster.size.height)]
        assert any("yours" in line.text and "My own" in line.text for line in lines)
        assert all(line.cell_length == screen.roster.size.width for line in lines)
        await go_to(pilot, screen, "broken")
        await pilot.press("enter")
        await until(pilot, lambda: any("seeds: expected an integer" in each for each in notices(screen.lab)), "why not")
        assert pilot.app.screen is screen


@slow
@at_both_sizes
async def test_the_text_is_beside_the_list_or_behind_tab(size: tuple[int, int]) -> None:
    narrow = size == SIZES[0]
    async with presets_screen(size) as (pilot, screen):
        assert screen.page.display is not narrow
        await pilot.press("tab")
        await until(pilot, lambda: screen.page.display, "the text")
        assert screen.roster.display is not narrow
        if narrow:
            await until(pilot, lambda: screen.page.max_scroll_y, "a text longer than the screen")
            await pilot.press("pagedown")
            assert screen.page.scroll_y > 0
            await pilot.press("pageup")
            assert screen.page.scroll_y == 0
        await pilot.press("escape")
        await until(pilot, lambda: screen.roster.display, "the list")


@slow
@on_an_ordinary_terminal
async def test_a_regular_expression_filters_names_and_titles(size: tuple[int, int]) -> None:
    async with presets_screen(size) as (pilot, screen):
        await pilot.press("slash", *"^arora.*ing$")
        assert names(screen) == ["arora-2019-sensing"]
        await pilot.press("backspace", "enter")
        assert all("arora" in name for name in names(screen))
        await pilot.press("slash", "[")
        assert screen.prompt.has_class("-wrong")
        await pilot.press("escape", "escape")
        assert len(names(screen)) == len(preset.shipped())


@slow
@on_an_ordinary_terminal
async def test_enter_starts_the_preset_in_explore(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    async with presets_screen(size) as (pilot, screen):
        started: list[Experiment] = []
        monkeypatch.setattr(screen.lab, "begin", started.append)
        await go_to(pilot, screen, "depth-linear")
        await pilot.press("enter")
        await until(pilot, lambda: started, "the start")
        assert started == [preset.load("depth-linear")]
        assert isinstance(pilot.app.screen, ExploreScreen)


@slow
@at_both_sizes
async def test_a_copy_is_edited_in_the_form_and_saved(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    async with presets_screen(size) as (pilot, screen):
        monkeypatch.setattr(screen.lab, "begin", lambda _: pytest.fail("nothing is to start"))
        await go_to(pilot, screen, "depth-linear")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, ExploreScreen), "Explore")
        explore = pilot.app.screen
        assert isinstance(explore, ExploreScreen)
        await until(pilot, lambda: explore.form.display and explore.form.draft.over == "model.depth", "the form")
        assert explore.form.check() == preset.load("depth-linear")
        explore.form.draft.texts["seeds"] = "5"
        await to_screen(pilot, "presets", PresetsScreen)
        await pilot.press("w")
        await until(pilot, lambda: screen.prompt.has_class("-asking"), "the prompt")
        assert screen.prompt.query_one(Input).value == "depth-linear-mine"
        await answer(pilot, screen, "deep/five")
        assert screen.prompt.has_class("-wrong")
        await answer(pilot, screen, "deep-five")
        await until(pilot, lambda: "deep-five" in names(screen), "the saved preset")
        assert screen.current is not None
        assert screen.current.name == "deep-five"
        assert preset.load("deep-five").seeds == 5
        explore.form.draft.texts["seeds"] = "6"
        await pilot.press("w")
        await answer(pilot, screen, "deep-five")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm), "the question")
        await pilot.press("n")
        await until(pilot, lambda: pilot.app.screen is screen, "the list")
        assert preset.load("deep-five").seeds == 5
        explore.form.draft.texts["seeds"] = "none"
        await pilot.press("w")
        await until(pilot, lambda: any("can't run" in each for each in notices(screen.lab)), "the refusal")


@slow
@on_an_ordinary_terminal
async def test_a_preset_is_exported_and_replaces_a_file_only_after_a_yes(size: tuple[int, int], tmp_path: Path) -> None:
    async with presets_screen(size) as (pilot, screen):
        await go_to(pilot, screen, "arora-2019-completion-1e-4")
        await pilot.press("x")
        await until(pilot, lambda: screen.prompt.has_class("-asking"), "the prompt")
        assert screen.prompt.query_one(Input).value == str(Path.cwd() / "arora-2019-completion-1e-4.toml")
        await pilot.press("escape")
        assert not screen.prompt.has_class("-asking")
        for target in (tmp_path, tmp_path / "other.toml"):
            await pilot.press("x")
            await answer(pilot, screen, str(target))
        files = [tmp_path / "arora-2019-completion-1e-4.toml", tmp_path / "other.toml"]
        await until(pilot, lambda: all(file.exists() for file in files), "the files")
        assert "extends" not in files[0].read_text()
        assert preset.load(files[1]).points == preset.load("arora-2019-completion-1e-4").points
        files[1].write_text("")
        await pilot.press("x")
        await answer(pilot, screen, str(files[1]))
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm), "the question")
        await pilot.press("y")
        await until(pilot, lambda: files[1].read_text(), "the file again")
        await pilot.press("x")
        await answer(pilot, screen, str(tmp_path / "no" / "folder.toml"))
        await until(pilot, lambda: any("No such file" in each for each in notices(screen.lab)), "why not")


@slow
@on_an_ordinary_terminal
async def test_an_own_preset_is_deleted_after_a_yes_and_a_shipped_one_stays(size: tuple[int, int]) -> None:
    path = write_own("mine")
    async with presets_screen(size) as (pilot, screen):
        await pilot.press("delete")
        await until(pilot, lambda: any("which stays" in each for each in notices(screen.lab)), "the refusal")
        await go_to(pilot, screen, "mine")
        for key in ("n", "y"):
            assert path.exists()
            await pilot.press("delete")
            await until(pilot, lambda: isinstance(pilot.app.screen, Confirm), "the question")
            await pilot.press(key)
            await until(pilot, lambda: pilot.app.screen is screen, "the list")
        await until(pilot, lambda: "mine" not in names(screen), "the list without it")
        assert not path.exists()


@slow
@on_an_ordinary_terminal
async def test_help_names_every_key(size: tuple[int, int]) -> None:
    async with presets_screen(size) as (pilot, _):
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen), "the help")
        shown = pilot.app.screen
        assert isinstance(shown, HelpScreen)
        assert {"enter", "e", "w", "x", "/", "tab", "delete"} <= {written(each.key) for each in shown._keys}


@slow
async def test_an_own_folder_that_can_not_be_written_is_an_error_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    async with presets_screen(ORDINARY) as (pilot, screen):
        preset.own_directory().parent.mkdir(parents=True, exist_ok=True)
        preset.own_directory().touch()
        await pilot.press("w")
        await answer(pilot, screen, "mine")
        await until(pilot, lambda: any(os.strerror(17) in each for each in notices(screen.lab)), "why not")


def test_a_preset_that_the_tour_explains_says_what_to_look_for() -> None:
    console = Console(width=100, file=io.StringIO())
    console.print(page(preset.load("incremental-learning")))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "what to look for (page 3 of the tour; the numbers are those of tour-incremental)" in text
    assert "L_train falls in stairs" in text
