"""The explorer: its axes and charts on plain data, its form on drafts, and the whole of it on a real worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from engine.runs.catalog import RunError
from engine.runs.directory import RunDirectory
from engine.spec.preset import Experiment, load, parse
from engine.spec.settings import PointSettings, fields
from mftui.app import Explorer, farewell
from mftui.draft import OVER, SEEDS, Draft, to_value
from mftui.live import Guesses, LiveRun, Progress
from mftui.views.axes import Axis, Sticky, round_up
from mftui.views.choice import Choice
from mftui.views.field_row import FieldRow
from mftui.views.guesses import GuessesPane
from mftui.views.help_screen import HelpScreen
from mftui.views.losses import Losses
from mftui.views.plotting import Chart, Line, draw
from mftui.views.results_screen import ResultsScreen
from mftui.views.singular_values import MOST_BEADS, SingularValues
from mftui.views.trial import MOST_POINTS, TrialView, thin

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


def tiny() -> Experiment:
    return parse(TINY, "tiny")


async def until(pilot: Pilot[None], condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """The store announces nothing, so look; fail rather than hang."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        await pilot.pause(0.02)


@pytest.fixture
def _no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: RunDirectory) -> LiveRun:
        raise RunError(f"{run.experiment.name}: no worker in this test")

    monkeypatch.setattr(LiveRun, "start", staticmethod(refuse))


def trial(
    curve: list[list[float]] | None = None,
    truth: tuple[float, ...] = (1.0, 0.0),
    guesses: dict[str, Guesses] | None = None,
) -> TrialView:
    return TrialView(
        key=("run", 0, 0),
        settings=PointSettings(),
        truth=truth,
        curve=np.array(curve) if curve else np.empty((0, 3)),
        guesses=guesses or {},  # type: ignore[arg-type]
        progress={"gnc": Progress(point=0, seed=0, done=10, fraction=0.1, rate=5.0)},
        results={},
        dark=True,
    )


# --- axes and charts -------------------------------------------------------------------------------------------------


def test_limits_grow_in_round_steps_and_never_shrink() -> None:
    limits = Sticky()
    assert limits.from_zero(0.93) == (0.0, 1.0)
    assert limits.from_zero(1.07) == (0.0, 1.2)
    assert limits.from_zero(0.2) == (0.0, 1.2)
    limits.reset()
    assert limits.decades(-3.2, -1.1) == (-4, -1)
    assert limits.decades(-2.0, -2.0) == (-4, -1)


def test_step_axis_ends_at_the_last_step() -> None:
    assert Sticky().from_zero(4_100.0, 5_000.0, coarse=True) == (0.0, 5_000.0)
    assert Sticky().from_zero(140.0, 5_000.0, coarse=True) == (0.0, 200.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -1.0])
def test_no_number_breaks_rounding(value: float) -> None:
    assert round_up(value) == 1.0


def test_log_ticks_are_written_as_powers_of_ten_and_stay_few() -> None:
    places, labels = Axis(-12, 0, "decades").ticks(4)
    assert places == [-12, -9, -6, -3, 0]
    assert labels == ["10⁻¹²", "10⁻⁹", "10⁻⁶", "10⁻³", "10⁰"]


def test_thinning_keeps_the_last_row_and_few_others() -> None:
    table = np.arange(3 * 1_001.0).reshape(-1, 3)
    kept = thin(table)
    assert len(kept) <= MOST_POINTS + 1
    assert kept[-1].tolist() == table[-1].tolist()
    assert kept[:5].tolist() == thin(table[:-1])[:5].tolist()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (16, 4), (58, 19), (116, 35)])
def test_chart_fills_its_size_exactly_or_is_blank(width: int, height: int) -> None:
    chart = Chart(
        Axis(0, 100, "count"),
        Axis(-4, 0, "decades"),
        (
            Line((), (-1.0,), "#56b4e9", dashed=True),
            Line((0.0, 100.0), (-4.0, 0.0), "#e69f00"),
            Line((), (), "#009e73"),
        ),
    )
    lines = draw(chart, width, height)
    assert len(lines) == height
    assert {line.cell_length for line in lines} == {width}


