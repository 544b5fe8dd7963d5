"""The screen of runs: every key, on a few finished runs, at the smallest and at an ordinary size."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.runs import catalog
from engine.runs.catalog import History, RunError, is_alive, runs_directory
from engine.runs.directory import RunDirectory
from engine.runs.files import from_json
from engine.spec import preset
from mftui.canvas import Plot
from mftui.export.contents import Contents
from mftui.export.formats import run_files
from mftui.live import LiveRun
from mftui.screens.base import LabScreen
from mftui.screens.explore import ExploreScreen
from mftui.screens.runs import COLUMNS, RunsScreen
from mftui.views.canvas_view import CanvasView
from mftui.views.confirm import Confirm
from mftui.views.diff import DiffScreen, differences
from mftui.views.help_screen import HelpScreen, written
from mftui.views.overlay import Overlaid, OverlayLook, OverlayPane
from mftui.views.roster import LEAD, Column, Roster, Row, cut
from tests.lab import SIZES, answer, explorer, finished_run, no_worker, notices, showing, to_screen, until
from tests.pictures import text_on
from tests.runs import make_run, wait_until

pytestmark = pytest.mark.slow

at_both_sizes = pytest.mark.parametrize("size", SIZES, ids=str)
ORDINARY = SIZES[1]
on_an_ordinary_terminal = pytest.mark.parametrize("size", [ORDINARY], ids=str)


@pytest.fixture(scope="module")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs, to be copied."""
    folder = tmp_path_factory.mktemp("runs")
    for name, overrides in (("narrow", ["model.width=3"]), ("wide", []), ("gentle", ["gd.learning_rate=0.01"])):
        finished_run(name, *overrides, folder=folder)
    catalog.write_note(folder / "wide", "looks right")
    return folder


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch: pytest.MonkeyPatch, _own_runs_directory: None, _finished: Path) -> None:
    shutil.copytree(_finished, runs_directory())
    no_worker(monkeypatch)


@asynccontextmanager
async def runs_screen(size: tuple[int, int]) -> AsyncIterator[tuple[Pilot[None], RunsScreen]]:
    """Shown, and its list read."""
    async with showing("runs", RunsScreen, size, lambda it: len(it.roster.rows) == 3 and it._overlaid) as shown:
        yield shown


def names(screen: RunsScreen) -> list[str]:
    return [row.key.name for row in screen.roster.rows if isinstance(row.key, Path)]


async def go_to(pilot: Pilot[None], screen: RunsScreen, name: str) -> None:
    await pilot.press("home", *["down"] * names(screen).index(name))
    assert screen.current is not None
    assert screen.current.name == name


@contextmanager
def at_work(run: RunDirectory) -> Iterator[None]:
    """Another process holds the run, and does nothing."""
    hold = f"from engine.runs.catalog import hold; from pathlib import Path; h = hold(Path({str(run.path)!r})); input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE) as process:
        try:
            wait_until(lambda: is_alive(run.path), "the holder")
            yield
        finally:
            process.communicate(b"\n")


def text_of(view: CanvasView | Roster) -> str:
    return "\n".join(view.render_line(y).text for y in range(view.size.height))


# --- the list --------------------------------------------------------------------------------------------------------


@at_both_sizes
async def test_runs_are_listed_the_latest_first_and_a_new_one_comes_in_by_itself(
    size: tuple[int, int], tmp_path: Path
) -> None:
    async with runs_screen(size) as (pilot, screen):
        assert names(screen) == ["gentle", "wide", "narrow"]
        shown = text_of(screen.roster)
        assert "finished" in shown
        assert "looks rig" in shown
        assert all(screen.roster.render_line(y).cell_length == screen.roster.size.width for y in range(10))
        await pilot.press("down")
        make_run(tmp_path / "later").path.rename(runs_directory() / "later")
        await until(pilot, lambda: len(screen.roster.rows) == 4, "the new run")
        assert names(screen)[0] == "later"
        assert screen.current is not None
        assert screen.current.name == "wide", "the cursor stays with its run"


