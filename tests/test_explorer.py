"""The explorer as a whole, on a real worker: keys in, state and cells out."""

from __future__ import annotations

import gc
import os
import shlex
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from textual.binding import Binding
from textual.pilot import Pilot
from textual.scrollbar import ScrollBar

from engine.runs.catalog import RunError
from engine.runs.directory import RunDirectory
from engine.runs.launch import Spare
from engine.spec.experiment import Experiment
from engine.spec.preset import load, parse
from mftui.app import LOW_BANDWIDTH_FRAMES, Explorer
from mftui.canvas import Plot
from mftui.command import command_line
from mftui.export.formats import Files
from mftui.export.writing import write_into
from mftui.keymap import keymap_file
from mftui.live import LiveRun
from mftui.screens.base import SCREENS, Keys, LabScreen
from mftui.screens.explore import LAYOUTS, ExploreScreen, new_learning_rate
from mftui.screens.presets import PresetsScreen
from mftui.screens.runs import RunsScreen
from mftui.screens.sweep import SweepScreen
from mftui.screens.tour import TourScreen
from mftui.session import Session
from mftui.terminal import LOW_BANDWIDTH_RATE, Governor, rate_for
from mftui.views.alignment import Alignment
from mftui.views.event_log import EventLog
from mftui.views.fields.field_list import FieldList
from mftui.views.guesses import GuessesPane
from mftui.views.help_screen import HelpScreen, KeyList, written
from mftui.views.losses import Losses
from mftui.views.matrices import Matrices
from mftui.views.palette_screen import PaletteScreen
from mftui.views.pane import Pane
from mftui.views.ranks import Ranks
from mftui.views.replay import Replay
from mftui.views.singular_values import SingularValues
from tests.lab import EXTENTS, computed, no_worker, notices, rows_of, to_screen, until
from tests.pictures import text_on
from tests.runs import CEILING_SECONDS, make_run

pytestmark = pytest.mark.slow

TINY = """
seeds = 2
[gd]
learning_rate = 0.1
steps = 400
log_every = 10
[gnc]
eps_train = 0.2
draws = 20_000
prior_draws = 2_000
[sweep]
over = "model.width"
values = [3, 6]
"""
ENDLESS = "[gd]\nsteps = 1_000_000_000\n[gnc]\ndraws = 1_000_000_000\n"
SIZES = [(80, 24), (200, 60)]


def tiny() -> Experiment:
    return parse(TINY, "tiny")


def explore(app: Explorer) -> ExploreScreen:
    assert isinstance(app.screen_stack[0], ExploreScreen)
    return app.screen_stack[0]


def live_of(app: Explorer) -> LiveRun:
    assert app.session.live is not None
    return app.session.live


async def until_state(pilot: Pilot[None], app: Explorer, *states: str) -> LiveRun:
    await until(pilot, lambda: app.session.live is not None and app.session.live.state in states, " or ".join(states))
    return live_of(app)


@pytest.fixture
def _no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: RunDirectory, spare: Spare | None = None) -> LiveRun:
        raise RunError(f"{run.experiment.name}: no worker in this test")

    monkeypatch.setattr(LiveRun, "start", staticmethod(refuse))