def test_what_a_log_axis_cannot_show_is_left_out() -> None:
    curve = [[0, 1e-1, 0.0, 0.5, 0.0], [10, np.nan, 1e-3, np.nan, 1e-3], [20, np.inf, -1.0, 0.9, np.inf]]
    losses = Losses().chart(trial(curve))
    assert [line.x for line in losses.lines] == [(0.0,), (10.0,)]
    pane = SingularValues()
    pane.log_scale = True
    true_one, first, second = pane.chart(trial(curve)).lines
    assert true_one.dashed
    assert (first.x, second.x) == ((0.0, 20.0), (10.0,))


def _predicted(rows: list[list[float]], error: float | None, **settings: object) -> TrialView:
    """A trial with a predicted course; `settings` are of gradient descent."""
    gd = PointSettings().gd.model_copy(update={"predict_from": 0, **settings})
    shown = trial([[0, 1.0, 1.0, 0.1, 0.01], [50, 1.0, 1.0, 0.9, 0.1], [100, 0.1, 0.1, 1.0, 0.2]])
    return replace(
        shown,
        settings=shown.settings.model_copy(update={"gd": gd}),
        predicted=np.array(rows),
        prediction_error=error,
    )


def test_the_predicted_course_is_drawn_as_beads_in_the_colours_of_the_measured_one_and_only_when_asked() -> None:
    shown = _predicted([[step, step / 100, 0.0] for step in range(101)], 0.01)
    pane = SingularValues()
    assert not any(line.beads for line in pane.chart(shown).lines)
    pane.theory = True
    dashed, *measured, first, second = pane.chart(shown).lines
    assert dashed.dashed
    assert (first.beads, second.beads) == (True, True)
    assert [line.color for line in measured] == [first.color, second.color]
    assert 10 < len(first.x) <= MOST_BEADS
    drawn = "\n".join(strip.text for strip in draw(pane.chart(shown), 60, 15))
    assert "•" in drawn
    pane.log_scale = True
    assert pane.chart(shown).lines[-1].x == ()


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({}, 0.0123, "• theory, off by 0.012"),
        ({}, None, "• theory"),
        ({"predict_from": -1}, None, "theory: from the step gd.predict_from"),
        ({"optimizer": "adam"}, None, "theory: linear σ, plain gradient descent only"),
    ],
)
def test_the_overlay_says_how_far_off_theory_is_or_why_there_is_none(
    settings: dict[str, object], error: float | None, said: str
) -> None:
    pane = SingularValues()
    pane.theory = True
    assert pane._of_theory(_predicted([[0, 0.1, 0.0]], error, **settings)) == f" · {said}"


def test_histograms_share_their_bins_and_gd_is_marked_at_the_edge_when_off_the_scale() -> None:
    generator = np.random.default_rng(0)
    prior, gnc = generator.uniform(0.1, 1, 500).tolist(), [*generator.uniform(0.01, 1, 50).tolist(), np.nan, 0.0]
    guesses = {
        "prior": Guesses(draws=500, hits=500, generalization_loss=prior, log_weight=[0.0] * 500),
        "gnc": Guesses(draws=500, hits=50, generalization_loss=gnc, log_weight=[-1e4] * 52),
    }
    chart = GuessesPane().chart(trial([[0, 1e-9, 1e-20, 1.0]], guesses=guesses))
    under_prior, under_gnc, gd = chart.lines
    assert under_prior.x == under_gnc.x
    assert sum(under_prior.y) == pytest.approx(sum(under_gnc.y)) == pytest.approx(200)
    assert gd.x == (chart.x.low, chart.x.low)
    assert chart.labels[0].text == " ◂ GD"


def test_panes_show_a_trial_of_which_nothing_is_known_yet() -> None:
    empty = trial(truth=())
    for pane in (SingularValues(), Losses(), GuessesPane()):
        assert draw(pane.chart(empty), 60, 15)


# --- the draft -------------------------------------------------------------------------------------------------------