@on_an_ordinary_terminal
async def test_the_cursor_moves_by_arrows_letters_and_to_both_ends(size: tuple[int, int]) -> None:
    async with runs_screen(size) as (pilot, screen):
        for keys, place in (
            (["down"], 1), (["j"], 2), (["down"], 2), (["k"], 1), (["up"], 0),
            (["end"], 2), (["home"], 0), (["pagedown"], 2), (["pageup"], 0),
        ):  # fmt: skip
            await pilot.press(*keys)
            assert screen.roster.cursor == place


@on_an_ordinary_terminal
async def test_a_regular_expression_filters_while_it_is_typed(size: tuple[int, int]) -> None:
    async with runs_screen(size) as (pilot, screen):
        await pilot.press("slash", *"^NARR")
        assert names(screen) == ["narrow"]
        await pilot.press("enter")
        assert not screen.prompt.has_class("-asking")
        assert names(screen) == ["narrow"]
        await pilot.press("slash", "(")
        assert screen.prompt.has_class("-wrong"), "not a regular expression"
        await pilot.press("enter")
        assert screen.prompt.has_class("-asking"), "what is wrong can't be entered"
        await pilot.press("escape")
        assert names(screen) == ["narrow"]
        await pilot.press("escape")
        assert len(names(screen)) == 3
        for pattern, found in (("looks", ["wide"]), ("finished", ["gentle", "wide", "narrow"]), ("xyz", [])):
            await pilot.press("slash")
            await answer(pilot, screen, pattern)
            assert names(screen) == found
        assert "no run matches" in text_of(screen.roster)


@on_an_ordinary_terminal
async def test_o_and_a_click_on_a_title_sort(size: tuple[int, int]) -> None:
    async with runs_screen(size) as (pilot, screen):
        await pilot.press("O")
        assert names(screen) == ["narrow", "wide", "gentle"]
        await pilot.press("o")
        assert "size ↓" in text_of(screen.roster) or size == SIZES[0]
        await pilot.press(*["o"] * (len(COLUMNS) - 4))
        assert names(screen) == ["gentle", "narrow", "wide"], "by preset, and equal ones by name"
        await pilot.click(Roster, offset=(LEAD + 14, 0))
        assert "name ↑" in text_of(screen.roster)
        await pilot.click(Roster, offset=(LEAD + 14, 0))
        assert names(screen) == ["wide", "narrow", "gentle"]
        await pilot.click(Roster, offset=(20, 2))
        assert screen.roster.cursor == 1


def test_a_run_that_is_over_is_read_again_only_when_its_folder_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    history = History()
    assert history.entries() == catalog.entries()
    read: list[str] = []
    look = catalog.look
    monkeypatch.setattr(catalog, "look", lambda path: (read.append(path.name), look(path))[1])
    history.entries()
    assert read == []
    catalog.write_note(runs_directory() / "wide", "another")
    assert next(entry for entry in history.entries() if entry.name == "wide").note == "another"
    assert read == ["wide"]
    catalog.remove(runs_directory() / "wide")
    assert {entry.name for entry in history.entries()} == {"narrow", "gentle"}


@pytest.mark.parametrize(
    ("text", "width", "keep_end", "wanted"),
    [
        ("abc", 3, False, "abc"),
        ("abcdef", 4, False, "abc…"),
        ("abcdefghij", 6, True, "a…ghij"),
        ("中文字", 5, False, "中文…"),
        ("中文字", 4, False, "中…"),
        ("abc", 1, False, "…"),
        ("abc", 0, False, ""),
    ],
)
def test_text_is_cut_by_cells(text: str, width: int, keep_end: bool, wanted: str) -> None:
    assert cut(text, width, keep_end=keep_end) == wanted


# --- plots -----------------------------------------------------------------------------------------------------------


