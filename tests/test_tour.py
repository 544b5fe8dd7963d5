"""The tour: its pages, what they promise, its keys, and `mftui explain`, which prints the same text."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen

import numpy as np
import pytest
from textual.pilot import Pilot

from engine.runs.catalog import runs_directory
from engine.runs.directory import RunDirectory
from engine.runs.launch import Spare
from engine.spec.preset import load, parse, shipped
from mftui import session as session_module
from mftui.app import Explorer
from mftui.live import LiveRun
from mftui.screens.explore import ExploreScreen
from mftui.screens.tour import PANES, TourScreen
from mftui.session import Session
from mftui.tour import EMPHASIS, Page, layout, page_of, pages
from mftui.tour import parse as parse_page
from mftui.views.confirm import Confirm
from tests.commands import Command
from tests.lab import EXTENTS, computed, no_worker, rows_of, until
from tests.pictures import text_on
from tests.runs import follow_to_end
from tests.sweeps import trained

PAGES = [pytest.param(page, id=page.preset) for page in pages()]
on_workers = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""a worker that is told to stop while it starts may outlive its `Popen`; the session does not wait for it"""
Tours = Callable[[str], RunDirectory]
Ran = Callable[[str], LiveRun]
SECTIONS = ["The formula", "Sources", "What to look for"]


# --- the pages -------------------------------------------------------------------------------------------------------


def test_the_tour_has_seven_pages_each_with_a_preset_of_its_own() -> None:
    assert [page.number for page in pages()] == list(range(1, 8))
    assert len({page.preset for page in pages()}) == 7
    assert {name for name in shipped() if name.startswith("tour-")} == {page.preset for page in pages()}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_its_sections_and_ends_with_what_to_look_for(page: Page) -> None:
    headings = [block.text for block in page.blocks if block.kind == "heading"]
    assert headings == SECTIONS
    assert page.blocks[-1].kind == "item"
    assert 1 <= len(page.panes) <= 3
    assert set(page.panes) <= set(PANES)


@pytest.mark.parametrize("page", PAGES)
def test_a_pages_preset_is_valid_and_says_which_page_it_belongs_to(page: Page) -> None:
    assert load(page.preset).title.startswith(f"Tour {page.number}: ")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [40, 75, 100])
def test_a_page_fits_its_width_and_leaves_no_star_of_its_markup(page: Page, width: int) -> None:
    for kind, line in layout(page.blocks, width):
        shown = EMPHASIS.sub(r"\1", line)
        assert len(shown) <= width or kind == "formula"
        assert "*" not in shown.replace("W*", "")


def test_the_whole_takes_about_fifteen_minutes_to_read() -> None:
    words = sum(len(block.text.split()) for page in pages() for block in page.blocks)
    assert 10 * 200 < words < 18 * 200


def test_blocks_of_a_page_are_told_apart() -> None:
    page = parse_page(
        3, "title: T\npreset: p\npanes: a, b\n\nOne\nline.\n\n## H\n\n    x  = 1\n    y = 2\n\n- i\n  j\n- k\n"
    )
    assert (page.title, page.preset, page.panes, page.also) == ("T", "p", ("a", "b"), ())
    assert [(block.kind, block.text) for block in page.blocks] == [
        ("paragraph", "One line."),
        ("heading", "H"),
        ("formula", "x  = 1"),
        ("formula", "y = 2"),
        ("item", "i j"),
        ("item", "k"),
    ]


def test_a_term_set_apart_may_go_over_a_lines_end_and_w_star_is_none() -> None:
    page = parse_page(1, "title: T\npreset: p\npanes: a\n\nW* and *two words together* and W* again.")
    lines = [EMPHASIS.sub(r"[\1]", line) for _, line in layout(page.blocks, 20)][1:]
    assert " ".join(lines) == "W* and [two] [words] [together] and W* again."


@pytest.mark.parametrize(
    ("preset", "number"), [("tour-wide", 5), ("width-linear", 5), ("depth-linear", 6), ("film-ratings", 2)]
)
def test_a_preset_of_the_paper_is_explained_by_the_page_on_its_subject(preset: str, number: int) -> None:
    page = page_of(preset)
    assert page is not None
    assert page.number == number


@pytest.mark.parametrize("preset", shipped())
def test_every_shipped_preset_has_a_page_with_a_formula(preset: str) -> None:
    page = page_of(preset)
    assert page is not None
    assert "formula" in {block.kind for block in page.blocks}


def test_a_preset_of_ones_own_has_no_page() -> None:
    assert page_of("mine") is None