def test_untouched_draft_is_the_experiment_itself() -> None:
    experiment = tiny()
    assert Draft(experiment).check() == (experiment, {})


@pytest.mark.parametrize("name", ["quick-start", "wide-linear"])
def test_every_text_of_a_draft_reads_back_as_the_value_it_was_made_from(name: str) -> None:
    experiment = load(name)
    draft = Draft(experiment)
    draft.texts[SEEDS] = str(experiment.seeds + 1)  # or the draft returns the experiment unread
    checked, problems = draft.check()
    assert checked is not None, problems
    assert (checked.points, checked.values, checked.name) == (experiment.points, experiment.values, experiment.name)


@pytest.mark.parametrize(
    ("key", "text", "fault", "sentence"),
    [
        ("gd.init", "gausian", "gd.init", "did you mean 'gaussian'?"),
        ("model.depth", "0", "model.depth", "an integer ≥ 1"),
        ("problem.rank", "9", "problem.rank", "min(rows, columns) = 5, got 9"),
        ("model.width", "5, x", "model.width", "got 'x'"),
        ("gd.steps", "", "gd.steps", "got ''"),
        (OVER, "model.widht", OVER, "did you mean 'model.width'?"),
        (OVER, "", "model.width", "expected a single value"),
        (SEEDS, "0", SEEDS, "an integer ≥ 1"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_in_the_engines_words(
    key: str, text: str, fault: str, sentence: str
) -> None:
    draft = Draft(tiny())
    draft.texts[key] = text
    experiment, problems = draft.check()
    assert experiment is None
    assert sentence in problems[fault]


def test_another_field_can_be_swept() -> None:
    draft = Draft(tiny())
    draft.texts |= {"model.width": "4", OVER: "model.depth", "model.depth": "2, 3, 4"}
    experiment, problems = draft.check()
    assert experiment is not None, problems
    assert [(point.model.width, point.model.depth) for point in experiment.points] == [(4, 2), (4, 3), (4, 4)]


@pytest.mark.parametrize(("text", "value"), [("1e-3", 1e-3), ("true", True), ("[1, 2]", [1, 2]), ("a, 2", ["a", 2])])
def test_texts_are_read_as_toml_where_they_are(text: str, value: object) -> None:
    assert to_value(text) == value


# --- the screen, without a worker ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_no_worker")
async def test_a_run_that_cannot_start_is_said_and_the_form_stays_usable() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: app._status().state == "failed")
        assert app._status().message == "tiny: no worker in this test"
        assert len(app.query(FieldRow)) == len(fields()) + 2


@pytest.mark.usefixtures("_no_worker")
async def test_letters_type_in_a_field_and_act_outside() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        row = app.query_one("#field-model-depth", FieldRow)
        row.editor.focus()
        await pilot.press("q", "question_mark", "space", "y")
        assert isinstance(row.editor, Input)
        assert row.editor.value == "2q? y"
        await until(pilot, lambda: "got '2q? y'" in str(row.query_one(".error", Static).content))
        assert row.has_class("-wrong")
        await pilot.press("r", "escape", "question_mark")
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("escape", "y")
        assert app._singular_values.log_scale


@pytest.mark.usefixtures("_no_worker")
async def test_starting_with_something_wrong_goes_to_the_field_instead() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        row = app.query_one("#field-gd-steps", FieldRow)
        row.editor.focus()
        await pilot.press("x", "escape", "r")
        await pilot.pause()
        assert row.editor.has_focus


@pytest.mark.usefixtures("_no_worker")
async def test_a_choice_goes_round_and_becomes_a_list_when_it_is_swept() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        choice = app.query_one("#field-model-activation", FieldRow).editor
        assert isinstance(choice, Choice)
        choice.focus()
        await pilot.press("left", "right", "right")
        assert choice.value == "tanh"
        over = app.query_one("#field-sweep-over", FieldRow).editor
        assert isinstance(over, Input)
        over.value = "model.activation"
        await until(pilot, lambda: bool(app.query("#field-model-activation Input")))


@pytest.mark.usefixtures("_no_worker")
async def test_narrow_terminals_show_the_panes_first_and_the_form_on_demand() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(80, 24)) as pilot:
        form, panes = app.query_one("#form"), app.query_one("#panes")
        await pilot.pause()
        assert (form.display, panes.display) == (False, True)
        await pilot.press("f")
        assert (form.display, panes.display) == (True, False)
        await pilot.press("escape", "2")
        await pilot.pause()
        assert (form.display, panes.display) == (False, True)
        assert [pane.id for pane in app._panes if pane.display] == ["losses"]
        for size in ((160, 45), (20, 5), (1, 1), (80, 24)):
            await pilot.resize_terminal(*size)


@pytest.mark.usefixtures("_no_worker")
async def test_a_table_without_a_trial_is_a_sentence() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("T")
        assert "No trial has finished yet" in str(app.screen.query_one("#table", Static).content)
        await pilot.press("escape")
        assert not isinstance(app.screen, ResultsScreen)


def test_the_screens_never_import_torch() -> None:
    code = "import sys, mftui.app; sys.exit('torch' in sys.modules or 'plotext' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the screen, with a worker ---------------------------------------------------------------------------------------


async def test_opening_runs_the_experiment_and_an_edited_form_runs_another() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: app.live is not None and app.live.state == "finished")
        first = app.live
        assert first is not None
        assert len(first.results) == 2 * 2 * 3
        assert app.shown == (1, 1)
        await pilot.press("[", "}")
        assert app.shown == (0, 0)
        losses = app._panes[1].plot.chart
        assert losses is not None
        assert [len(line.x) for line in losses.lines] == [41, 41]
        await pilot.press("T")
        assert isinstance(app.screen, ResultsScreen)
        await pilot.press("escape")

        width = app.query_one("#field-model-width", FieldRow).editor
        assert isinstance(width, Input)
        width.focus()
        width.value = "2"
        await pilot.press("enter")
        await until(pilot, lambda: app.live is not first and app.live is not None and app.live.state == "finished")
        assert [point.model.width for point in app.live.experiment.points] == [2]
        assert farewell(app.live) == f"{app.live.run.name}: finished, in {app.live.run.path}"