@at_both_sizes
async def test_marked_runs_share_the_plots_and_keep_their_colours(size: tuple[int, int]) -> None:
    async with runs_screen(size) as (pilot, screen):
        for _ in range(3):
            await pilot.press("space", "down")
        await until(pilot, lambda: len(screen._overlaid) == 3, "the curves of all")
        assert [run.name for run in screen._overlaid] == ["gentle", "wide", "narrow"]
        await go_to(pilot, screen, "gentle")
        await pilot.press("space")
        await until(pilot, lambda: len(screen._overlaid) == 2, "the curves of two")
        assert {run.name: run.slot for run in screen._overlaid} == {"wide": 1, "narrow": 2}
        assert "2" in screen.roster.rows[1].mark
        await pilot.press("space")
        await until(pilot, lambda: len(screen._overlaid) == 3, "the curves of all")
        assert screen.marks[runs_directory() / "gentle"] == 0, "the free colour"
        await pilot.press("escape")
        assert not screen.marks
        await until(pilot, lambda: [run.name for run in screen._overlaid] == ["gentle"], "the run under the cursor")


@at_both_sizes
async def test_tab_shows_the_plots_alone_and_v_goes_through_them(size: tuple[int, int]) -> None:
    narrow = size == SIZES[0]
    async with runs_screen(size) as (pilot, screen):
        assert screen.overlay.display is not narrow
        await pilot.press("tab")
        await until(pilot, lambda: screen.overlay.display and not screen.roster.display, "the plots")
        for wanted in [1, 2, 0] if narrow else [0, 1, 2, None]:
            await pilot.press("v")
            await pilot.pause()
            shown = [index for index, pane in enumerate(screen.overlay.panes) if pane.display]
            assert shown == ([0, 1, 2] if wanted is None else [wanted])
        await pilot.press("escape")
        await until(pilot, lambda: screen.roster.display, "the list")


@on_an_ordinary_terminal
async def test_axes_trials_and_readings_change_by_key(size: tuple[int, int]) -> None:
    async with runs_screen(size) as (pilot, screen):
        await go_to(pilot, screen, "wide")
        await until(pilot, lambda: [run.name for run in screen._overlaid] == ["wide"], "its curves")
        await pilot.press("tab")
        await until(pilot, lambda: screen.overlay.display, "the plots")
        pane = screen.overlay.panes[0]
        await until(pilot, lambda: pane.canvas.frame is not None, "a plot")
        drawing = pane.canvas.drawing
        await pilot.press("y", "x")
        await until(pilot, lambda: pane.canvas.drawing is not drawing, "other axes")
        assert (pane.canvas.drawing.x.scale, pane.canvas.drawing.y.scale) == ("log", "linear")  # type: ignore[union-attr]
        await pilot.press("y", "x", "left")
        assert screen.look.cursor == 300
        await pilot.press("left", "h", "right", "l", "left")
        assert screen.look.cursor == 250
        assert "width 3" in text_of(pane.canvas)
        await pilot.press("right_square_bracket", "right_curly_bracket")
        await until(pilot, lambda: "width 6" in text_of(pane.canvas), "the other sweep point")
        assert (screen.look.point, screen.look.seed) == (1, 1)
        assert "point 2/2" in str(screen._told)
        await pilot.press("left_square_bracket", "left_curly_bracket", "escape")
        assert (screen.look.point, screen.look.seed, screen.look.cursor) == (0, 0, None)
        await pilot.click(CanvasView, offset=(30, 4))
        assert screen.look.cursor is not None


async def test_without_colour_marks_tell_the_runs_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with runs_screen(ORDINARY) as (pilot, screen):
        await pilot.press("space", "down", "space")
        await until(pilot, lambda: len(screen._overlaid) == 2, "two runs")
        shown = text_of(screen.overlay.panes[0].canvas)
        assert all(row.mark[0] in shown for row in screen.roster.rows if row.mark)


async def test_a_run_without_gradient_descent_says_so() -> None:
    make_run(runs_directory() / "guessing", 'methods=["gnc"]', "model.width=3")
    app = explorer()
    async with app.run_test(size=ORDINARY) as pilot:
        screen = await to_screen(pilot, "runs", RunsScreen)
        await until(pilot, lambda: screen._overlaid and screen._overlaid[0].name == "guessing", "the run")
        assert screen.overlay.panes[0]._said == "no gradient descent"