@pytest.fixture(scope="module")
def _computed(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return computed(RunDirectory.create(tiny(), "cpu", tmp_path_factory.mktemp("computed") / "run"))


@pytest.fixture
def _finished(_computed: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The explorer shows a run of `tiny` that is over, and starts none."""
    no_worker(monkeypatch)

    async def watch(session: Session, _: Experiment, **__: object) -> None:
        await session.watch(_computed)

    monkeypatch.setattr(Session, "start", watch)


def test_the_screens_never_import_torch_or_plotext() -> None:
    code = "import sys, mftui.app; sys.exit('torch' in sys.modules or 'plotext' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.usefixtures("_no_worker")
async def test_a_run_that_cannot_start_is_said() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: app.error, "the error")
        assert explore(app)._status().message == "tiny: no worker in this test"
        assert explore(app)._status().state == "failed"


@pytest.mark.usefixtures("_finished")
@pytest.mark.parametrize("size", SIZES)
async def test_a_finished_run_is_looked_at_from_all_sides(size: tuple[int, int]) -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=size) as pilot:
        live = await until_state(pilot, app, "finished")
        screen = explore(app)
        assert len(live.results) == 2 * 2 * 3
        assert screen.shown == (1, 1)
        await pilot.press("[", "}")
        assert screen.shown == (0, 0)
        await pilot.press("]")
        assert screen.shown == (1, 0)
        await pilot.press("{")
        assert screen.shown == (1, 1)
        await pilot.press("g")
        assert screen.shown == (1, 1)

        steps = screen.trial.curve[:, 0] if screen.trial else []
        assert len(steps) == 41
        await pilot.press("left")
        assert screen.look.cursor == 390
        await pilot.press("h", "right")
        assert screen.look.cursor == 390
        await pilot.press("H")
        assert screen.look.cursor == 190
        await pilot.press("shift+right")
        assert screen.look.cursor == 390
        await pilot.press("shift+left", "shift+left")
        assert screen.look.cursor == 0
        await pilot.press("L")
        assert screen.look.cursor == 200
        await pilot.press("home")
        assert screen.look.cursor == 0
        await pilot.press("escape")
        assert screen.look.cursor is None

        await pilot.press("i")
        assert screen.look.window == (100, 300)
        await pilot.press(";")
        assert screen.look.window == (150, 350)
        await pilot.press("o", "o")
        assert screen.look.window is None
        await pilot.press("i", "0")
        assert screen.look.window is None

        await pilot.press("x", "m", "t")
        assert (screen.look.log_x, screen.look.smoothed, screen.look.theory) == (True, True, True)
        before = screen.pane.log_y
        await pilot.press("y")
        assert screen.pane.log_y != before

        for name in [*list(LAYOUTS)[1:], "overview"]:
            await pilot.press("v")
            await pilot.pause()
            shown = [type(pane) for pane in screen.visible_panes]
            assert set(shown) <= set(LAYOUTS[name])
            assert len(shown) == (1 if size[0] < 110 else len(LAYOUTS[name]))
            place = f"{name} 1/{len(LAYOUTS[name])}, tab" if size[0] < 110 else f"{name}, v"
            assert screen.visible_panes[0].border_title == f"{screen.visible_panes[0].name_of_pane} · {place}"
            assert all(pane.size.height > 3 for pane in screen.visible_panes)
        await pilot.press("?")
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("escape")
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running, "its end")
    assert app.farewell() == f"{live.run.name}: finished, in {live.run.path}"


@pytest.mark.usefixtures("_finished")
async def test_panes_are_gone_through_and_zoomed() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until_state(pilot, app, "finished")
        screen = explore(app)
        await pilot.press("tab", "tab")
        second = screen.pane
        assert second is screen._panes[1]
        await pilot.press("z")
        await pilot.pause()
        assert screen.visible_panes == [second]
        await pilot.press("tab")
        await pilot.pause()
        assert screen.visible_panes != [second]
        await pilot.press("z")
        await pilot.pause()
        assert len(screen.visible_panes) == 4


@pytest.mark.usefixtures("_finished")
async def test_where_one_pane_is_shown_at_a_time_the_first_tab_shows_the_second() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_state(pilot, app, "finished")
        screen = explore(app)
        first, second, *_, last = [pane for pane in screen._panes if isinstance(pane, LAYOUTS["overview"])]
        assert screen.visible_panes == [first]
        await pilot.press("tab")
        assert screen.visible_panes == [second]
        await pilot.press("shift+tab", "shift+tab")
        assert screen.visible_panes == [last]
        await pilot.press("f", "tab")
        await until(pilot, lambda: screen.pane.region.width > 0, "the pane alone")
        assert screen.visible_panes == [last]


@pytest.mark.usefixtures("_finished")
async def test_space_replays_a_finished_run_and_the_signs_set_its_speed() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until_state(pilot, app, "finished")
        screen = explore(app)
        await pilot.press("space")
        assert screen.look.cursor == 0
        assert "replay ×1, step 0" in screen._status().shown
        await until(pilot, lambda: (screen.look.cursor or 0) > 20, "a later moment")
        await pilot.press("space")
        there = screen.look.cursor
        drawings = [pane.canvas.drawing for pane in screen.visible_panes]
        assert {getattr(drawing, "crosshair", None) for drawing in drawings} == {there, None}
        await pilot.pause(0.3)
        assert screen.look.cursor == there
        assert "replay" not in screen._status().shown
        await pilot.press("minus", "plus", *["equals_sign"] * 5)
        assert str(screen.replay) == "replay ×10"
        assert screen._rest == 0
        await pilot.press("space")
        await until(pilot, lambda: screen.look.cursor is None, "the end of the replay")
        assert not screen.replay.playing
        await pilot.press("space", "escape")
        assert screen.look.cursor is None
        await until(pilot, lambda: not screen.replay.playing, "a replay that has stopped")
        await pilot.press("space", "2")
        assert not screen.replay.playing


def test_a_replay_takes_ten_seconds_whatever_the_number_of_moments() -> None:
    for moments in (2, 41, 4_001):
        replay, row, ticks = Replay(), 0, 0
        while (following := replay.next(row, moments)) is not None:
            row, ticks = following, ticks + 1
        assert 98 <= ticks <= 101 or moments == 2
        assert row < moments


@pytest.mark.usefixtures("_finished")
async def test_the_event_log_is_scrolled_by_key_and_stays_there_when_something_happens() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        live = await until_state(pilot, app, "finished")
        screen = explore(app)
        log, scroll = screen.query_one(EventLog), screen.query_one(EventLog)._scroll
        live.log.extend((1_700_000_000.0 + line, f"line {line}") for line in range(100))
        await pilot.press("v", "v")
        await until(pilot, lambda: log.display and 0 < scroll.max_scroll_y == scroll.scroll_y, "the log's end")
        end = scroll.max_scroll_y
        await pilot.press("up", "k", "k", "j")
        assert scroll.scroll_y == end - 2
        await pilot.press("pageup", "down", "pagedown", "pageup")
        there = scroll.scroll_y
        assert there < end - 2
        live.log.append((1_700_001_000.0, "news"))
        screen.show()
        await until(pilot, lambda: scroll.max_scroll_y == end + 1, "one more line")
        assert scroll.scroll_y == there
        await pilot.press(*["pagedown"] * 9)
        assert scroll.scroll_y == end + 1
        live.log.append((1_700_001_001.0, "more news"))
        screen.show()
        await until(pilot, lambda: scroll.max_scroll_y == scroll.scroll_y == end + 2, "one more line, and its end")


@pytest.mark.usefixtures("_finished")
async def test_enter_starts_what_was_changed_in_the_form_wherever_the_focus_is() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until_state(pilot, app, "finished")
        begun: list[Experiment] = []
        app.begin = begun.append  # type: ignore[method-assign,assignment]
        await pilot.press("enter")
        assert (begun, notices(app)[-1]) == ([], "nothing was changed in the form; r runs it again")
        await pilot.press("f", "down", "down", "right", "escape", "enter")
        assert [experiment.points[0].model.depth for experiment in begun] == [3]


@pytest.mark.usefixtures("_finished")
async def test_y_puts_the_histogram_on_a_log_axis_and_is_refused_where_there_is_no_other() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until_state(pilot, app, "finished")
        screen = explore(app)
        screen.set_focus(screen.query_one(GuessesPane))
        await pilot.press("y")
        drawing = screen.query_one(GuessesPane).canvas.drawing
        assert isinstance(drawing, Plot)
        assert (drawing.y.scale, drawing.y.unit) == ("log", "percent")
        assert "y: log" in str(screen.query_one(GuessesPane).border_subtitle)
        await pilot.press("v")
        screen.set_focus(screen.query_one(Alignment))
        await pilot.press("y")
        assert notices(app)[-1] == "alignment of singular vectors: there is no other y axis"


@pytest.mark.usefixtures("_no_worker")
async def test_help_has_a_line_for_every_key_of_every_screen() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        for mode in SCREENS:
            screen = await to_screen(pilot, mode, LabScreen)
            await pilot.press("question_mark")
            await until(pilot, lambda: isinstance(app.screen, HelpScreen), "the help")
            lines = app.screen.query_one(KeyList)._lines
            told = {(key, name) for key, _, name in lines if name}
            bindings = [each for owner in (*screen.key_owners, app) for each in type(owner).BINDINGS]
            assert told == {(written(each.key), each.id) for each in bindings if isinstance(each, Binding)}, mode
            await pilot.press("escape")


@pytest.mark.parametrize("screen", [ExploreScreen, SweepScreen, RunsScreen, PresetsScreen, TourScreen])
def test_every_key_has_a_meaning_and_a_name_of_its_own(screen: type[LabScreen]) -> None:
    bindings = [*screen.BINDINGS, *Explorer.BINDINGS, *(FieldList.BINDINGS if screen is ExploreScreen else [])]
    found = [each for each in bindings if isinstance(each, Binding)]
    assert len(found) == len(bindings)
    assert all(each.tooltip for each in found)
    names = [each.description for each in found]
    assert sorted(names) == sorted(set(names))


@pytest.mark.usefixtures("_finished")
async def test_a_pinned_trial_stays_under_others_until_it_is_unpinned() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        live = await until_state(pilot, app, "finished")
        screen = explore(app)

        def lines() -> int:
            drawing = screen.query_one(Losses).canvas.drawing
            assert isinstance(drawing, Plot)
            return len(drawing.series)

        await pilot.press("p", "[")
        assert lines() == 4
        assert screen.look.pinned is not None
        assert screen.look.pinned.key == (live.run.name, 1, 1)
        assert f"pinned {live.run.name}, width 6, seed 1; p unpins it" in notices(app)
        assert "pinned" in str(screen.query_one(SingularValues).border_subtitle)
        screen.take_up()
        assert lines() == 4
        await pilot.press("p")
        assert lines() == 2


async def test_a_run_of_the_prior_alone_is_scrubbed_and_replayed_by_its_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = parse("methods = ['prior']\n[gnc]\nprior_draws = 2_000\n", "prior-alone")
    run = computed(RunDirectory.create(experiment, "cpu", tmp_path / "run"))
    no_worker(monkeypatch)
    app = Explorer(experiment, "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: app.error, "the error")
        app.watch_run(run)
        await until_state(pilot, app, "finished")
        screen = explore(app)
        await pilot.press("left")
        assert screen._status().shown.startswith("draw 1,980, escape: latest")
        drawing = screen.query_one(GuessesPane).canvas.drawing
        assert isinstance(drawing, Plot)
        assert len(drawing.series) == 1
        assert str(screen.query_one(SingularValues).note.content) == "no gradient descent in this run"
        with monkeypatch.context() as slowly:
            slowly.setattr("mftui.views.replay.WHOLE_SECONDS", 1e6)
            await pilot.press("space")
            assert screen.replay.playing
        await until(pilot, lambda: screen.look.cursor is None, "the latest moment")
        await pilot.press("p", "i", "semicolon")
        assert notices(app)[-1] == "there is no curve to pin"


@pytest.mark.usefixtures("_finished")
async def test_n_goes_through_the_views_of_the_ranks_pane_and_c_copies_the_command() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        live = await until_state(pilot, app, "finished")
        pane = explore(app).query_one(Ranks)
        shown = []
        for _ in range(5):
            shown.append(str(pane.border_subtitle).partition("n: ")[2])
            await pilot.press("n")
        assert shown == ["ranks of W", "norms of W", "norms of the layers", "distances", "ranks of W"]
        await pilot.press("c")
        assert f"copied: {app.clipboard}" == f"copied: {shlex.join(command_line(live.run))}" == notices(app)[-1]


@pytest.mark.usefixtures("_finished")
async def test_explore_is_resized_at_any_moment() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until_state(pilot, app, "finished")
        screen = explore(app)
        for number, extent in enumerate(EXTENTS):
            await pilot.press(("space", "tab", "z", "v", "f", "left", "y", "n", "escape", "g")[number])
            await pilot.resize_terminal(*extent)
            await pilot.pause()
            assert screen.size == extent
            assert screen.visible_panes
            assert [row.cell_length for row in rows_of(app)] == [extent[0]] * extent[1]
        assert len(screen.visible_panes) == len(LAYOUTS[screen._layout])


@pytest.mark.usefixtures("_finished")
async def test_a_key_is_pressed_by_a_click_on_its_name_in_the_footer() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until_state(pilot, app, "finished")
        keys = app.screen.query_one(Keys)
        await until(pilot, lambda: keys.shown, "the footer")
        before = [each.cells for each in keys.shown[: [each.action for each in keys.shown].index("help")]]
        await pilot.click(Keys, offset=(sum(before) + 2, 0))
        assert isinstance(app.screen, HelpScreen)


@pytest.mark.usefixtures("_finished")
@pytest.mark.parametrize("size", SIZES)
async def test_the_footer_has_room_for_the_keys_that_tell_of_the_rest(size: tuple[int, int]) -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=size) as pilot:
        await until_state(pilot, app, "finished")
        keys = app.screen.query_one(Keys)
        await until(pilot, lambda: keys.shown, "the footer")
        line = keys.render_line(0)
        assert line.cell_length == size[0]
        assert line.text.rstrip().endswith("? Help q Quit")


@pytest.mark.usefixtures("_finished")
async def test_a_frame_gives_way_to_a_key_once_and_is_drawn_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until_state(pilot, app, "finished")
        shown: list[Pane] = []
        monkeypatch.setattr(ExploreScreen, "_show_in", lambda _, pane, __: shown.append(pane))
        panes = explore(app).visible_panes
        app._stale, app._put_off, app._pressed, app.governor.key_read = True, False, 0.0, 1.0
        app._frame()
        assert shown == []
        app._frame()
        assert shown == panes  # though the key has not been handled
        shown.clear()
        app._pressed = 1.0
        app._stale = True
        app._frame()
        assert shown == panes
        app._show()
        assert shown == [*panes, *panes]


@pytest.mark.usefixtures("_finished")
async def test_the_other_screens_are_made_ahead_and_going_there_makes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mftui.app.AHEAD_SECONDS", 0.01)
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until_state(pilot, app, "finished")
        await until(pilot, lambda: set(app._screen_stacks) >= set(SCREENS), "the other screens")
        assert isinstance(app.screen, ExploreScreen)
        before = live_of(app)
        await pilot.pause(0.3)
        assert live_of(app) is before, "a screen that nobody has gone to starts nothing"
        made = set(app._registry)
        for number, mode in enumerate(SCREENS, 1):
            app.switch_mode(mode)
            assert not app._batch_count, "nothing holds its picture back"
            await pilot.press(str(number))
            assert app.current_mode == mode
            assert app.screen is app.get_screen_stack(mode)[0]
        assert {type(each) for each in set(app._registry) - made} <= {ScrollBar}


@pytest.mark.usefixtures("_finished")
async def test_no_screen_is_made_while_the_app_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Textual goes through the screens then, and a new one would be an error."""
    app = Explorer(tiny(), "cpu")
    closing, stacks = app._close_all, list[set[str]]()

    async def close() -> None:
        stacks.append(set(app._screen_stacks))
        await app._make_ahead()
        stacks.append(set(app._screen_stacks))
        await closing()

    monkeypatch.setattr("mftui.app.AHEAD_SECONDS", 3600)
    monkeypatch.setattr(app, "_close_all", close)
    async with app.run_test(size=(160, 45)) as pilot:
        await until_state(pilot, app, "finished")
        app._pressed = 0.0
    assert stacks[0] == stacks[1] < set(SCREENS)


@pytest.mark.usefixtures("_finished")
async def test_what_is_frozen_for_good_is_no_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    garbage: list[int] = []
    monkeypatch.setattr("mftui.app.AHEAD_SECONDS", 0.01)
    monkeypatch.setattr(gc, "freeze", lambda: garbage.append(gc.collect()))
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: len(garbage) == 2, "what is frozen when the app is ready, and with all screens")
    assert max(garbage) < 100  # objects; making the screens leaves ten thousand


@pytest.mark.usefixtures("_finished")
async def test_dragging_over_a_plot_scrubs_all_panes() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until_state(pilot, app, "finished")
        screen = explore(app)
        canvas = screen.query_one(SingularValues).canvas
        await pilot.mouse_down(canvas, offset=(canvas.size.width // 2, 5))
        await pilot.mouse_up(canvas, offset=(canvas.size.width // 2, 5))
        assert screen.look.cursor is not None
        assert 100 < screen.look.cursor < 300
        drawings = [pane.canvas.drawing for pane in screen.visible_panes]
        crosshairs = {drawing.crosshair for drawing in drawings if hasattr(drawing, "crosshair")}
        assert crosshairs == {screen.look.cursor, None}  # the histogram has none


@pytest.mark.usefixtures("_finished")
async def test_the_matrices_are_shown_beside_the_truth() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until_state(pilot, app, "finished")
        await pilot.press("v")
        await pilot.pause()
        pane = explore(app).query_one(Matrices)
        assert pane.display
        texts = [view.frame.text for view in pane._views if view.frame is not None]
        assert len(texts) == 3
        assert "step 400" in str(pane.border_subtitle)


async def test_pausing_stepping_slowing_and_a_killed_worker_show_as_states() -> None:
    app = Explorer(parse(ENDLESS, "endless"), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        live = await until_state(pilot, app, "running")
        await until(pilot, lambda: "gd" in live.progress, "progress")
        await pilot.press("space")
        await until(pilot, lambda: live.state == "paused", "the pause")
        curve = live.curves[0, 0]
        before = curve.steps[-1]
        await pilot.press("full_stop")
        await until(pilot, lambda: curve.steps[-1] > before, "more steps")
        every = live.experiment.points[0].gd.log_every
        assert (curve.steps[-1] - before) % every == 0
        assert live.state == "paused"
        await pilot.press("space")
        await until(pilot, lambda: live.state == "running", "the end of the pause")
        await pilot.press("minus", "minus")
        assert explore(app)._rest == 2
        await pilot.press("plus")
        assert explore(app)._rest == 1
        worker = live.run.worker()
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        await until(pilot, lambda: explore(app)._status().state == "interrupted", "the interruption")
        assert str(live.run.log) in explore(app)._status().message


async def test_quitting_while_the_worker_starts_leaves_no_worker_behind() -> None:
    app = Explorer(parse(ENDLESS, "endless"), "cpu")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.session.live is not None, "the run")
        live = live_of(app)
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running, "its end")
    assert live.wait(CEILING_SECONDS)
    assert live.run.worker() is None
    live.poll()
    assert f"mftui resume {live.run.name}" in (app.farewell() or "")


async def test_a_detached_run_goes_on_and_can_be_watched_by_another_explorer() -> None:
    app = Explorer(parse(ENDLESS, "endless"), "cpu")
    async with app.run_test(size=(80, 24)) as pilot:
        live = await until_state(pilot, app, "running")
        await pilot.press("D")
        await until(pilot, lambda: not app.is_running, "its end")
    assert f"mftui attach {live.run.name}" in (app.farewell() or "")
    assert live.run.worker() is not None
    second = Explorer(tiny(), "cpu")
    async with second.run_test(size=(80, 24)) as pilot:
        await until_state(pilot, second, "finished")
        second.watch_run(live.run)
        await until(pilot, lambda: live_of(second).run.path == live.run.path, "the same run")
        await until_state(pilot, second, "running")
        await pilot.press("s")
        await until_state(pilot, second, "stopped")
    assert live.wait(CEILING_SECONDS)


def test_only_a_learning_rate_other_than_that_in_force_changes_in_flight() -> None:
    old = tiny()
    faster, wider = (parse(TINY.replace(*change), "tiny") for change in [("0.1", "0.3"), ("[3, 6]", "[3, 7]")])
    assert new_learning_rate(old, faster, {0.1}) == 0.3
    assert new_learning_rate(old, wider, {0.1}) is None
    assert new_learning_rate(old, old, {0.1}) is None
    assert new_learning_rate(old, old, {0.3}) == 0.1
    assert new_learning_rate(old, faster, {0.3}) is None


async def test_the_learning_rate_is_changed_in_flight_and_back_and_the_copied_command_says_that_it_was() -> None:
    app = Explorer(parse(ENDLESS, "endless"), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        live = await until_state(pilot, app, "running")
        await until(pilot, lambda: "gd" in live.progress, "the first step")
        await pilot.press("f")
        explore(app).form.list.choose("gd.learning_rate")
        await pilot.press("right", "enter")
        await until(pilot, lambda: live.rate_changed_at is not None, "the other rate")
        assert live.learning_rate(0) == 0.2
        first = live.rate_changed_at
        await until(pilot, lambda: live.curves[0, 0].table[-1][0] > first, "a step at that rate")
        await pilot.press("left", "enter")
        await until(pilot, lambda: live.rate_changed_at != first, "the first rate again")
        assert live.learning_rate(0) == 0.1
        await pilot.press("escape", "c")
        assert app.session.live is live
        assert app.clipboard.startswith("mftui run ")
        assert f"lastly at step {live.rate_changed_at:,}: no command repeats that" in notices(app)[-1]
        await app.action_quit()


@pytest.mark.parametrize(
    "overrides", [[], ["model.width=[3,7]"], ["gd.learning_rate=0.003", "gnc.prior='uniform'", "seeds=3"]]
)
def test_the_copied_command_line_runs_what_is_on_the_screen(overrides: list[str]) -> None:
    experiment = load("width-linear", overrides)
    run = RunDirectory.create(experiment, "cpu")
    program, verb, name, *rest = command_line(run)
    assert (program, verb, name) == ("mftui", "run", "width-linear")
    settings = [word for before, word in pairwise(rest) if before == "--set"]
    again = load(name, settings)
    assert (again.points, again.methods, again.seeds) == (experiment.points, experiment.methods, experiment.seeds)
    assert rest[-2:] == ["--device", "cpu"]


def test_what_no_preset_says_is_run_from_the_runs_own_spec(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    assert command_line(run)[2] == str(run.path / "spec.toml")


def test_the_governor_lets_frames_through_at_the_rate_of_the_link_and_none_while_writes_wait() -> None:
    governor = Governor(rate=1_000)
    assert governor.has_room()
    governor.spend(100_000)
    assert not governor.has_room()
    governor._at -= 101  # a hundred seconds later
    assert governor.has_room()
    governor.pending = lambda: 1
    assert not governor.has_room()
    assert rate_for("10.0.0.1 22", low_bandwidth=False, max_rate=None) < rate_for(
        None, low_bandwidth=False, max_rate=None
    )
    assert rate_for(None, low_bandwidth=True, max_rate=5) == 5


def choose_keys(text: str) -> None:
    keymap_file().parent.mkdir(parents=True, exist_ok=True)
    keymap_file().write_text(f"[keys]\n{text}\n", encoding="utf-8")


@pytest.mark.usefixtures("_no_worker")
async def test_help_tells_of_the_keys_that_were_chosen_and_a_notice_of_mistakes_in_them() -> None:
    choose_keys('stop = "space"\nrestart = "nosuchkey"\npauze = "p"\n"cursor(-1)" = "b"')
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: app.error, "the error")
        said = "\n".join(notices(app))
        assert "keys.pauze: there is no such action; did you mean pause?" in said
        assert "keys.restart: there is no key nosuchkey" in said
        assert "keys.toml leaves no key for pause on Explore" in said
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        told = {each.action: written(each.key) for each in app.screen._keys}
        assert (told["stop"], told["restart"], told["cursor(-1)"]) == ("space", "nosuchkey", "b")
        assert "pause" not in told


@pytest.mark.usefixtures("_no_worker")
@pytest.mark.parametrize("text", ['"pause[/q]" = 3', '"pause[/q]" = "p"', '"a[b]" = "[/]"'])
async def test_markup_in_a_file_of_keys_is_shown_as_it_is(text: str) -> None:
    choose_keys(text)
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: app.error, "the error")
        await pilot.pause()
        assert app.is_running
        assert any("[/" in each or "[b]" in each for each in notices(app))


@pytest.mark.usefixtures("_no_worker")
async def test_escape_sequences_in_a_title_are_written_out() -> None:
    app = Explorer(parse('title = "a\\u001b[31mred\\u0007"', "red"), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: app.error, "the error")
        await pilot.pause()
        shown = "".join(strip.text for strip in app.screen._compositor.render_strips())
        assert r"a\x1b[31mred\x07" in shown


@pytest.mark.usefixtures("_finished")
async def test_the_palette_has_every_action_once_by_a_name_of_its_own() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until_state(pilot, app, "finished")
        for mode in SCREENS:
            await app.switch_mode(mode)
            await pilot.pause()
            names = [each.title for each in app.get_system_commands(app.screen)]
            assert len(set(names)) == len(names)
            assert {"Save screen", "Help", "Quit", "Theme"} <= set(names)
        await app.switch_mode("explore")
        names = [each.title for each in app.get_system_commands(app.screen)]
        assert {"Run", "Next pane", "Default", "Next field"} <= set(names)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(app.screen, PaletteScreen), "the palette")
        await pilot.press(*"zoom", "enter")
        await until(
            pilot,
            lambda: app.screen is explore(app) and len(explore(app).visible_panes) == 1,
            "one pane without the palette",
        )


@pytest.mark.usefixtures("_finished")
@pytest.mark.parametrize("width", [1, 4, 9, 12, 20])
async def test_no_terminal_is_too_narrow_for_the_palette(width: int) -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_state(pilot, app, "finished")
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(app.screen, PaletteScreen), "the palette")
        await pilot.resize_terminal(width, 24)
        await pilot.pause(0.1)
        await pilot.press("o", "escape", "ctrl+p")
        await until(pilot, lambda: isinstance(app.screen, PaletteScreen), "the palette")
        assert app.is_running


@pytest.mark.usefixtures("_finished")
async def test_the_screen_is_saved_as_a_picture_and_as_text_and_where_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until_state(pilot, app, "finished")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: list(tmp_path.glob("mftui-explore-*.txt")), "the text")
        (text,), (picture,) = tmp_path.glob("mftui-explore-*.txt"), tmp_path.glob("mftui-explore-*.svg")
        assert "singular values of W" in text.read_text(encoding="utf-8")
        drawn = picture.read_text(encoding="utf-8")
        assert drawn.startswith("<svg")
        assert "@font-face" not in drawn
        assert str(picture) in notices(app)[-1]
        live = live_of(app)
        monkeypatch.setattr("mftui.export.writing.write_into", _only_into(live.run.path))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: list(live.run.path.glob("mftui-explore-*.svg")), "the picture")


