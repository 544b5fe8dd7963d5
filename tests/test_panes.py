"""What the panes draw, on plain data."""

from __future__ import annotations

import locale
import math
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich._palettes import STANDARD_PALETTE
from rich.cells import cell_len
from rich.color import Color, ColorSystem
from textual.app import App, ComposeResult
from textual.theme import BUILTIN_THEMES

from engine.events import diagnostic_names
from engine.runs.store import Writer
from engine.spec.settings import PointSettings
from mftui.canvas import Glyphs, Heatmap, Plot, Steps, draw, draw_heatmap
from mftui.encoding import in_ascii, knows_unicode
from mftui.live import MOST_POINTS, Curve, Entries, Guesses, LiveRun, Progress
from mftui.screens.explore import LAYOUTS
from mftui.themes import SIXTEEN_DARK, SIXTEEN_LIGHT
from mftui.views import canvas_view, roles
from mftui.views import matrices as matrices_module
from mftui.views.alignment import Alignment
from mftui.views.canvas_view import CanvasView
from mftui.views.guesses import GuessesPane
from mftui.views.losses import Losses
from mftui.views.matrices import Matrices, at_cursor, target
from mftui.views.pane import Pane
from mftui.views.ranks import Ranks
from mftui.views.roles import color
from mftui.views.singular_values import SingularValues, _theory
from mftui.views.status import progress_text
from mftui.views.trial import Look, TrialView, running_trial, smooth, trial_view
from tests.runs import make_run
from tests.sweeps import no_hits, trained

ALIGNED = 1


def trial(
    curve: list[list[float]] | None = None,
    truth: tuple[float, ...] = (1.0, 0.0),
    guesses: dict[str, Guesses] | None = None,
    **gd: object,
) -> TrialView:
    """`gd`: settings of gradient descent."""
    settings = PointSettings()
    table = np.array(curve) if curve else np.empty((0, 5))
    names = diagnostic_names(settings.model.depth, ALIGNED)
    return TrialView(
        key=("run", 0, 0),
        settings=settings.model_copy(update={"gd": settings.gd.model_copy(update=gd)}),
        truth=truth,
        entries=None,
        curve=table,
        diagnostics=np.column_stack([table[:, 0], np.full((len(table), len(names)), 0.5)]),
        diagnostic_columns=names,
        matrices=np.empty((0, 1)),
        predicted=np.empty((0, 1)),
        prediction_error=None,
        guesses=guesses or {},  # type: ignore[arg-type]
        progress={"gnc": Progress(point=0, seed=0, done=10, fraction=0.1, rate=5.0)},
        results={},
    )


CURVE = [[0, 1.0, 1.0, 0.1, 0.01], [50, 0.5, 1.0, 0.9, 0.1], [100, 0.1, 0.2, 1.0, 0.2]]
PLOTS = [kind for kind in LAYOUTS["all"] if hasattr(kind, "plot")]


@pytest.mark.parametrize("kind", PLOTS)
@pytest.mark.parametrize("log_y", [False, True])
@pytest.mark.parametrize(
    "curve", [None, CURVE[:1], CURVE, [[0, math.nan, math.inf, math.nan, 0.0]], [[0, 0.0, 0.0, 0.0, 0.0]]]
)
def test_every_pane_draws_whatever_is_known(kind: type[Pane], log_y: bool, curve: list[list[float]] | None) -> None:
    pane = kind()
    pane.log_y = log_y
    for look in (Look(), Look(cursor=60.0, log_x=True, smoothed=True, theory=True, colored=False), Look(window=(0, 9))):
        frame = draw(pane.plot(trial(curve), look), 60, 15)  # type: ignore[attr-defined]
        assert (frame.width, frame.height) == (60, 15)


def test_the_cursor_reads_every_series_at_the_nearest_log_point() -> None:
    look = Look(cursor=60.0)
    assert look.row(trial(CURVE).curve[:, 0]) == 1
    frame = draw(Losses().plot(trial(CURVE), look), 60, 15)
    assert "training       0.5" in frame.text
    assert Look().row(trial(CURVE).curve[:, 0]) == -1