async def test_theory_is_laid_over_the_singular_values_while_they_come_and_taken_off_again() -> None:
    text = """
        methods = ["gd"]
        [problem]
        norm = 3.0
        [gd]
        init = "balanced"
        init_scale = 0.3
        steps = 2_000
        log_every = 50
        predict_from = 0
    """
    app = Explorer(parse(text, "predicted"), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        pane = app._singular_values
        await until(pilot, lambda: app.live is not None and app.live.state == "finished")
        assert "[b]t[/b] theory" in pane._subtitle
        await pilot.press("t")
        assert app.live is not None
        error = app.live.results[0].trajectory_error
        assert error is not None
        assert f"• theory, off by {error:.2g}" in pane._subtitle
        assert pane.plot.chart is not None
        assert [line.beads for line in pane.plot.chart.lines[-10:]] == [False] * 5 + [True] * 5
        await pilot.press("t")
        assert not any(line.beads for line in pane.plot.chart.lines)
        assert app.live.wait(10.0)


async def test_pausing_continuing_and_a_killed_worker_show_as_states() -> None:
    app = Explorer(parse(ENDLESS, "endless"), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: app.live is not None and bool(app.live.progress))
        live = app.live
        assert live is not None
        await pilot.press("space")
        await until(pilot, lambda: live.state == "paused")
        await pilot.press("space")
        await until(pilot, lambda: live.state == "running")
        worker = live.run.worker()
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        await until(pilot, lambda: app._status().state == "interrupted")
        assert str(live.run.log) in app._status().message


async def test_quitting_while_the_worker_starts_leaves_no_worker_behind() -> None:
    app = Explorer(parse(ENDLESS, "endless"), "cpu")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.live is not None)
        live = app.live
        assert live is not None
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)
    assert live.wait(10.0)
    assert live.run.worker() is None
    assert f"mftui resume {live.run.name}" in farewell(live)