# --- what the pages promise ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tours(tmp_path_factory: pytest.TempPathFactory) -> Tours:
    """The run of a page's preset, once for all tests."""
    folder = tmp_path_factory.mktemp("tours")

    @cache
    def ran(preset: str) -> RunDirectory:
        live = LiveRun.start(RunDirectory.create(load(preset), "cpu", folder / preset))
        follow_to_end(live)
        assert live.state == "finished", live.message
        return live.run

    return ran


@pytest.fixture
def ran(tours: Tours) -> Ran:
    """The same, read anew."""

    def read(preset: str) -> LiveRun:
        live = LiveRun(tours(preset))
        live.poll()
        assert all(result.outcome == "finished" for result in live.results)
        return live

    return read


def losses(live: LiveRun, method: str) -> list[float]:
    """Median generalization loss at each sweep point."""
    return [
        median(r.generalization_loss or 0.0 for r in live.results if (r.point, r.method) == (point, method))
        for point in range(len(live.experiment.points))
    ]


@pytest.mark.slow
def test_page_1_the_first_guess_that_fits_is_far_worse_than_gradient_descent(ran: Ran) -> None:
    live = ran("tour-question")
    assert live.guesses[0, "gnc", 0].hits == 1
    assert 70_000 < live.guesses[0, "gnc", 0].draws < 74_000
    assert losses(live, "gd")[0] < 1e-6
    assert losses(live, "gnc") == pytest.approx([0.185], abs=0.0005)
    assert losses(live, "prior") == pytest.approx([0.24], abs=0.005)


@pytest.mark.slow
def test_page_2_depth_1_leaves_the_question_marks_and_depth_3_fills_them_in(ran: Ran) -> None:
    live = ran("tour-ratings")
    assert losses(live, "gd") == pytest.approx([7.4, 0.016], rel=0.03)
    assert live.results[0].training_loss is not None
    assert live.results[0].training_loss < 1e-20
    filled = np.array(live.recovered[1, "gd", 0].recovered)
    asked = [(0, 2), (1, 1), (1, 3), (2, 0), (2, 3)]
    assert [filled[entry] for entry in asked] == pytest.approx([2.97, 1.01, 0.50, 4.72, 1.22], abs=0.0051)


@pytest.mark.slow
def test_page_3_singular_values_rise_one_by_one_from_depth_2_on_as_the_law_says(ran: Ran) -> None:
    live = ran("tour-incremental")
    assert losses(live, "gd") == pytest.approx([0.20, 5e-4, 3e-6], rel=0.15)
    assert live.truth[0, 0][:3] == pytest.approx([7.84, 4.97, 3.71], abs=0.005)
    halves = [
        [curve.steps[np.argmax(curve.singular_values[:, rank] > live.truth[point, 0][rank] / 2)] for rank in range(3)]
        for point, curve in ((point, live.curves[point, 0]) for point in range(3))
    ]
    assert max(halves[0]) - min(halves[0]) <= 20
    assert halves[1:] == [[1120, 1680, 2400], [2800, 3760, 7360]]
    fourth = [live.curves[point, 0].singular_values[:, 3].max() for point in range(3)]
    assert fourth[0] == pytest.approx(2.0, abs=0.05)
    assert fourth[1] < 0.12
    assert fourth[2] < 0.007
    assert all(result.trajectory_error is not None and result.trajectory_error < 0.0135 for result in live.results)


@pytest.mark.slow
def test_page_4_two_hundred_of_four_million_guesses_fit_and_halve_the_priors_loss(ran: Ran) -> None:
    live = ran("tour-guessing")
    assert live.guesses[0, "gnc", 0].draws == 4_000_000
    assert 180 < live.guesses[0, "gnc", 0].hits < 230
    assert losses(live, "gnc") == pytest.approx([0.12], abs=0.005)
    assert losses(live, "prior") == pytest.approx([0.24], abs=0.005)


@pytest.mark.slow
def test_page_5_guess_and_check_falls_to_the_prior_with_the_width_and_gradient_descent_does_not(ran: Ran) -> None:
    live = ran("tour-wide")
    assert losses(live, "gnc") == pytest.approx([0.12, 0.19, 0.22, 0.23], abs=0.006)
    assert losses(live, "prior") == pytest.approx([0.24] * 4, abs=0.006)
    assert max(losses(live, "gd")) < 1e-4


@pytest.mark.slow
def test_page_6_guess_and_check_improves_with_the_depth_and_the_prior_does_not(ran: Ran) -> None:
    live = ran("tour-deep")
    assert losses(live, "gnc") == pytest.approx([0.055, 0.037, 0.029], abs=0.0015)
    assert losses(live, "prior") == pytest.approx([0.077] * 3, abs=0.001)
    assert max(losses(live, "gd")) < 1e-4


