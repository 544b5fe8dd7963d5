"""What the panes draw, on plain data."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from engine.events import diagnostic_names
from engine.spec.settings import PointSettings
from mftui.canvas import Heatmap, Plot, Steps, draw, draw_heatmap
from mftui.live import MOST_POINTS, Curve, Entries, Guesses, Progress
from mftui.views import canvas_view
from mftui.views.alignment import Alignment
from mftui.views.guesses import GuessesPane
from mftui.views.losses import Losses
from mftui.views.matrices import at_cursor, target
from mftui.views.pane import Pane
from mftui.views.ranks import Ranks
from mftui.views.roles import color
from mftui.views.singular_values import SingularValues, _theory
from mftui.views.trial import Look, TrialView, smooth, trial_view
from tests.runs import make_run

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
PLOTS: list[type[Pane]] = [SingularValues, Losses, Ranks, Alignment]


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


@pytest.mark.parametrize(
    ("gd", "error", "said"),
    [
        ({"predict_from": 0}, 0.0123, "┈ theory off by 1.2 %"),
        ({"predict_from": 0}, None, "┈ theory"),
        ({"predict_from": -1}, None, "theory: set gd.predict_from to the step to predict from"),
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
    plot = GuessesPane().plot(trial([[0, 1e-9, 1e-20, 1.0, 0.5]], guesses=guesses))
    under_prior, under_gnc = plot.series
    assert isinstance(under_prior, Steps)
    assert isinstance(under_gnc, Steps)
    assert np.array_equal(under_prior.edges, under_gnc.edges)
    assert sum(under_prior.heights) == pytest.approx(100) == sum(under_gnc.heights)
    assert plot.rules[0].at == plot.x.low
    assert plot.labels[0].text == " ◂ GD"
    assert plot.rules[1].at == pytest.approx(np.mean(prior))


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
    canvas_view.glyphs.cache_clear()
    monkeypatch.setattr(canvas_view.locale, "getpreferredencoding", lambda _: encoding)
    assert canvas_view.glyphs().value == expected
    canvas_view.glyphs.cache_clear()


@pytest.mark.parametrize("dark", [False, True])
def test_every_role_has_a_colour_that_stands_off_its_ground(dark: bool) -> None:
    ground = 0x12 if dark else 0xF5
    names = ["gd", "prior", "gnc", "nuclear", "training", "generalization", "bad", "good", "label"]
    for role in [*names, *(f"series-{index}" for index in range(6))]:
        red, green, blue = (int(color(role, dark)[start : start + 2], 16) for start in (1, 3, 5))
        luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        assert abs(luminance - ground) > 55, role
    for kind, count in (("diverging", 15), ("sequential", 16)):
        assert len({color(f"{kind}-{level}", dark) for level in range(count)}) == count
    with pytest.raises(KeyError):
        color("nobody", dark)