@pytest.mark.usefixtures("_finished")
@pytest.mark.parametrize("size", SIZES)
async def test_a_notice_is_a_line_over_the_footer_and_the_next_takes_its_place(size: tuple[int, int]) -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=size, notifications=True) as pilot:
        await until_state(pilot, app, "finished")
        for text in ("first", "second"):
            app.notify(text, title="told")
            await until(pilot, lambda text=text: f"told: {text}" in rows_of(app)[-1].text, "the notice")
        assert "first" not in text_on(app)
        assert notices(app) == ["told: second"]
        app.notify("wrong", severity="error")
        app.notify("third")
        await until(pilot, lambda: "third" in rows_of(app)[-1].text and "wrong" in rows_of(app)[-2].text, "both")


def _only_into(allowed: Path) -> Callable[[Path, Files], list[Path]]:
    def write(folder: Path, files: Files) -> list[Path]:
        if folder != allowed:
            raise PermissionError(13, "Permission denied")
        return write_into(folder, files)

    return write


@pytest.mark.usefixtures("_finished")
async def test_the_whole_screen_is_sent_again_when_asked_for() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until_state(pilot, app, "finished")
        app.sent._lines = [[("x", None)]]
        await pilot.press("ctrl+l")
        assert not any(cell for line in app.sent._lines for cell in line)


@pytest.mark.usefixtures("_finished")
async def test_a_link_of_low_bandwidth_is_called_so_and_has_fewer_frames() -> None:
    app = Explorer(tiny(), "cpu", low_bandwidth=True)
    async with app.run_test(size=(160, 45)) as pilot:
        await until_state(pilot, app, "finished")
        assert app.governor.rate == LOW_BANDWIDTH_RATE
        await until(pilot, lambda: "low bandwidth" in app.link, "the low bandwidth")
        await until(pilot, lambda: "low bandwidth" in explore(app)._status().link, "the status line")
        (frames,) = {timer._interval for timer in app._timers if getattr(timer._callback, "__name__", "") == "_frame"}
        assert frames == 1 / LOW_BANDWIDTH_FRAMES


async def test_nothing_is_animated() -> None:
    assert Explorer(tiny(), "cpu").animation_level == "none"


@pytest.mark.usefixtures("_finished")
async def test_a_stop_that_could_not_be_asked_for_is_not_shown_as_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no socket")

    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        live = await until_state(pilot, app, "finished")
        live.state = "running"
        monkeypatch.setattr(live, "ask", refuse)
        with pytest.raises(OSError, match="no socket"):
            await app.session.ask("stop")
        assert not app.session.stopping