def test_the_predicted_course_is_dotted_in_the_measured_ones_colours_and_only_when_asked() -> None:
    shown = replace(trial(CURVE, predict_from=0), predicted=np.array([[0, 0.1, 0.0], [100, 1.0, 0.2]]))
    plain, asked = (SingularValues().plot(shown, Look(theory=theory)) for theory in (False, True))
    assert [line.stroke for line in plain.series] == ["solid"] * 2  # type: ignore[union-attr]
    assert [line.stroke for line in asked.series] == ["solid"] * 2 + ["dotted"] * 2  # type: ignore[union-attr]
    assert [line.style for line in asked.series[:2]] == [line.style for line in asked.series[2:]]
    assert [rule.at for rule in plain.rules] == [1.0]


def test_a_pinned_trial_is_dotted_under_the_other_and_within_the_axes() -> None:
    pinned = trial([[0, 9.0, 9.0, 0.2, 0.1], [100, 5.0, 7.0, 30.0, 0.2]])
    look = Look(pinned=pinned)
    for pane in (SingularValues(), Losses()):
        plot = pane.plot(trial(CURVE), look)
        assert [line.stroke for line in plot.series] == ["dotted"] * 2 + ["solid"] * 2  # type: ignore[union-attr]
        assert [line.name.endswith(" pinned") for line in plot.series] == [True, True, False, False]
        assert plot.y.high >= max(float(np.max(line.y)) for line in plot.series)  # type: ignore[union-attr]
        assert len(pane.plot(trial(CURVE), Look()).series) == 2


@pytest.mark.parametrize(
    ("gd", "error", "said"),
    [
        ({"predict_from": 0}, 0.0123, "┈ theory off by 1.2 %"),
        ({"predict_from": 0}, None, "┈ theory"),
        ({"predict_from": -1}, None, "theory: needs gd.predict_from"),
        ({"optimizer": "adam"}, None, "theory: linear σ, plain gradient descent only"),
    ],
)
def test_the_overlay_says_how_far_off_theory_is_or_why_there_is_none(
    gd: dict[str, object], error: float | None, said: str
) -> None:
    shown = replace(trial(CURVE, **gd), prediction_error=error)
    assert _theory(shown, Look(theory=True)) == f" · {said}"
    assert _theory(shown, Look()) == ""


def test_histograms_share_their_bins_and_what_is_off_the_scale_is_marked_at_the_edge() -> None:
    generator = np.random.default_rng(0)
    prior, gnc = generator.uniform(0.1, 1, 500).tolist(), [*generator.uniform(0.01, 1, 50).tolist(), np.nan, 0.0]
    guesses = {
        "prior": Guesses(draws=500, hits=500, generalization_loss=prior, log_weight=[0.0] * 500),
        "gnc": Guesses(draws=500, hits=50, generalization_loss=gnc, log_weight=[-1e4] * 52),
    }
    plot = GuessesPane().plot(trial([[0, 1e-9, 1e-20, 1.0, 0.5]], guesses=guesses), Look())
    under_prior, under_gnc = plot.series
    assert isinstance(under_prior, Steps)
    assert isinstance(under_gnc, Steps)
    assert np.array_equal(under_prior.edges, under_gnc.edges)
    assert sum(under_prior.heights) == pytest.approx(100) == sum(under_gnc.heights)
    assert plot.rules[0].at == plot.x.low
    assert plot.labels[0].text == " ◂ GD"
    assert plot.rules[1].at == pytest.approx(np.mean(prior))


def test_the_trial_followed_is_guess_and_checks_as_long_as_it_has_trials_to_come(tmp_path: Path) -> None:
    live = LiveRun(make_run(tmp_path / "run", "seeds=2", 'methods=["gd", "gnc"]', "model.width=[3, 6]"))
    assert running_trial(live) == (0, 0)
    live.progress = {
        "gd": Progress(point=1, seed=1, done=100, fraction=1.0, rate=0.0),
        "gnc": Progress(point=0, seed=1, done=10, fraction=0.1, rate=0.0),
    }
    live.results = [trained(point, seed, 1e-3) for point in (0, 1) for seed in (0, 1)]
    assert running_trial(live) == (0, 1)
    live.results += [no_hits(point, seed) for point in (0, 1) for seed in (0, 1)]
    live.results, live.progress["gd"] = live.results[4:], replace(live.progress["gd"], seed=0)
    assert running_trial(live) == (1, 0)  # gradient descent alone has trials to come