async def test_a_run_without_gradient_descent_has_lines_at_its_other_methods_medians() -> None:
    run = finished_run("guessing", 'methods=["prior", "gnc"]', "model.width=3")
    async with showing("runs", RunsScreen, ORDINARY, lambda it: it._overlaid and it._overlaid[0].curve.others) as shown:
        panes, document = shown[1].overlay.panes, from_json((run.path / "results.json").read_bytes())
        medians = {row["method"]: row["generalization_loss"][1] for row in document["summary"]}
        drawing = panes[1].canvas.drawing
        assert isinstance(drawing, Plot)
        assert [rule.at for rule in drawing.rules] == [medians["prior"], medians["gnc"]]
        assert [rule.name for rule in drawing.rules] == ["width 3 Prior", "width 3 G&C"]
        assert panes[1]._said.startswith("no gradient descent; median L_gen Prior")
        assert panes[2].canvas.drawing.rules == ()  # type: ignore[union-attr]


# --- a run -----------------------------------------------------------------------------------------------------------


@on_an_ordinary_terminal
async def test_enter_shows_the_run_in_explore(size: tuple[int, int]) -> None:
    async with runs_screen(size) as (pilot, screen):
        await go_to(pilot, screen, "wide")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ExploreScreen), "Explore")
        session = screen.lab.session
        await until(pilot, lambda: session.live is not None and session.live.run.name == "wide", "the run")
        assert session.live is not None
        assert session.live.state == "finished"


@on_an_ordinary_terminal
async def test_a_run_at_work_that_was_started_here_is_left_only_after_a_yes(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with runs_screen(size) as (pilot, screen):
        session, ours, asked = screen.lab.session, LiveRun(make_run(tmp_path / "ours")), list[str]()
        for name, stand_in in (("poll", lambda: False), ("ask", lambda kind, _: asked.append(kind)), ("wait", bool)):
            monkeypatch.setattr(ours, name, stand_in)
        session.live, session.ours = ours, True
        await go_to(pilot, screen, "wide")
        for key in ("n", "y"):
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, Confirm), "the question")
            assert session.live is ours
            await pilot.press(key)
            await until(pilot, lambda: not isinstance(pilot.app.screen, Confirm), "its end")
        await until(pilot, lambda: session.live is not ours, "the other run")
        assert asked == ["stop"]
        await to_screen(pilot, "runs", RunsScreen)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ExploreScreen), "no question: nothing would be stopped")


