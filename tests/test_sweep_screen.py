"""The sweep screen: its axis, figures and table on made-up results, every key at two sizes, and one real run."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from textual.pilot import Pilot
from textual.widgets import Static

from engine.runs.directory import RunDirectory
from engine.spec.experiment import Experiment
from engine.spec.preset import parse
from mftui.app import Explorer
from mftui.canvas import draw, layout
from mftui.live import LiveRun
from mftui.screens.explore import ExploreScreen
from mftui.screens.sweep import TABLE_FILE, SweepScreen
from mftui.views.canvas_view import CanvasView
from mftui.views.results_table import as_csv, readout, results_table
from mftui.views.sweep_plot import SweepPlot, warning
from mftui.views.sweep_view import SweepView, placed, sweep_view, value_text
from tests.lab import notices, until
from tests.pictures import text_on
from tests.runs import TINY
from tests.sweeps import no_hits, sweep_of, trained

pytestmark = pytest.mark.slow

WIDE, SMALL = (160, 45), (80, 24)
SWEEP = 'seeds = 4\n[sweep]\nover = "model.width"\nvalues = [5, 10, 20, 40]'
DEPTHS = 'seeds = 4\n[gnc]\nnormalize = true\n[sweep]\nover = "model.depth"\nvalues = [2, 3, 4, 5]'


def made_up(experiment: Experiment, tmp_path: Path, results: int | None = None) -> LiveRun:
    """A run that nobody works on, with results."""
    live = LiveRun(RunDirectory.create(experiment, "cpu", tmp_path / "run"))
    live.state = "running"
    if experiment.over in ("model.width", "model.depth"):
        live.results = sweep_of(experiment, lambda value, seed: 0.3 + (1 + 0.01 * seed) / float(value))[:results]
    return live


def view_of(text: str, tmp_path: Path, results: int | None = None) -> SweepView:
    return sweep_view(made_up(parse(text, "made-up"), tmp_path, results))


def printed(renderable: Any, width: int = 64) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


# --- the axis --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "scale", "numeric"),
    [
        ((5, 10, 20, 40, 80, 160), "log", True),
        ((2, 3, 4, 5, 6, 7, 8, 9, 10), "linear", True),
        ((1e-3, 3e-3, 1e-2, 3e-2), "log", True),
        ((160, 5, 40), "log", True),
        ((0, 1, 2), "linear", True),
        ((-1, 10, 100), "linear", True),
        ((1, 100), "log", True),
        ((2, 4), "linear", True),
        ((5,), "linear", True),
        (("adam", "sgd"), "linear", False),
        ((True, False), "linear", False),
        ((0.1, "auto"), "linear", False),
        ((None,), "linear", False),
        ((1.0, float("nan")), "linear", False),
    ],
)
def test_the_axis_is_logarithmic_for_geometric_values_and_has_names_for_what_is_no_number(
    values: tuple[Any, ...], scale: str, numeric: bool
) -> None:
    places, found, are_numbers = placed(values)
    assert (found, are_numbers) == (scale, numeric)
    assert places.tolist() == (list(values) if numeric else list(range(len(values))))


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (1e-3, "0.001"), (160, "160"), ("adam", "adam")])
def test_swept_values_are_written_briefly(value: object, text: str) -> None:
    assert value_text(value) == text


def test_every_point_has_its_tick_inside_the_axis_and_is_the_nearest_to_itself(tmp_path: Path) -> None:
    view = view_of(SWEEP, tmp_path)
    axis = view.axis()
    assert [name for _, name in axis.categories] == ["5", "10", "20", "40"]
    assert ((axis.fractions(view.places) > 0) & (axis.fractions(view.places) < 1)).all()
    assert [view.nearest(place) for place in view.places] == [0, 1, 2, 3]
    assert view.nearest(29) == 3  # as the log axis shows it


# --- the figure and the table ----------------------------------------------------------------------------------------


def test_the_figure_has_the_quartiles_of_each_method_side_by_side(tmp_path: Path) -> None:
    plot = SweepPlot().plot(view_of(SWEEP, tmp_path), 0)
    gd = plot.series[0]
    assert [one.style for one in plot.series] == ["gd", "prior", "gnc"]
    assert [one.shift for one in plot.series] == [-1, 0, 1]  # type: ignore[union-attr]
    assert list(gd.x) == [5, 10, 20, 40]  # type: ignore[union-attr]
    assert np.allclose([gd.low[0], gd.y[0], gd.high[0]], np.quantile([1e-5, 2e-5, 3e-5, 4e-5], (0.25, 0.5, 0.75)))  # type: ignore[union-attr]
    assert plot.y.scale == "log"
    assert "40" in draw(plot, 80, 30).text


def test_points_fill_in_as_trials_finish(tmp_path: Path) -> None:
    view = view_of(SWEEP, tmp_path, results=13)
    gd, _, gnc = SweepPlot().plot(view, 0).series
    assert (len(gd.x), len(gnc.x)) == (2, 1)  # type: ignore[union-attr]
    rows = printed(results_table(view, 0, dark=True)).splitlines()
    assert rows[1].split()[:2] == ["▸", "5"]
    assert "4/4" in rows[3]
    assert "1/4" in rows[4]
    assert "0/4" in rows[5]


def test_a_trial_that_is_told_twice_counts_once(tmp_path: Path) -> None:
    live = made_up(parse(SWEEP, "twice"), tmp_path)
    live.results = [trained(0, 0, 0.1), trained(0, 0, 0.2), trained(0, 1, 0.2)]
    view = sweep_view(live)
    assert view.done[0, "gd"] == 2
    assert view.summaries[0, "gd"].generalization_loss == (0.2, 0.2, 0.2)


def test_names_are_points_that_no_line_joins(tmp_path: Path) -> None:
    experiment = parse('[sweep]\nover = "gd.optimizer"\nvalues = ["adam", "sgd"]', "names")
    live = made_up(experiment, tmp_path)
    live.results = [trained(0, 0, 1e-3), trained(1, 0, float("nan"))]
    plot = SweepPlot().plot(sweep_view(live), 1)
    assert not plot.series[0].joined  # type: ignore[union-attr]
    assert plot.x.categories == ((0.0, "adam"), (1.0, "sgd"))
    assert "adam" in draw(plot, 60, 20).text


def test_values_out_of_order_are_joined_from_left_to_right(tmp_path: Path) -> None:
    text = SWEEP.replace("[5, 10, 20, 40]", "[40, 5, 20, 10]")
    assert list(SweepPlot().plot(view_of(text, tmp_path), 0).series[0].x) == [5, 10, 20, 40]  # type: ignore[union-attr]


def test_what_went_wrong_is_counted_marked_and_told(tmp_path: Path) -> None:
    live = made_up(parse(SWEEP, "trouble"), tmp_path)
    live.results = [
        no_hits(0, 0),
        replace(trained(0, 1, 0.1), outcome="diverged", generalization_loss=None, message="diverged at step 12"),
        trained(1, 0, 0.1, training_loss=0.5),
    ]
    view = sweep_view(live)
    assert (
        warning(view)
        == "! trials 1 diverged, 1 without a hit, 1 of GD above ε_train: see the points marked ! in the table"
    )
    assert [view.worrying(*key) for key in ((0, "gd"), (0, "gnc"), (1, "gd"), (1, "gnc"))] == [True, True, True, False]  # type: ignore[arg-type]
    assert printed(results_table(view, 0, dark=True)).count("!") == 3
    told = printed(readout(view, 0, True, None, roomy=True))
    assert "! GD: seed 1: diverged at step 12" in told
    assert "none of 1,000 guesses fit" in told
    assert "< -2.5" in told
    assert "above ε_train" in printed(readout(view, 1, True, None, roomy=True)).replace("\n", " ")


def test_the_table_as_csv_has_every_number_in_full(tmp_path: Path) -> None:
    view = view_of(SWEEP, tmp_path, results=13)
    rows = list(csv.DictReader(io.StringIO(as_csv(view))))
    assert len(rows) == 12
    first, gnc = rows[0], rows[2]
    assert (first["model.width"], first["method"], first["trials_done"], first["trials"]) == ("5", "gd", "4", "4")
    summary = view.summaries[0, "gd"].generalization_loss
    assert summary is not None
    assert float(first["generalization_loss_median"]) == summary[1]
    assert float(gnc["log10_acceptance"]) == -1.0
    assert rows[-1]["generalization_loss_median"] == rows[-1]["log10_acceptance"] == ""


# --- the screen ------------------------------------------------------------------------------------------------------


@contextmanager
def app_with(live: LiveRun, monkeypatch: pytest.MonkeyPatch) -> Iterator[Explorer]:
    """An explorer that shows this run and starts none."""
    monkeypatch.setattr(Explorer, "begin", lambda self, experiment: None)
    monkeypatch.setattr(live, "poll", lambda: False)
    app = Explorer(live.experiment, "cpu")
    app.session.live = live
    yield app


async def opened(app: Explorer, pilot: Pilot[None]) -> SweepScreen:
    await pilot.pause()
    await pilot.press("2")
    await until(pilot, lambda: isinstance(app.screen, SweepScreen), "the screen")
    screen = app.screen
    assert isinstance(screen, SweepScreen)
    await until(pilot, lambda: screen.figure.is_mounted, "the figure")
    await pilot.pause()
    return screen


@asynccontextmanager
async def sweep_screen(
    live: LiveRun, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> AsyncIterator[tuple[Pilot[None], SweepScreen]]:
    """On this run."""
    with app_with(live, monkeypatch) as app:
        async with app.run_test(size=size) as pilot:
            yield pilot, await opened(app, pilot)


@pytest.mark.parametrize("size", [WIDE, SMALL])
async def test_the_cursor_chooses_a_point_and_enter_opens_it_on_the_first_screen(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app_with(made_up(parse(SWEEP, "made-up"), tmp_path), monkeypatch) as app:
        async with app.run_test(size=size) as pilot:
            screen = await opened(app, pilot)
            assert "width 5 (1/4)" in text_on(screen.app)
            await pilot.press("right", "l", "left", "h", "l", "j", "k", "down", "up")
            assert screen.selected == 1
            await pilot.press("end", "right")
            assert screen.selected == 3
            await pilot.pause()
            assert "width 40 (4/4)" in text_on(screen.app)
            await pilot.press("home", "left")
            assert screen.selected == 0
            await pilot.press("right", "right", "enter")
            await until(pilot, lambda: isinstance(app.screen, ExploreScreen), "Explore")
            explore = app.screen
            assert isinstance(explore, ExploreScreen)
            assert explore.shown == (2, 0)


@pytest.mark.parametrize("size", [WIDE, SMALL])
@pytest.mark.parametrize(("text", "title"), [(SWEEP, "ε = "), (DEPTHS, "c = ")])
async def test_the_theorem_is_shown_on_demand_and_its_threshold_moves_by_a_bin(
    text: str, title: str, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sweep_screen(made_up(parse(text, "made-up"), tmp_path), monkeypatch, size) as (pilot, screen):
        assert not screen.theorem.display
        await pilot.press("plus", "T")
        await pilot.pause()
        assert screen.theorem.display
        assert screen.figure.display == (size == WIDE)
        assert title in text_on(screen.app)
        before = screen.measured
        assert before is not None
        await pilot.press("plus", "plus", "minus", "equals_sign")
        after = screen.measured
        assert after is not None
        assert after.edge == before.edge + 2
        screen.action_threshold(-100)
        assert screen.measured is not None
        assert screen.measured.edge == 1
        await pilot.press("T")
        await pilot.pause()
        assert not screen.theorem.display
        assert screen.figure.display


@pytest.mark.parametrize("size", [WIDE, SMALL])
async def test_y_goes_between_log_and_linear_for_the_chosen_figure(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sweep_screen(made_up(parse(SWEEP, "made-up"), tmp_path), monkeypatch, size) as (pilot, screen):
        await pilot.press("y")
        await pilot.pause()
        assert not screen.figure.log_y
        assert "linear" in text_on(screen.app)
        await pilot.press("y", "T", *(["tab"] if size == WIDE else []), "y")
        assert (screen.figure.log_y, screen.theorem.log_y) == (True, False)
        await pilot.pause()
        assert "y: linear" in text_on(screen.app)


async def test_tab_goes_through_figure_and_table_where_there_is_room_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sweep_screen(made_up(parse(SWEEP, "made-up"), tmp_path), monkeypatch, SMALL) as (pilot, screen):
        seen = []
        for press in ("", "tab", "tab", "T", "tab", "tab", "shift+tab"):
            if press:
                await pilot.press(press)
            await pilot.pause()
            shown = (screen.figure, screen.theorem, screen.table)
            seen.append("".join(n for n, w in zip("ftr", shown, strict=True) if w.display and w.region))
        assert seen == ["f", "r", "f", "t", "r", "f", "r"]
        await pilot.press("end")
        await pilot.pause()
        assert "▸  40" in text_on(screen.app)
        for size in (WIDE, (20, 5), (1, 1), (110, 30), (109, 24), SMALL):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        assert "▸  40" in text_on(screen.app)


async def test_a_click_chooses_the_point_under_it_in_either_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sweep_screen(made_up(parse(DEPTHS, "made-up"), tmp_path), monkeypatch, WIDE) as (pilot, screen):
        await pilot.press("T")
        await pilot.pause()
        for pane, place in ((screen.figure, 4.0), (screen.theorem, 1 / 3)):
            canvas = pane.query_one(CanvasView)
            placed_plot = layout(canvas.drawing, *canvas.size)  # type: ignore[arg-type]
            column = placed_plot.column(canvas.drawing.x, place)  # type: ignore[union-attr]
            assert column is not None
            await pilot.click(canvas, offset=(column, 3))
            await pilot.pause()
            assert screen.selected == {4.0: 2}.get(place, 1)


@pytest.mark.parametrize("size", [WIDE, SMALL])
async def test_a_single_point_has_a_table_and_a_hint_instead_of_a_figure(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = made_up(parse("seeds = 2", "alone"), tmp_path)
    live.results = [trained(0, 0, 1e-3), trained(0, 1, 2e-3)]
    async with sweep_screen(live, monkeypatch, size) as (pilot, screen):
        seen = text_on(screen.app)
        assert "not a sweep" in seen
        assert "0.0015" in seen
        assert "over model.width: " in " ".join(seen.replace("│", " ").split())
        await pilot.press("right", "left", "home", "end", "y", "tab", "shift+tab", "plus", "minus", "T")
        assert not screen.theory
        assert not screen.figure.region


async def test_a_sweep_without_a_theorem_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = parse('[sweep]\nover = "gd.optimizer"\nvalues = ["adam", "sgd"]', "names")
    with app_with(made_up(experiment, tmp_path), monkeypatch) as app:
        async with app.run_test(size=WIDE) as pilot:
            screen = await opened(app, pilot)
            await pilot.press("T")
            assert not screen.theory
            assert any("model.width" in notification.message for notification in app._notifications)


async def test_the_table_is_written_where_we_are_or_else_beside_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = made_up(parse(SWEEP, "made-up"), tmp_path)
    monkeypatch.chdir(tmp_path)
    with app_with(live, monkeypatch) as app:
        async with app.run_test(size=SMALL) as pilot:
            await opened(app, pilot)
            await pilot.press("e")
            written = tmp_path / f"{live.run.name}-{TABLE_FILE}"
            assert written.read_text(encoding="utf-8").startswith("model.width,method,trials_done")
            assert notices(app)[-1] == f"written: {written}"
            written.unlink()
            written.mkdir()
            await pilot.press("e")
            written = live.run.path / written.name
            assert written.read_text(encoding="utf-8")
            assert notices(app)[-1] == f"written: {written}"


async def test_the_command_line_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = made_up(parse(SWEEP, "made-up"), tmp_path)
    with app_with(live, monkeypatch) as app:
        async with app.run_test(size=WIDE) as pilot:
            await opened(app, pilot)
            await pilot.press("c")
            assert app.clipboard == f"mftui run {live.run.path / 'spec.toml'} --device cpu"


async def test_another_run_starts_the_screen_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with app_with(made_up(parse(SWEEP, "made-up"), tmp_path), monkeypatch) as app:
        async with app.run_test(size=WIDE) as pilot:
            screen = await opened(app, pilot)
            await pilot.press("T", "end", "plus")
            other = LiveRun(RunDirectory.create(parse(DEPTHS, "other"), "cpu", tmp_path / "other"))
            monkeypatch.setattr(other, "poll", lambda: False)
            app.session.live = other
            screen.show()
            await pilot.pause()
            assert screen.selected == 0
            assert "depth 2 (1/4)" in text_on(screen.app)
            assert "no depth is done yet" in text_on(screen.app)


async def test_without_any_run_every_key_is_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with app_with(made_up(parse(SWEEP, "made-up"), tmp_path), monkeypatch) as app:
        app.session.live = None
        async with app.run_test(size=SMALL) as pilot:
            screen = await opened(app, pilot)
            await pilot.press(*"hlyTec", "left", "right", "home", "end", "enter", "tab", "plus", "minus")
            assert app.screen is screen


async def test_a_real_sweep_fills_the_figure_to_its_end() -> None:
    app = Explorer(parse(TINY, "tiny"), "cpu")
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(app, pilot)
        await until(pilot, lambda: app.session.live and app.session.live.state == "finished", "the end of the run")
        await until(pilot, lambda: screen.view is not None and len(screen.view.results) == 12, "all results")
        await pilot.press("T")
        await until(pilot, lambda: "12/12 trials" in text_on(app), "the count")
        assert "2 data sets so far" in text_on(screen.app)
        assert all(len(one.x) == 2 for one in screen.figure.plot(screen.view, 0).series)  # type: ignore[arg-type, union-attr]
        assert not isinstance(screen.query_one("#readout", Static).content, str)
        await app.action_quit()


def test_the_screen_never_imports_torch() -> None:
    code = "import sys, mftui.screens.sweep; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