def test_a_method_is_ticked_off_only_when_no_trial_of_it_follows(tmp_path: Path) -> None:
    live = LiveRun(make_run(tmp_path / "run", "seeds=2", 'methods=["gnc"]'))
    live.progress = {"gnc": Progress(point=0, seed=0, done=100, fraction=1.0, rate=0.0)}
    *first, last = [(point, seed) for point in range(len(live.experiment.points)) for seed in (0, 1)]
    live.results = [no_hits(*trial) for trial in first]
    assert progress_text(live.progress, live.done, True).plain == "G&C 100%"
    live.results.append(no_hits(*last))
    assert progress_text(live.progress, live.done, True).plain == "G&C ✓"


def test_the_histogram_follows_the_cursor_as_far_as_the_steps_went() -> None:
    guesses = Guesses(draws=400, hits=4, generalization_loss=[0.1, 0.2, 0.3, 0.4], log_weight=[0.0] * 4)
    guesses.course.extend(np.array([[100, 1, 0.5], [200, 2, 0.4], [300, 2, 0.3], [400, 4, 0.2]]))
    shown = trial(CURVE, guesses={"gnc": guesses})
    then = shown.at(Look(cursor=50.0))
    assert (then.guesses["gnc"].draws, then.guesses["gnc"].best_training_loss) == (200, 0.4)
    assert then.guesses["gnc"].generalization_loss == [0.1, 0.2]
    assert len(then.curve) == 2
    rules = GuessesPane().plot(shown, Look(cursor=50.0)).rules
    assert [rule.at for rule in rules] == [1.0, pytest.approx(0.15)], "GD's loss, and the mean"
    assert shown.at(Look(cursor=0.0)).guesses["gnc"].hits == 0
    assert shown.at(Look(cursor=100.0)).guesses["gnc"].generalization_loss == guesses.generalization_loss
    assert shown.at(Look()) is shown


def test_of_a_run_so_fast_that_it_told_of_its_draws_once_the_histogram_follows_too() -> None:
    guesses = Guesses(draws=400, hits=4, generalization_loss=[0.1, 0.2, 0.3, 0.4], log_weight=[0.0] * 4)
    guesses.course.extend(np.array([[400, 4, 0.2]]))
    shares = [guesses.at(share) for share in (0.0, 0.25, 0.5, 0.99, 1.0)]
    assert [then.draws for then in shares] == [0, 100, 200, 396, 400]
    assert [then.hits for then in shares] == [0, 1, 2, 4, 4] == [len(then.generalization_loss) for then in shares]
    assert shares[-2].best_training_loss == math.inf


def test_what_auto_drew_before_it_chose_a_sampler_is_no_part_of_the_time_that_is_gone_through() -> None:
    guesses = Guesses(draws=1_100, hits=4, stage=1, generalization_loss=[0.1, 0.2, 0.3, 0.4], log_weight=[0.0] * 4)
    guesses.course.extend(np.array([[1_000, 0, math.inf], [1_100, 4, 0.2]]))
    then = [guesses.at(share) for share in (0.0, 0.25, 0.5, 1.0)]
    assert [each.draws for each in then] == [1_000, 1_025, 1_050, 1_100]
    assert [len(each.generalization_loss) for each in then] == [0, 1, 2, 4] == [each.hits for each in then]


def test_a_run_without_gradient_descent_is_gone_through_by_its_draws() -> None:
    guesses = Guesses(draws=400, hits=4, generalization_loss=[0.1, 0.2, 0.3, 0.4], log_weight=[0.0] * 4)
    guesses.course.extend(np.array([[400, 4, 0.2]]))
    shown = replace(trial(guesses={"prior": guesses}), methods=("prior",))
    assert (len(shown.moments), shown.moments[-1]) == (101, 400)
    look = Look(cursor=200.0)
    assert shown.at(look).guesses["prior"].generalization_loss == [0.1, 0.2]
    assert shown.moment(look) == "draw 200"
    assert len(trial().moments) == 0