@on_an_ordinary_terminal
async def test_u_resumes_but_not_what_is_finished(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    async with runs_screen(size) as (pilot, screen):
        await pilot.press("u")
        await until(pilot, lambda: any("is finished" in each for each in notices(screen.lab)), "the refusal")
        run = make_run(runs_directory() / "halted")
        resumed: list[str] = []
        monkeypatch.setattr(screen.lab, "go_on", lambda run: resumed.append(run.name))
        await until(pilot, lambda: "halted" in names(screen), "the run that stands still")
        await go_to(pilot, screen, run.name)
        await pilot.press("u")
        await until(pilot, lambda: resumed == ["halted"], "the start")
        assert isinstance(pilot.app.screen, ExploreScreen)


@on_an_ordinary_terminal
async def test_a_run_at_work_is_asked_to_pause_and_stop_and_neither_resumed_nor_deleted(size: tuple[int, int]) -> None:
    run = make_run(runs_directory() / "busy")
    (runs_directory() / "busy.toml").unlink()
    app = explorer()
    with at_work(run):
        async with app.run_test(size=size) as pilot:
            screen = await to_screen(pilot, "runs", RunsScreen)
            await until(pilot, lambda: "busy" in names(screen), "the run")
            await go_to(pilot, screen, "busy")
            await pilot.press("P")
            await until(pilot, lambda: (run.path / "requests.jsonl").exists(), "the request")
            await pilot.press("S")
            await until(pilot, lambda: len((run.path / "requests.jsonl").read_bytes().splitlines()) == 2, "another")
            asked = [from_json(line)["request"] for line in (run.path / "requests.jsonl").read_bytes().splitlines()]
            assert asked == ["pause", "stop"]
            await pilot.press("u", "delete")
            await until(pilot, lambda: any("stop it first" in each for each in notices(app)), "the refusal")
            assert any("is at work; enter" in each for each in notices(app))
            await pilot.press("R")
            await answer(pilot, screen, "other")
            await until(pilot, lambda: sum("stop it first" in each for each in notices(app)) == 2, "the refusal")
    assert run.path.is_dir()


async def test_what_is_not_at_work_can_be_neither_paused_nor_stopped() -> None:
    async with runs_screen(ORDINARY) as (pilot, screen):
        await pilot.press("P", "S")
        refused = "gentle: is not at work, but finished"
        await until(pilot, lambda: notices(screen.lab).count(refused) == 2, "the refusals")


@at_both_sizes
async def test_a_run_is_renamed_and_escape_leaves_its_name(size: tuple[int, int]) -> None:
    async with runs_screen(size) as (pilot, screen):
        await go_to(pilot, screen, "wide")
        await pilot.press("space", "R")
        await until(pilot, lambda: screen.prompt.has_class("-asking"), "the prompt")
        text = screen.prompt.query_one(Input)
        await pilot.press("x")
        assert text.value == "x"
        await pilot.press("escape", "R")
        await until(pilot, lambda: text.value == "wide", "the name again")
        await pilot.press("right", "x")
        assert text.value == "widex"
        await pilot.press("escape")
        assert names(screen) == ["gentle", "wide", "narrow"]
        await pilot.press("R")
        await answer(pilot, screen, "broad")
        await until(pilot, lambda: "broad" in names(screen), "the new name")
        assert names(screen) == ["gentle", "broad", "narrow"]
        assert screen.marks == {runs_directory() / "broad": 0}
        assert screen.current is not None
        assert screen.current.name == "broad"
        await pilot.press("R")
        await answer(pilot, screen, "a/b")
        await until(pilot, lambda: any("expected a name without /" in each for each in notices(screen.lab)), "why not")


async def test_the_run_that_explore_shows_can_be_renamed_and_deleted() -> None:
    async with runs_screen(ORDINARY) as (pilot, screen):
        await pilot.press("enter")
        session = screen.lab.session
        await until(pilot, lambda: session.live is not None, "the run in Explore")
        await to_screen(pilot, "runs", RunsScreen)
        await pilot.press("R")
        await answer(pilot, screen, "renamed")
        await until(pilot, lambda: session.live is not None and session.live.run.name == "renamed", "the new name")
        await until(pilot, lambda: "renamed" in names(screen), "the new name in the list")
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm), "the question")
        await pilot.press("y")
        await until(pilot, lambda: len(names(screen)) == 2, "the end of it")
        await to_screen(pilot, "explore", ExploreScreen)
        await until(pilot, lambda: "renamed was deleted; r starts another run" in text_on(pilot.app), "why it is gone")


@on_an_ordinary_terminal
async def test_a_note_is_written_and_emptied(size: tuple[int, int]) -> None:
    async with runs_screen(size) as (pilot, screen):
        await pilot.press("N")
        await answer(pilot, screen, "  too slow ")
        await until(pilot, lambda: catalog.note(runs_directory() / "gentle") == "too slow", "the note")
        await until(pilot, lambda: "too slow" in text_of(screen.roster), "the note in the list")
        await pilot.press("N")
        await answer(pilot, screen, "")
        await until(pilot, lambda: catalog.note(runs_directory() / "gentle") == "", "no note")