@pytest.mark.slow
def test_page_7_at_width_40_a_better_fit_does_not_bring_guess_and_check_nearer(ran: Ran) -> None:
    live = ran("tour-open")
    assert losses(live, "gnc") == pytest.approx([0.21] * 4, abs=0.006)
    last = next(r for r in live.results if (r.point, r.method) == (3, "gnc"))
    assert last.guesses is not None
    assert last.guesses.log10_acceptance.value == pytest.approx(-27, abs=0.5)


# --- the screen ------------------------------------------------------------------------------------------------------


async def opened(pilot: Pilot[None]) -> TourScreen:
    await pilot.press("5")
    await until(pilot, lambda: isinstance(pilot.app.screen, TourScreen) and pilot.app.screen.live, "the first page")
    screen = pilot.app.screen
    assert isinstance(screen, TourScreen)
    return screen


@asynccontextmanager
async def tour(size: tuple[int, int]) -> AsyncIterator[tuple[Pilot[None], TourScreen]]:
    """On its first page; what is at work in the end is stopped."""
    app = Explorer(load("quick-start"), "cpu")
    async with app.run_test(size=size) as pilot:
        yield pilot, await opened(pilot)
        await app.action_quit()


@pytest.fixture
def _finished(tours: Tours, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is started is over at once."""
    runs = {page.preset: tours(page.preset) for page in pages()}

    def over(run: RunDirectory, _: Spare | None = None) -> LiveRun:
        live = LiveRun(runs.get(run.experiment.name, run))
        live.poll()
        return live

    monkeypatch.setattr(LiveRun, "start", staticmethod(over))
    monkeypatch.setattr(Session, "keep_spare", lambda _: None)


@pytest.mark.slow
@pytest.mark.usefixtures("_finished")
async def test_every_page_is_turned_to_and_its_preset_starts() -> None:
    async with tour((80, 24)) as (pilot, screen):
        for page in pages():
            if page.number > 1:
                await pilot.press("n" if page.number % 2 else "right")
            await until(pilot, lambda page=page: screen.live is not None and screen.page is page, page.preset)
            assert screen.live is not None
            assert screen.live.experiment.name == page.preset
            await until(pilot, lambda page=page: f"{page.preset} · finished" in text_on(screen.lab), "its run")
            await until(pilot, lambda page=page: f"{page.number}/7 · {page.title}" in text_on(screen.lab), page.title)
            assert not screen.query_one("#beside").display
            await pilot.press("tab")
            await until(pilot, lambda: screen.query_one("#beside").display, "the panes")
            assert not screen.query_one("#page").display
            await pilot.press("tab")
        await pilot.press("n")
        assert screen.number == 7
        await pilot.press("p")
        assert screen.number == 6
        await pilot.press("home")
        assert screen.number == 1


@pytest.mark.slow
@pytest.mark.usefixtures("_finished")
async def test_the_place_in_a_page_is_kept_over_pages_and_screens() -> None:
    async with tour((80, 24)) as (pilot, screen):
        scroll = screen.query_one("#page")
        await pilot.press("j", "j", "j")
        await until(pilot, lambda: scroll.scroll_y == 3, "three lines down")
        await pilot.press("n")
        await until(pilot, lambda: scroll.scroll_y == 0, "the top of the next page")
        await pilot.press("p")
        await until(pilot, lambda: scroll.scroll_y == 3, "the old place")
        await pilot.press("1")
        await until(pilot, lambda: screen.app.screen is not screen, "Explore")
        await pilot.press("5")
        await until(pilot, lambda: screen.app.screen is screen, "the tour")
        assert (screen.number, scroll.scroll_y) == (1, 3)


@pytest.mark.slow
@pytest.mark.usefixtures("_finished")
async def test_every_other_key_turns_scrolls_or_chooses_too() -> None:
    async with tour((80, 24)) as (pilot, screen):
        scroll, last = screen.query_one("#page"), len(pages())
        for keys, number in ((["l", "l"], 3), (["h"], 2), (["left"], 1), (["end"], last)):
            await pilot.press(*keys)
            assert screen.number == number
        await pilot.press("home")
        await until(pilot, lambda: screen.live is not None and scroll.max_scroll_y > 20, "the first page")
        page = scroll.size.height - 2
        for key, place in (("down", 1), ("j", 2), ("up", 1), ("pagedown", page + 1), ("pageup", 1), ("k", 0)):
            await pilot.press(key)
            await until(pilot, lambda place=place: scroll.scroll_y == place, key)
        await pilot.press("space")
        await until(pilot, lambda: scroll.scroll_y == page, "the next screenful")

        await pilot.press("n", "n")
        await until(pilot, lambda: screen.live is not None and "tour-incremental" in text_on(screen.lab), "its run")
        assert "· depth 3" in text_on(screen.lab)
        for key, label in (("right_square_bracket", "depth 1"), ("left_square_bracket", "depth 3"), ("g", "depth 3")):
            await pilot.press(key)
            await until(pilot, lambda label=label: f"· {label}" in text_on(screen.lab), label)
        assert screen._point is None
        values = screen._panes[0]
        assert not values.log_y
        await pilot.press("y")
        assert values.log_y


@pytest.mark.slow
@pytest.mark.usefixtures("_finished")
async def test_the_tour_is_resized_at_any_moment() -> None:
    async with tour((160, 45)) as (pilot, screen):
        for number, extent in enumerate(EXTENTS):
            await pilot.press(("n", "tab", "n", "p", "j", "space", "tab", "end", "home", "y")[number])
            await pilot.resize_terminal(*extent)
            await pilot.pause()
            assert screen.size == extent
            assert [row.cell_length for row in rows_of(screen.lab)] == [extent[0]] * extent[1]
        assert "1/7" in text_on(screen.lab)


@pytest.mark.slow
@on_workers
async def test_points_are_chosen_the_run_is_repeated_and_handed_over_to_explore() -> None:
    async with tour((160, 45)) as (pilot, screen):
        await pilot.press("n")
        await until(pilot, lambda: screen.live is not None and screen.live.state == "finished", "the end of the run")
        await until(pilot, lambda: "2.97" in text_on(screen.lab), "the recovered ratings")
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "· depth 1" in text_on(screen.lab), "depth 1")
        assert screen.live is not None
        first = screen.live.run.name
        await pilot.press("r")
        await until(pilot, lambda: screen.live is not None and screen.live.run.name != first, "another run")
        await until(pilot, lambda: not screen.lab.session.at_work_here, "the end of what Explore shows")
        await pilot.press("enter")
        await until(pilot, lambda: screen.app.screen is not screen and screen.lab.lab_screen is not None, "Explore")
        form = screen.app.screen.form  # type: ignore[attr-defined]
        await until(pilot, lambda: form.check() is not None and form.check().name == "tour-ratings", "its form")


@pytest.mark.slow
@on_workers
async def test_a_run_of_the_users_own_goes_on_beside_the_tours() -> None:
    own = parse("methods = ['gd']\n[gd]\nsteps = 1_000_000_000\n", "own")
    app = Explorer(own, "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: app.session.live and app.session.live.state == "running", "the run")
        screen, live = await opened(pilot), app.session.live
        await pilot.press("n")
        await until(pilot, lambda: screen.live and screen.live.state in ("running", "finished"), "the page's run")
        await pilot.press("1")
        await until(pilot, lambda: isinstance(app.screen, ExploreScreen), "Explore")
        assert app.session.live is live
        assert live is not None
        assert live.state == "running"
        assert app.explore.form.check() == own
        await app.action_quit()


@pytest.mark.slow
@pytest.mark.usefixtures("_finished")
async def test_explore_shows_what_it_did_before_the_tour_until_enter_hands_the_tours_run_over() -> None:
    own = parse("methods = ['gd']\n[gd]\nsteps = 200\nlog_every = 10\n", "own")
    app = Explorer(own, "cpu")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.session.live is not None, "the run")
        await app.session.watch(computed(RunDirectory.create(own, "cpu")))
        await pilot.press("home")
        live, look = app.session.live, app.explore.look
        assert look.cursor == 0
        screen = await opened(pilot)
        await pilot.press("r")
        await until(pilot, lambda: screen.live is not None, "the tour's run")
        await pilot.press("1")
        await until(pilot, lambda: isinstance(app.screen, ExploreScreen), "Explore")
        assert (app.session.live, app.explore.look, app.explore.form.check()) == (live, look, own)
        await pilot.press("5")
        await until(pilot, lambda: app.screen is screen, "the tour")
        tours = screen.live
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ExploreScreen), "Explore")
        assert app.session.live is tours
        assert app.experiment.name == pages()[0].preset
        await pilot.press("5", "enter")
        await until(pilot, lambda: isinstance(app.screen, ExploreScreen), "Explore, which has that run already")
        assert app.session.live is tours


@pytest.mark.slow
@on_workers
async def test_enter_asks_before_it_stops_a_run_of_the_users_own() -> None:
    own = parse("methods = ['gd']\n[gd]\nsteps = 1_000_000_000\n", "own")
    app = Explorer(own, "cpu")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.session.live and app.session.live.state == "running", "the run")
        await pilot.press("5")
        await until(pilot, lambda: isinstance(app.screen, TourScreen), "the tour")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, TourScreen), "the tour again")
        assert app.session.at_work_here
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, ExploreScreen), "Explore")
        await until(pilot, lambda: app.experiment.name == "tour-question", "the page's preset")
        await app.action_quit()


@pytest.mark.slow
async def test_a_page_shows_its_finished_run_at_once_and_r_runs_it_again(
    tours: Tours, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = runs_directory() / "of-last-week"
    shutil.copytree(tours("tour-question").path, kept)
    no_worker(monkeypatch)
    app = Explorer(load("quick-start"), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        screen = await opened(pilot)
        assert screen.live is not None
        assert screen.live.run.path == kept
        await pilot.press("r")
        await until(pilot, lambda: app.error == "no worker in this test", "another start")


async def test_a_run_begun_in_passing_is_removed_when_it_is_left_without_a_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hopeless(run: RunDirectory, _: Spare | None = None) -> LiveRun:
        return LiveRun(run, Popen([sys.executable, "-c", ""]))

    monkeypatch.setattr(LiveRun, "start", staticmethod(hopeless))
    session, experiment = Session("cpu"), load("tour-question")
    there = []
    for in_passing in (True, False, True):
        await session.start(experiment, in_passing=in_passing)
        assert session.live is not None
        there.append(session.live.run.path)
    assert [path.exists() for path in there] == [False, True, True]
    await session.close()
    assert not there[-1].exists()


async def test_a_run_begun_in_passing_stays_with_its_results_and_when_it_ends_late_without(
    tours: Tours, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[LiveRun] = []

    def slow(run: RunDirectory, _: Spare | None = None) -> LiveRun:
        begun.append(LiveRun(run, Popen([sys.executable, "-c", "input()"], stdin=PIPE)))
        return begun[-1]

    monkeypatch.setattr(LiveRun, "start", staticmethod(slow))
    monkeypatch.setattr(session_module, "STOP_SECONDS", 0.05)
    session = Session("cpu")
    for _ in range(3):
        await session.start(load("tour-question"), in_passing=True)
    begun[1].results.append(trained(0, 0, loss=0.1))
    assert all(live.run.path.exists() for live in begun)
    for live in begun:
        assert live.process is not None
        live.process.communicate(b"\n")
    session.poll()
    assert [live.run.path.exists() for live in begun] == [False, True, True]


# --- mftui explain ---------------------------------------------------------------------------------------------------


def test_without_a_preset_all_that_can_be_explained_is_listed(mftui: Command) -> None:
    ended = mftui("explain")
    assert ended.status == 0
    lines = ended.stdout.splitlines()
    assert [line.split()[0] for line in lines[: len(shipped())]] == shipped()
    assert any(line.startswith("tour-wide ") and " page 5 " in line for line in lines)


@pytest.mark.parametrize("page", PAGES)
def test_a_preset_with_a_page_is_explained_by_its_about_and_that_page(page: Page, mftui: Command) -> None:
    said = " ".join(mftui("explain", page.preset).stdout.split())
    assert " ".join(load(page.preset).about.split()) in said
    for block in page.blocks:
        text = EMPHASIS.sub(r"\1", block.text)
        assert " ".join((text.upper() if block.kind == "heading" else text).split()) in said


def test_the_numbers_of_another_preset_are_said_to_be_so(mftui: Command) -> None:
    assert "(the numbers in it are those of tour-wide)" in mftui("explain", "width-linear").stdout
    assert "(the numbers in it" not in mftui("explain", "tour-wide").stdout


def test_a_preset_without_a_page_is_explained_by_its_about_and_settings(mftui: Command, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'title = "Mine"\nabout = "Look."\n[sweep]\nover = "model.width"\nvalues = [3, 6]\n[gd]\nsteps = 70\n'
    )
    said = mftui("explain", file).stdout
    assert said.startswith("Mine\nLook.\n")
    assert "sweep: model.width = 3, 6" in said
    assert "gd.steps = 70: number of steps" in said
    assert "Page" not in said


def test_an_unknown_preset_is_refused_with_a_suggestion(mftui: Command) -> None:
    ended = mftui("explain", "tour-wid")
    assert ended.status == 2
    assert "did you mean 'tour-wide'?" in ended.stderr