def test_draws_that_a_later_sampler_dropped_are_not_in_the_histogram_of_their_time() -> None:
    guesses = Guesses(draws=300, hits=1, stage=1, generalization_loss=[0.5], log_weight=[0.0])
    guesses.course.extend(np.array([[100, 7, 0.5], [200, 0, 0.4], [300, 1, 0.3]]))
    assert [len(guesses.at(share).generalization_loss) for share in (0.0, 0.4, 0.7, 1.0)] == [0, 0, 0, 1]
    assert [guesses.at(share).hits for share in (0.0, 0.4, 0.7, 1.0)] == [0, 7, 0, 1]


def test_matrices_follow_the_cursor_and_ratings_come_in_their_own_units() -> None:
    settings = PointSettings()
    problem = settings.problem.model_copy(update={"rows": 2, "columns": 2})
    matrices = np.array([[0, 0.0, 0.0, 0.0, 0.0], [50, 1.0, 2.0, 3.0, 4.0]])
    known = np.array([[5.0, np.nan], [1.0, np.nan]])
    entries = Entries(known, ~np.isnan(known), complete=False, offset=3.0)
    shown = replace(
        trial(CURVE), settings=settings.model_copy(update={"problem": problem}), matrices=matrices, entries=entries
    )
    step, matrix = at_cursor(shown, Look(cursor=10.0)) or (None, None)
    assert step == 0
    assert matrix is not None
    assert matrix.tolist() == [[3.0, 3.0], [3.0, 3.0]]
    step, matrix = at_cursor(shown, Look()) or (None, None)
    assert (step, matrix.tolist()) == (50, [[4.0, 5.0], [6.0, 7.0]])  # type: ignore[union-attr]
    wanted, observed, known_all = target(shown)
    assert observed is not None
    assert (observed.tolist(), known_all) == ([[True, False], [True, False]], False)
    assert "?" in draw_heatmap(Heatmap(wanted, -5, 5), 20, 6).text
    assert at_cursor(trial(CURVE), Look()) is None


async def test_a_pane_without_numbers_is_empty_and_says_why() -> None:
    panes = [SingularValues(), Losses(), Ranks(), Alignment(), Matrices()]

    class Bench(App[None]):
        def compose(self) -> ComposeResult:
            yield from panes

    settings = PointSettings()
    problem = settings.problem.model_copy(update={"rows": 2, "columns": 2})
    shown = replace(
        trial(CURVE),
        settings=settings.model_copy(update={"problem": problem}),
        matrices=np.ones((1, 5)),
        entries=Entries(np.ones((2, 2)), np.eye(2, dtype=np.bool_), complete=True),
    )
    async with Bench().run_test(size=(80, 100)) as pilot:
        for pane in panes:
            pane.show(shown, Look())
        await pilot.pause()
        assert "step 1" in str(panes[-1].border_subtitle)
        for pane in panes:
            pane.show(replace(shown, methods=("prior",)), Look())
            assert str(pane.note.content) == "no gradient descent in this run"
            assert pane.border_subtitle == ""
            assert all(view.frame is None for view in pane.query(CanvasView))
        panes[-1].show(shown, Look())
        panes[-1].show(replace(shown, matrices=np.empty((0, 1))), Look())
        assert str(panes[-1].note.content) == "nothing yet"
        assert all(view.frame is None for view in panes[-1].query(CanvasView))
        panes[0].show(shown, Look())
        assert str(panes[0].note.content) == ""