@on_an_ordinary_terminal
async def test_a_run_is_deleted_only_after_a_yes(size: tuple[int, int]) -> None:
    async with runs_screen(size) as (pilot, screen):
        for no in ("escape", "n", "enter"):
            await pilot.press("delete")
            await until(pilot, lambda: isinstance(pilot.app.screen, Confirm), "the question")
            question = pilot.app.screen
            assert isinstance(question, Confirm)
            assert question._lines[0] == "gentle"
            assert "B" in question._lines[1], "its size"
            await pilot.press(no)
            await until(pilot, lambda: pilot.app.screen is screen, "the list again")
        assert len(names(screen)) == 3
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm), "the question")
        await pilot.press("y")
        await until(pilot, lambda: names(screen) == ["wide", "narrow"], "the list without it")
        assert not (runs_directory() / "gentle").exists()


@on_an_ordinary_terminal
async def test_two_marked_runs_are_compared(size: tuple[int, int]) -> None:
    async with runs_screen(size) as (pilot, screen):
        await pilot.press("d")
        await until(pilot, lambda: any("a diff takes two" in each for each in notices(screen.lab)), "the refusal")
        await pilot.press("space", "down", "d")
        await until(pilot, lambda: isinstance(pilot.app.screen, DiffScreen), "the comparison")
        shown = pilot.app.screen
        assert isinstance(shown, DiffScreen)
        assert shown._names == ("gentle", "wide")
        assert shown._found == [("gd.learning_rate", "0.01", "0.1")]
        await pilot.press("j", "k", "escape")
        assert pilot.app.screen is screen


def test_only_what_differs_is_told_and_defaults_count() -> None:
    one = preset.parse("[model]\nwidth = 5\n[sweep]\nover = 'model.depth'\nvalues = [2, 3]", "one")
    other = preset.parse("seeds = 3\n[gnc]\nsampler = 'rejection'", "other")
    assert [tuple(each) for each in differences(one, other)] == [
        ("seeds", str(one.seeds), "3"),
        ("sweep.over", "model.depth", ""),
        ("model.depth", "2, 3", "2"),
        ("gnc.sampler", "auto", "rejection"),
    ]
    assert differences(one, one) == []


@on_an_ordinary_terminal
async def test_preset_and_results_are_exported_and_replaced_only_after_a_yes(
    size: tuple[int, int], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    async with runs_screen(size) as (pilot, screen):
        await go_to(pilot, screen, "wide")
        await pilot.press("e")
        await until(pilot, lambda: screen.prompt.has_class("-asking"), "the prompt")
        assert screen.prompt.query_one(Input).value == str(Path.cwd())
        await pilot.press("escape", "e")
        await answer(pilot, screen, str(folder))
        await until(pilot, lambda: (folder / "wide-results.csv").exists(), "the files")
        experiment = RunDirectory.open(runs_directory() / "wide").experiment
        again = preset.load(folder / "wide.toml")
        assert (again.points, again.seeds, again.methods) == (experiment.points, experiment.seeds, experiment.methods)
        (folder / "wide-results.csv").write_text("mine")
        await pilot.press("e")
        await answer(pilot, screen, str(folder))
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm), "the question")
        await pilot.press("n")
        await until(pilot, lambda: pilot.app.screen is screen, "the list")
        assert (folder / "wide-results.csv").read_text() == "mine"
        (tmp_path / "file").touch()
        await pilot.press("e")
        await answer(pilot, screen, str(tmp_path / "file" / "folder"))
        await until(pilot, lambda: any("Not a directory" in each for each in notices(screen.lab)), "why not")


def test_results_as_csv_are_those_of_the_run(tmp_path: Path) -> None:
    run = RunDirectory.open(runs_directory() / "wide")
    results = run_files(Contents(run))["wide-results.csv"]
    rows = list(csv.DictReader(io.StringIO(results.decode())))
    trials = from_json((run.path / "results.json").read_bytes())["trials"]
    assert len(rows) == len(trials) == 12
    for row, trial in zip(rows, trials, strict=True):
        assert (row["point"], row["method"], row["seed"]) == (str(trial["point"]), trial["method"], str(trial["seed"]))
        assert row["over"] == "model.width"
        assert row["value"] == str([3, 6][trial["point"]])
        assert row["generalization_loss"] == str(trial["generalization_loss"])
        hits = trial["guesses"]["hits"] if trial["guesses"] else ""
        assert row["hits"] == str(hits)