@pytest.mark.parametrize(
    ("entries", "size", "colored", "drawn_with", "told"),
    [
        (20, (120, 40), True, Glyphs.BRAILLE, "on W*"),
        (20, (58, 20), True, Glyphs.BRAILLE, "dots"),
        (20, (58, 20), False, Glyphs.BRAILLE, "dots"),
        (20, (58, 24), False, Glyphs.ASCII, "dots"),
        (20, (58, 20), False, Glyphs.ASCII, "shares"),
        (100, (160, 45), True, Glyphs.BRAILLE, "dots"),
        (100, (80, 24), True, Glyphs.BRAILLE, "shares"),
    ],
)
async def test_where_entries_have_no_cell_each_the_observed_ones_are_dots_beside(
    entries: int, size: tuple[int, int], colored: bool, drawn_with: Glyphs, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (canvas_view, matrices_module):
        monkeypatch.setattr(module, "glyphs", lambda: drawn_with)
    monkeypatch.setattr(CanvasView, "has_colors", property(lambda _: colored))
    pane = Matrices()

    class Bench(App[None]):
        def compose(self) -> ComposeResult:
            yield pane

    settings = PointSettings()
    problem = settings.problem.model_copy(update={"rows": entries, "columns": entries})
    shown = replace(
        trial(CURVE),
        settings=settings.model_copy(update={"problem": problem}),
        matrices=np.ones((1, entries**2 + 1)),
        entries=Entries(np.ones((entries, entries)), np.eye(entries, dtype=np.bool_), complete=True),
    )
    async with Bench().run_test(size=size) as pilot:
        pane.show(shown, Look())
        await pilot.pause()
        await pilot.pause()
        first, *_, last = (view.frame.text if view.frame else "" for view in pane._views)
        lit = sum((ord(each) - 0x2800).bit_count() for each in last if ord(each) >= 0x2800) + last.count("o")
        assert pane._boxes[3].display == (told != "on W*")
        assert sum(map(first.count, "·o")) == (entries if told == "on W*" else 0)
        assert lit == (entries if told == "dots" else 0)
        assert bool(last) == (told != "on W*")
        if last:
            assert str(pane._titles[3].content) == f"{1 / entries:.0%} observed"


def test_running_medians_leave_out_a_single_jump_and_keep_a_level() -> None:
    values = np.ones(100)
    values[50] = 1e9
    assert np.array_equal(smooth(values), np.ones(100))
    assert np.array_equal(smooth(values[:5]), values[:5])


@pytest.mark.parametrize("together", [1, 7, 1000, 50_000])
def test_a_curve_keeps_evenly_spaced_points_and_the_last_however_they_come(together: int) -> None:
    rows = np.column_stack([np.arange(50_001.0), np.arange(50_001.0) ** 2])
    curve = Curve()
    for start in range(0, len(rows), together):
        curve.extend(rows[start : start + together])
    steps = curve.table[:, 0]
    assert MOST_POINTS <= len(steps) <= 2 * MOST_POINTS + 1
    assert steps[0] == 0
    assert steps[-1] == 50_000
    assert len(np.unique(np.diff(steps)[:-1])) == 1
    assert np.array_equal(curve.table[:, 1], steps**2)


def test_a_curve_whose_run_began_anew_has_each_step_once() -> None:
    curve = Curve()
    curve.extend(np.array([[0.0, 1], [10, 2], [20, 3]]))
    curve.extend(np.array([[10.0, 5], [20, 6], [30, 7]]))
    assert curve.table.tolist() == [[0, 1], [10, 5], [20, 6], [30, 7]]


def test_what_a_curve_told_stays_as_it_was_when_more_comes() -> None:
    curve = Curve()
    curve.extend(np.column_stack([np.arange(3 * MOST_POINTS), np.ones(3 * MOST_POINTS)]))
    told, then = curve.table, curve.table.copy()
    curve.extend(np.column_stack([np.arange(3 * MOST_POINTS, 9 * MOST_POINTS), np.zeros(6 * MOST_POINTS)]))
    assert np.array_equal(told, then)


def test_a_run_takes_the_same_memory_however_long_it_is_followed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "seeds=1", "model.width=[3]")
    live, step, taken = LiveRun(run), 0, list[int]()
    tracemalloc.start()
    with Writer(run.path, run.tables, 0) as writer:
        for _ in range(32):  # curves come to be full, and are thinned, in the 4th, the 8th and the 16th
            for table in ("gd", "diagnostics", "matrices"):
                rows = np.zeros((MOST_POINTS // 2 + 1, len(run.tables[table])))
                rows[:, 2] = step + np.arange(len(rows))
                writer.rows(table, rows)
            step += len(rows)
            assert live.poll()
            taken.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert live.curves[0, 0].steps[-1] == step - 1
    settled = taken[4:]
    assert max(settled) - min(settled) < 100_000  # bytes; half of the curves' rows are 500,000


def test_a_run_of_which_nothing_is_stored_yet_can_be_looked_at(tmp_path: object) -> None:
    from pathlib import Path

    from mftui.live import LiveRun

    assert isinstance(tmp_path, Path)
    live = LiveRun(make_run(tmp_path / "run"))
    shown = trial_view(live, 0, 0)
    assert len(shown.curve) == 0
    assert isinstance(SingularValues().plot(shown, Look()), Plot)


@pytest.mark.parametrize(
    ("encoding", "expected"), [("UTF-8", "braille"), ("utf8", "braille"), ("ANSI_X3.4-1968", "ascii")]
)
def test_a_locale_without_utf_8_gets_ascii(encoding: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locale, "getencoding", lambda: encoding)
    for cached in (canvas_view.glyphs, knows_unicode):
        cached.cache_clear()
    assert canvas_view.glyphs().value == expected
    for cached in (canvas_view.glyphs, knows_unicode):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("╭─┬╴│╯ ━ ▁█", "+-+-|+ - ##"),
        ("‖W‖ ≤ 10⁻⁴ · ⟨u, u*⟩ · Wᵀ", "|W| < 10-4 . <u, u*> . WT"),
        ("ε σ Σ η → ✓ ● …", "e s S e > v * ."),
        ("naïve k̂ 中文 ⠿", "naive k ???? ?"),
        ("\x1b[31mplain", "\x1b[31mplain"),
    ],
)
def test_what_a_terminal_of_ascii_is_sent_takes_the_same_cells(text: str, plain: str) -> None:
    assert in_ascii(text) == plain
    assert cell_len(plain) == cell_len(text)