# --- the rest --------------------------------------------------------------------------------------------------------


@on_an_ordinary_terminal
async def test_help_names_every_key(size: tuple[int, int]) -> None:
    async with runs_screen(size) as (pilot, _):
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen), "the help")
        shown = pilot.app.screen
        assert isinstance(shown, HelpScreen)
        told = {written(each.key) for each in shown._keys}
        assert {"enter", "u", "space", "d", "/", "o", "O", "P", "S", "R", "N", "e", "delete", "tab", "v", "y"} <= told


async def test_no_runs_are_a_hint_and_no_key_does_harm() -> None:
    for name in ("gentle", "wide", "narrow"):
        catalog.remove(runs_directory() / name)
    app = explorer()
    async with app.run_test(size=SIZES[0]) as pilot:
        screen = await to_screen(pilot, "runs", RunsScreen)
        await until(pilot, lambda: "no runs yet" in text_of(screen.roster), "the hint")
        await pilot.press(*"uPSRNed", "space", "enter", "delete", "down", "end", "left", "o", "O", "tab", "v", "[", "}")
        await pilot.press("escape", "escape")
        assert pilot.app.screen is screen


async def test_a_damaged_run_is_shown_and_what_it_can_not_do_is_said() -> None:
    (runs_directory() / "gentle" / "spec.toml").write_text("nonsense")
    app = explorer()
    async with app.run_test(size=ORDINARY) as pilot:
        screen = await to_screen(pilot, "runs", RunsScreen)
        await until(pilot, lambda: len(names(screen)) == 3, "the list")
        await pilot.press("enter")
        await until(pilot, lambda: any("spec is damaged" in each for each in notices(app)), "why not")
        assert isinstance(pilot.app.screen, LabScreen)


async def test_resizing_at_any_moment_is_fine() -> None:
    async with runs_screen(ORDINARY) as (pilot, screen):
        await pilot.press("space", "down", "space")
        for width, height in ((80, 24), (20, 5), (200, 60), (110, 30), (109, 24)):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            assert all(screen.roster.render_line(y).cell_length == screen.roster.size.width for y in range(4))


def test_rows_that_do_not_fit_lose_columns_in_order_and_fill_their_cells() -> None:
    roster = Roster([Column("a", least=4), Column("b", spare=2), Column("c", spare=1)])
    roster.rows = (Row("x", ("aaaaaaaa", "bbbbbb", "cccccc")),)
    for width, wanted in ((40, [8, 6, 6]), (20, [7, 6, 0]), (10, [5, 0, 0]), (5, [4, 0, 0])):
        assert roster._fit(width) == wanted


def test_a_plot_of_nothing_has_axes_all_the_same() -> None:
    pane = OverlayPane("x", lambda table: table[:, 1:2], log_y=True)
    plot = pane.plot([], OverlayLook())
    assert plot.series == ()
    assert plot.x.high > plot.x.low


def test_an_unknown_run_is_an_error_with_its_name() -> None:
    with pytest.raises(RunError, match="nowhere"):
        RunDirectory.open(runs_directory() / "nowhere")


def test_overlaid_runs_share_limits() -> None:
    from mftui.curves import RunCurves

    runs = []
    for slot, name in enumerate(("narrow", "gentle")):
        curves = RunCurves(runs_directory() / name)
        curves.poll()
        runs.append(Overlaid(slot, name, curves.trial(0, 5)))
    assert all(len(run.curve.table) == 7 for run in runs), "a log point every 50 of 300 steps, and the first"
    pane = OverlayPane("x", lambda table: table[:, 1:2], log_y=True)
    plot = pane.plot(runs, OverlayLook())
    assert [series.name for series in plot.series] == ["1 width 3", "2 width 3"]
    assert plot.x.limits == (0, 300)