def test_on_sixteen_colours_every_role_is_one_of_them_and_methods_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "few_colors", lambda: True)
    for dark in (False, True):
        told_apart = [*("gd", "prior", "gnc", "nuclear"), "label", "mark"]
        series = [f"series-{index}" for index in range(6)]
        for group in (told_apart, series):
            sent = [Color.parse(color(role, dark)).downgrade(ColorSystem.STANDARD).number for role in group]
            assert len(set(sent)) == len(group)
        for role in roles._ON_DARK:
            assert tuple(bytes.fromhex(color(role, dark)[1:])) in STANDARD_PALETTE._colors


def _luminance(text: str) -> float:
    """Relative luminance [WCAG 2]."""
    shares = (value / 255 for value in bytes.fromhex(text[1:]))
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("few", [False, True])
def test_every_role_has_a_colour_that_can_be_read_on_its_grounds(
    dark: bool, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A contrast of 3, as of large letters: what they say is never told by them alone."""
    monkeypatch.setattr(roles, "few_colors", lambda: few)
    theme = (
        (SIXTEEN_DARK if dark else SIXTEEN_LIGHT) if few else BUILTIN_THEMES[f"textual-{'dark' if dark else 'light'}"]
    )
    colors = theme.to_color_system().generate()
    names = ["gd", "prior", "gnc", "nuclear", "training", "generalization", "bad", "good", "label"]
    for role in [*names, *(f"series-{index}" for index in range(6))]:
        for ground in ("background", "panel"):
            low, high = sorted((_luminance(color(role, dark)), _luminance(colors[ground][:7])))
            assert (high + 0.05) / (low + 0.05) >= 3, (role, ground)
    for kind, count in (("diverging", 15), ("sequential", 16)):
        assert len({color(f"{kind}-{level}", dark) for level in range(count)}) == count
    with pytest.raises(KeyError):
        color("nobody", dark)
