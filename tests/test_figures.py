"""Figures: definitions, the runs they take, charts, plots, drawings, files and the command."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.analysis.theorems import measure
from engine.runs.catalog import runs_directory, state
from engine.runs.control import ask
from engine.runs.directory import RunDirectory
from engine.spec import preset
from engine.spec.defects import PresetError
from engine.spec.experiment import Experiment
from mftui.canvas.glyphs import Glyphs
from mftui.export.contents import Contents
from mftui.figures import charts, collect, drawing
from mftui.figures.chart import Chart, Heat, Series, shown
from mftui.figures.charts import charts_of_run, plot_of_run
from mftui.figures.collect import Needed, Wishes
from mftui.figures.data import RunData, quantity_of
from mftui.figures.definition import Definition, Panel, PanelRun, read, shipped_figures
from mftui.figures.files import Made, document, metadata, trials_csv
from mftui.figures.terminal import as_text
from mftui.formatting import format_loss
from mftui.live import LiveRun
from tests.commands import Command, terminal, tiny
from tests.lab import computed, finished_run
from tests.runs import TINY, make_run, wait_until

needs_matplotlib = pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is an optional extra")
ESCAPE = re.compile(r"\x1b\[")


def definition_file(folder: Path, panels: str, head: str = 'title = "A figure"') -> Path:
    tiny(folder)
    path = folder / "figure.toml"
    path.write_text(f"{head}\n{panels}", encoding="utf-8")
    return path


SWEEP = """
[[panels]]
kind = "sweep"
runs = [{preset = "tiny.toml"}]
"""


# --- definitions -----------------------------------------------------------------------------------------------------


def test_a_definition_is_read_with_presets_relative_to_it(tmp_path: Path) -> None:
    figure = read(definition_file(tmp_path, SWEEP))
    assert figure.title == "A figure"
    assert [run.preset for panel in figure.panels for run in panel.runs] == [str(tmp_path / "tiny.toml")]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[[panels]]\nkind = "pie"\nruns = [{preset = "tiny.toml"}]', "panels[0].kind"),
        ('[[panels]]\nkind = "sweep"\nruns = [{preset = "nobody"}]', "panels[0].runs[0].preset"),
        ('[[panels]]\nkind = "sweep"\nruns = []', "panels[0].runs"),
        ('[[panels]]\nkind = "sweep"\nquantity = "beauty"\nruns = [{preset = "tiny.toml"}]', "panels[0].quantity"),
        ('[[panels]]\nkind = "lines"\nruns = [{preset = "tiny.toml"}]', "panels[0].second"),
        ('[[panels]]\nkind = "lines"\nsecond = "scale"\nruns = [{preset = "tiny.toml"}]', "panels[0].runs[0].at"),
        ('[[panels]]\nkind = "sweep"\nc = 2\nruns = [{preset = "tiny.toml"}]', "panels[0].c"),
        ('[[panels]]\nkind = "theorem"\nc = -1\nruns = [{preset = "tiny.toml"}]', "panels[0].c"),
        ('[[panels]]\nkind = "course"\nquantity = "steps"\nruns = [{preset = "tiny.toml"}]', "panels[0].quantity"),
        ('[[panels]]\nkind = "sweep"\nruns = [{preset = "tiny.toml", set = "a=1"}]', "panels[0].runs[0].set"),
        ('[[panels]]\nkind = "sweep"\ncolour = "red"\nruns = [{preset = "tiny.toml"}]', "panels[0].colour"),
        ('[[panels]]\nkind = "sweep"\nruns = [{preset = "tiny.toml", across = true}]', "panels[0].runs"),
        ("panels = 3", "panels"),
    ],
)
def test_a_defect_of_a_definition_is_named_by_file_and_key(text: str, key: str, tmp_path: Path) -> None:
    path = definition_file(tmp_path, text, head="")
    with pytest.raises(PresetError) as error:
        read(path)
    assert any(problem.startswith(f"{path}: {key}: expected ") for problem in error.value.problems)


def test_all_defects_of_a_definition_are_named_at_once(tmp_path: Path) -> None:
    path = definition_file(tmp_path, '[[panels]]\nkind = "pie"\nruns = []', head="title = 3")
    with pytest.raises(PresetError) as error:
        read(path)
    assert len(error.value.problems) == 3


def test_figures_are_listed_by_number() -> None:
    names = [name for name in shipped_figures() if name.startswith("alexander-2025-")]
    assert names == [f"alexander-2025-{number}" for number in range(1, 12)]


def test_definitions_are_no_presets() -> None:
    assert not set(shipped_figures()) & set(preset.shipped()) - {"gd-width", "theorem-entries", "theorem-middle"}
    assert "figures" not in preset.shipped()


# --- quick -----------------------------------------------------------------------------------------------------------


def quick(*overrides: str, name: str = "depth-linear", figure: tuple[str, ...] = ()) -> Experiment:
    panel = Panel("sweep", (PanelRun(name),))
    (found,) = collect.needed(Definition("f", "f", (panel,), quick=figure), Wishes(quick=True, overrides=overrides))
    return found.experiment


def test_quick_keeps_the_ends_and_two_between_with_what_belongs_to_them() -> None:
    experiment = quick()
    assert (experiment.seeds, experiment.values) == (2, (2, 5, 7, 10))
    assert [point.gd.init_scale for point in experiment.points] == [1e-3, 0.1, 0.1, 0.2]
    samples = {point.gnc.effective_samples for point in preset.load("depth-linear").points}
    assert {10 * point.gnc.effective_samples for point in experiment.points} == samples


def test_what_a_definition_and_the_user_say_comes_after_what_quick_does() -> None:
    experiment = quick("seeds=3", figure=("model.depth=[2, 4]", "seeds=1"))
    assert (experiment.seeds, experiment.values) == (3, (2, 4))


def test_lists_among_a_runs_overrides_are_cut_with_the_values() -> None:
    panel = Panel("sweep", (PanelRun("width-linear", ("gd.learning_rate=[1, 2, 3, 4, 5, 6]",)),))
    (found,) = collect.needed(Definition("f", "f", (panel,)), Wishes(quick=True))
    assert found.experiment.values == (5, 20, 40, 160)
    assert [point.gd.learning_rate for point in found.experiment.points] == [1, 3, 4, 6]


# --- which run will do -----------------------------------------------------------------------------------------------


def experiment(folder: Path, *overrides: str) -> Experiment:
    return preset.load(tiny(folder), overrides)


def test_a_finished_run_serves_fewer_data_sets_and_methods_and_no_other_settings(tmp_path: Path) -> None:
    run = finished_run("three", "seeds=3")

    def found(*overrides: str) -> str | None:
        at_hand = collect.stored(experiment(tmp_path, *overrides))
        return at_hand and at_hand[1]

    assert found("seeds=2") == "finished"
    assert found("seeds=3", "methods=['gd']") == "finished"
    assert found("seeds=4") is None
    assert found("seeds=2", "gd.steps=301") is None
    assert found("seeds=2", "model.width=[3, 7]") is None
    data = RunData.read(run, experiment(tmp_path, "seeds=2"))
    assert {trial.seed for trial in data.trials} == {0, 1}


def test_a_finished_run_serves_some_of_its_sweep_points_and_settings_that_have_no_say(tmp_path: Path) -> None:
    same = ("gd.predict_from=0", "gd.optimizer=gradient_descent", "seeds=1")
    run = finished_run("whole", *same, "model.width=[2, 4, 8]")

    def found(*overrides: str) -> str | None:
        at_hand = collect.stored(experiment(tmp_path, *same, *overrides))
        return at_hand and at_hand[1]

    assert found("model.width=[8, 2]", "methods=['gd']", "gnc.eps_train=0.2") == "finished"
    assert found("model.width=[4]", "methods=['prior', 'gnc']", "gd.steps=301") == "finished"
    assert found("model.width=[4]", "methods=['gnc']", "gnc.eps_train=0.2") is None
    whole = RunData.read(run)
    part = RunData.read(run, experiment(tmp_path, *same, "model.width=[8, 2]", "methods=['gd']"))
    for point, place in enumerate((2, 0)):
        (mine,) = (trial for trial in part.trials if trial.point == point)
        (stored,) = (trial for trial in whole.trials if (trial.point, trial.method) == (place, "gd"))
        assert mine == replace(stored, point=point)
        assert part.truth(point) == whole.truth(place)
        np.testing.assert_array_equal(part.curve(point), whole.curve(place))
        norm = quantity_of("nuclear_norm")
        assert norm.quartiles(part, point, "gd") == norm.quartiles(whole, place, "gd")


@pytest.fixture(scope="module")
def _computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run("there", folder=tmp_path_factory.mktemp("runs")).path


@pytest.fixture
def there(_computed: Path) -> RunDirectory:
    """A finished run of the tiny preset, where runs go."""
    shutil.copytree(_computed, runs_directory() / "there")
    return RunDirectory.open(runs_directory() / "there")


def test_a_run_whose_learning_rate_was_changed_in_flight_does_not_serve(there: RunDirectory, tmp_path: Path) -> None:
    with next(iter(there.path.glob("events-run-*.jsonl"))).open("r+", encoding="utf-8") as file:
        lines = file.read().splitlines()
        event = json.dumps({"event": "learning_rate", "time": 0.0, "value": 1.0, "step": 3})
        file.seek(0)
        file.write("\n".join([event, *lines]) + "\n")
    assert collect.stored(experiment(tmp_path)) is None


# --- charts ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sweep_run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Three data sets at three widths."""
    folder = tmp_path_factory.mktemp("sweep")
    return finished_run("sweep", "seeds=3", "model.width=[2, 4, 8]", folder=folder)


def test_a_sweep_shows_the_quartiles_of_the_results(sweep_run: RunDirectory) -> None:
    chart = charts_of_run(sweep_run)[0]
    data = RunData.read(sweep_run)
    assert [one.name for one in chart.series] == ["GD", "Prior", "G&C"]
    losses = [t.generalization_loss for t in data.trials if (t.point, t.method) == (1, "gnc")]
    guessing = chart.series[2]
    assert guessing.low is not None
    assert guessing.high is not None
    expected = np.quantile(np.array(losses, dtype=float), (0.25, 0.5, 0.75))
    np.testing.assert_allclose([guessing.low[1], guessing.y[1], guessing.high[1]], expected)
    assert chart.x_ticks == ((2.0, "2"), (4.0, "4"), (8.0, "8"))


def test_a_theorem_chart_shows_what_the_analysis_measures(sweep_run: RunDirectory) -> None:
    chart = next(chart for chart in charts_of_run(sweep_run) if chart.kind == "theorem")
    data = RunData.read(sweep_run)
    measured = measure(data.experiment, data.trials)
    assert measured is not None
    points = next(one for one in chart.series if one.name == "measured")
    np.testing.assert_allclose(np.abs(points.y), np.abs(measured.means.mean))
    assert chart.notes[0] == measured.verdict


def test_a_theorem_chart_over_the_depth_takes_the_c_of_its_panel(tmp_path: Path) -> None:
    run = computed(make_run(tmp_path / "deep", "seeds=3", "sweep.over=model.depth", "sweep.values=[2, 3, 4]"))
    data = RunData.read(run)
    labels = []
    for c in (2.0, 10.0):
        (chart,) = charts.charts_of_panel(replace(panel_of("theorem", PanelRun("tiny")), c=c), [data])
        labels.append(chart.y_label)
        assert not any("limits:" in note for note in chart.notes)
    assert labels == ["P(L_gen ≥ 1.8 ε_train | fit)", "P(L_gen ≥ 10 ε_train | fit)"]


def test_the_ratio_to_gradient_descent_is_of_data_sets_that_it_fit(sweep_run: RunDirectory) -> None:
    data = RunData.read(sweep_run)
    data.trials = [replace(t, training_loss=1.0) if (t.method, t.seed) == ("gd", 0) else t for t in data.trials]
    ratio = quantity_of("gnc_over_gd")
    assert ratio.methods(("gd", "prior", "gnc")) == ("gnc",)
    losses = {(trial.method, trial.seed): trial for trial in data.trials if trial.point == 1}
    fit = [seed for seed in range(3) if (losses["gd", seed].training_loss or 1.0) <= 0.1]
    expected = [
        (losses["gnc", seed].generalization_loss or 0.0) / (losses["gd", seed].generalization_loss or 1.0)
        for seed in fit
    ]
    (_, median, _), count = ratio.quartiles(data, 1, "gnc")
    assert count == len(fit) == 2
    assert median == pytest.approx(np.median(expected))


def panel_of(kind: str, *runs: PanelRun, **fields: str) -> Panel:
    return Panel(kind, runs, **fields)  # type: ignore[arg-type]


def test_lines_and_heatmaps_put_runs_on_the_second_axis(sweep_run: RunDirectory, tmp_path: Path) -> None:
    other = computed(make_run(tmp_path / "other", "seeds=3", "model.width=[2, 4, 8]", "gnc.eps_train=0.2"))
    runs = [RunData.read(sweep_run), RunData.read(other)]
    declared = (PanelRun("tiny"), PanelRun("tiny"))
    (lines,) = charts.charts_of_panel(
        panel_of("lines", *declared, second="gnc.eps_train", quantity="log10_acceptance"), runs
    )
    assert [one.name for one in lines.series] == ["width 2", "width 4", "width 8"]
    assert lines.series[0].x.tolist() == [0.1, 0.2]
    assert lines.series[0].y[1] > lines.series[0].y[0], "twice the ε_train is met more often"
    (heat,) = charts.charts_of_panel(panel_of("heatmap", *declared, second="gnc.eps_train", method="prior"), runs)
    assert heat.heat is not None
    assert (heat.heat.rows, heat.heat.columns) == (("0.1", "0.2"), ("2", "4", "8"))
    medians = [quantity_of("generalization_loss").quartiles(runs[0], point, "prior")[0][1] for point in range(3)]
    np.testing.assert_allclose(heat.heat.values[0], medians)


def test_a_run_without_a_place_is_a_line_across_by_its_method(sweep_run: RunDirectory) -> None:
    data = RunData.read(sweep_run)
    only_prior = RunData.read(sweep_run, replace(sweep_run.experiment, methods=("prior",)))
    declared = (PanelRun("tiny", at=1.0), PanelRun("tiny", at=3.0), PanelRun("tiny", across=True))
    (lines,) = charts.charts_of_panel(
        panel_of("lines", *declared, second="a place", method="gd"), [data, data, only_prior]
    )
    *_, rival = lines.series
    assert (rival.name, rival.stroke, rival.x.tolist()) == ("Prior", "dashed", [1.0, 3.0])
    median = quantity_of("generalization_loss").quartiles(data, 0, "prior")[0][1]
    assert rival.y.tolist() == [median, median]
    assert len(lines.series) == 3 + 1


COMPLETION = """
title = "Completion"
methods = ["gd"]
seeds = 1

[problem]
kind = "completion"
rows = 4
columns = 4
norm = 2.0
measurements = 10

[model]
width = 4

[gd]
init = "balanced"
init_scale = 0.1
learning_rate = 0.1
steps = 400
log_every = 100
predict_from = 0
"""


def test_a_trial_is_written_once_though_panels_show_different_data_sets_of_its_run(sweep_run: RunDirectory) -> None:
    one, panel = PanelRun("tiny"), panel_of("sweep", PanelRun("tiny"))
    parts = []
    for seeds, methods in ((1, ("gd", "gnc")), (3, ("gd",))):
        wanted = replace(sweep_run.experiment, seeds=seeds, methods=methods)
        parts.append((Needed(panel, one, wanted, ()), RunData.read(sweep_run, wanted)))
    made = Made(Definition("figure", "A figure", (panel,)), parts, [])
    lines = trials_csv(made).splitlines()[1:]
    assert len(lines) == len(set(lines)) == 3 * (3 + 1)


def test_a_column_that_only_some_runs_have_is_empty_in_the_lines_of_the_others(
    sweep_run: RunDirectory, tmp_path: Path
) -> None:
    measured = computed(make_run(tmp_path / "laws", "seeds=1", "gnc.measure_laws=true", "methods=['prior']"))
    panel = panel_of("sweep", PanelRun("tiny"), PanelRun("tiny", ("gnc.measure_laws=true",)))
    parts = [
        (Needed(panel, declared, run.experiment, declared.overrides), RunData.read(run))
        for declared, run in zip(panel.runs, (sweep_run, measured), strict=True)
    ]
    rows = list(csv.DictReader(trials_csv(Made(Definition("figure", "A figure", (panel,)), parts, [])).splitlines()))
    assert {row["run"] for row in rows if row["excess_kurtosis"]} == {"laws"}
    assert None not in {key for row in rows for key in row}, "no line is longer than the heading"
    assert {row["message"] for row in rows} == {""}


def test_what_a_run_differs_from_its_preset_by_is_told_as_a_command_that_a_shell_understands(
    sweep_run: RunDirectory,
) -> None:
    panel = panel_of("sweep", PanelRun("quick-start", ("methods=['gd']",)))
    figure = Definition("figure", "A figure", (panel,))
    (found,) = collect.needed(figure, Wishes(seeds=1, quick=True, overrides=("gd.steps=60",)))
    made = Made(figure, [(found, RunData.read(sweep_run))], [])
    mftui, run, name, *settings = shlex.split(metadata(made)["Runs"])
    assert (mftui, run, name) == ("mftui", "run", "quick-start")
    overrides = [each.removeprefix("--set=") for each in settings]
    again = preset.load(name, overrides)
    assert again == found.experiment
    assert (again.seeds, again.methods, again.points[0].gd.steps) == (1, ("gd",), 60)
    assert document(made)["runs"][0]["overrides"] == overrides == list(found.overrides)


def _event(contents: Contents, kind: str) -> Mapping[str, Any]:
    return next(event for event in contents.events if event["event"] == kind)


def test_courses_and_alignment_come_from_what_was_logged(tmp_path: Path) -> None:
    data = RunData.read(computed(make_run(tmp_path / "run", text=COMPLETION)))
    run = PanelRun("tiny")
    (course,) = charts.charts_of_panel(panel_of("course", run), [data])
    strokes = [one.stroke for one in course.series]
    assert (strokes.count("solid"), strokes.count("dashed"), strokes.count("dotted")) == (4, 1, 4)
    (alignment,) = charts.charts_of_panel(panel_of("alignment", run), [data])
    diagonal, rest = alignment.series
    np.testing.assert_allclose(diagonal.x, data.curve(0)[:, 0])
    # the gradient's squared length, from ‖∇L‖² = (2/n)² Σ over observed of the errors squared = 4 L_train / n
    sizes = 4 * data.curve(0)[:, 1] / 10
    assert (4 * diagonal.y**2 + 12 * rest.y**2 <= sizes * (1 + 1e-9)).all(), (
        "means of sizes are below root mean squares"
    )
    assert (sizes <= 16 * (4 * diagonal.y + 12 * rest.y) ** 2).all()
    contents = Contents(data.run)
    (_, truth), observed = next(iter(contents.truths())), _event(contents, "truth")["observed"]
    mask = np.isin(np.arange(16), observed).reshape(4, 4) * 2 / 10
    for row, one, other in zip(contents.table("matrices")[:, 3:], diagonal.y, rest.y, strict=True):
        matrix = row.reshape(4, 4)
        left, _, right = np.linalg.svd(matrix)
        between = np.abs(left.T @ ((matrix - truth["matrix"]) * mask) @ right.T)
        off = between[~np.eye(4, dtype=np.bool_)]
        np.testing.assert_allclose([one, other], [between.diagonal().mean(), off.mean()], rtol=1e-6)
    (sweep,) = charts.charts_of_panel(panel_of("sweep", run, quantity="nuclear_norm"), [data])
    assert [one.name for one in sweep.series] == ["GD", "truth"]
    assert sweep.series[1].y[0] == pytest.approx(2.0), "of rank one: the Frobenius norm"
    assert sweep.series[0].y[0] == pytest.approx(data.curve(0)[-1, 3:].sum())


def test_alignment_says_why_there_is_none(sweep_run: RunDirectory) -> None:
    found = charts.charts_of_panel(panel_of("alignment", PanelRun("tiny")), [RunData.read(sweep_run)])
    assert all(chart.empty and "needs linear σ" in chart.notes[0] for chart in found)


def test_a_histogram_holds_all_the_weight(tmp_path: Path) -> None:
    run = computed(make_run(tmp_path / "run", "model.width=3"))
    data = RunData.read(run)
    (chart,) = charts.charts_of_panel(panel_of("histogram", PanelRun("tiny")), [data])
    for one in chart.series:
        assert one.y.sum() / 8 == pytest.approx(1.0, abs=1e-3), "eight bins a decade"


def chart(*series: Series, **fields: str) -> Chart:
    return Chart("sweep", "A title", "x", "y", series, **fields)  # type: ignore[arg-type]


def series(y: list[float], low: list[float] | None = None, high: list[float] | None = None, **fields: object) -> Series:
    x = np.arange(1.0, len(y) + 1)
    ends = [None if end is None else np.array(end) for end in (low, high)]
    return Series("one", "gd", x, np.array(y), *ends, shape=0, **fields)  # type: ignore[arg-type]


NAN = float("nan")


def test_a_log_axis_leaves_out_what_it_cannot_show_and_says_so() -> None:
    seen = shown(chart(series([1.0, 0.0, -1.0, NAN, 4.0], [-1.0] * 5, [5.0] * 5), y_scale="log"))
    assert seen.series[0].y.tolist() == [1.0, 4.0]
    assert seen.series[0].low is not None
    assert seen.series[0].low.tolist() == [1.0, 1.0], "to the smallest number shown"
    assert seen.notes == ("2 points at or below 0, which a log axis can't show",)
    assert shown(chart(series([0.0, -1.0]), y_scale="log")).y_scale == "linear"


HEAT = Chart(
    "heatmap", "A heatmap", "x", "y",
    heat=Heat(np.array([[0.1, NAN], [0.0, 10.0]]), ("1", "2"), ("a", "b"), "median loss", "log"),
)  # fmt: skip
ODD = {
    "nothing": chart(),
    "all NaN": chart(series([NAN, NAN])),
    "one point": chart(series([3.0])),
    "some NaN": chart(series([1.0, NAN, 2.0], [NAN] * 3, [NAN] * 3), y_scale="log"),
    "zeros on a log axis": chart(series([0.0, 0.0, 0.0]), y_scale="log"),
    "equal": chart(series([2.0, 2.0]), x_scale="log", y_scale="log"),
    "a dashed line": chart(series([1.0, 2.0, 3.0], stroke="dashed")),
    "a heatmap": HEAT,
    "an empty heatmap": replace(HEAT, heat=Heat(np.full((1, 1), NAN), ("1",), ("a",), "loss", "log")),
}


@pytest.mark.parametrize("name", ODD)
def test_every_chart_can_be_shown_as_text_in_the_room_there_is(name: str) -> None:
    for width, height in ((40, 10), (100, 22)):
        text = as_text(ODD[name], width, height, color=False)
        lines = text.splitlines()
        assert ODD[name].title in lines[0]
        assert ESCAPE.search(text) is None
        assert ODD[name].heat is not None or len(lines) <= height + 2
        assert all(len(line) <= width for line in lines)
        plain = as_text(ODD[name], width, height, color=False, glyphs=Glyphs.ASCII)
        assert plain.isascii()
        assert [len(line) for line in plain.splitlines()] == [len(line) for line in lines]


def test_a_plot_as_text_is_coloured_only_where_asked() -> None:
    colored = as_text(chart(series([1.0, 2.0])), 60, 15, color=True)
    assert ESCAPE.search(colored) is not None
    plain = as_text(chart(series([1.0, 2.0])), 60, 15, color=False)
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored).split() == plain.split()


@pytest.mark.parametrize(
    ("overrides", "kind"),
    [
        (["methods=['prior', 'gnc']"], "sweep"),
        (["model.width=3"], "course"),
        (["model.width=3", "methods=['prior', 'gnc']"], "histogram"),
        (["gd.learning_rate=1e6", "methods=['gd']"], None),
    ],
    ids=str,
)
def test_results_are_plotted_as_what_they_are_and_not_at_all_where_every_trial_failed(
    overrides: list[str], kind: str | None, tmp_path: Path
) -> None:
    chart = plot_of_run(computed(make_run(tmp_path / "run", "seeds=1", *overrides)))
    assert (chart and chart.kind) == kind
    if kind == "course":
        assert chart is not None
        assert {one.stroke for one in chart.series} == {"solid", "dashed"}, "the true ones are dashed"


# --- drawings --------------------------------------------------------------------------------------------------------


@needs_matplotlib
@pytest.mark.slow
def test_every_chart_can_be_drawn_together_with_the_others(tmp_path: Path) -> None:
    figure = drawing.draw(list(ODD.values()), "All with ε_train, L_gen and $")
    for kind in ("png", "svg", "pdf"):
        drawing.save(figure, tmp_path / f"all.{kind}", {"Title": "All"})
    assert len(figure.axes) >= len(ODD)


@pytest.mark.slow
@needs_matplotlib
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_drawing_is_the_same_bytes_each_time_and_holds_its_settings(kind: str, tmp_path: Path) -> None:
    told = {"Title": "A title", "Settings": "gd.steps = 7777", "Versions": "torch 2.0"}
    contents = []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.{kind}"
        drawing.save(drawing.draw([chart(series([1.0, 2.0]))], "A title"), path, told)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert b"7777" in contents[0]
    if kind == "pdf":
        assert b"/Type3" not in contents[0]
        assert b"CreationDate" not in contents[0]


@needs_matplotlib
def test_a_single_chart_is_a_column_wide_and_several_a_page() -> None:
    one, several = (drawing.draw([ODD["one point"]] * count, "t") for count in (1, 3))
    assert one.get_figwidth() == drawing.COLUMN_INCHES
    assert several.get_figwidth() == drawing.PAGE_INCHES


# --- the command -----------------------------------------------------------------------------------------------------


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def runs() -> list[str]:
    return sorted(path.name for path in runs_directory().iterdir()) if runs_directory().is_dir() else []


@pytest.mark.slow
def test_a_figure_is_made_with_all_its_files_and_the_next_one_starts_no_worker(
    mftui: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = definition_file(tmp_path, SWEEP), tmp_path / "out"
    ended = mftui("figure", path, "--quiet", "--out", out)
    assert ended.status == 0, ended.stderr
    assert "A figure" in ended.stdout
    assert "G&C" in ended.stdout
    assert ESCAPE.search(ended.stdout) is None
    made = runs()
    assert len(made) == 1
    document = json.loads((out / "figure.json").read_text(encoding="utf-8"))
    assert len(document["runs"][0]["trials"]) == 12
    assert document["versions"]["torch"]
    (gnc,) = (one for one in document["charts"][0]["series"] if one["name"] == "G&C")
    rows = table(out / "figure.csv")
    assert [float(row["y"]) for row in rows if row["series"] == "G&C"] == gnc["y"]
    assert format_loss(gnc["y"][0]) in ended.stdout
    trials = table(out / "figure-trials.csv")
    assert len(trials) == 12
    if drawing.available():
        assert {path.suffix for path in out.iterdir()} == {".csv", ".json", ".png", ".svg", ".pdf"}

    def refuse(*_: object) -> None:
        raise AssertionError("a worker was started")

    monkeypatch.setattr(LiveRun, "start", refuse)
    again = mftui("figure", path, "--quiet", "--seeds", "1")
    assert again.status == 0, again.stderr
    assert runs() == made
    assert "median over 1 data set," in again.stdout


@pytest.mark.usefixtures("there")
def test_without_matplotlib_the_numbers_are_written_and_how_to_get_drawings_is_said(
    mftui: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "find_spec", lambda _: None)
    ended = mftui("figure", definition_file(tmp_path, SWEEP), "--no-run", "--out", tmp_path / "out")
    assert ended.status == 0, ended.stderr
    assert "pip install 'mftui[figures]'" in ended.stderr
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".csv", ".json"}


def test_no_run_computes_nothing_and_names_what_is_missing(mftui: Command, tmp_path: Path) -> None:
    ended = mftui("figure", definition_file(tmp_path, SWEEP), "--no-run")
    assert ended.status == 2
    assert "there is no run of it" in ended.stderr
    assert runs() == []


def test_a_bad_definition_and_an_unknown_name_are_told_in_a_sentence(mftui: Command, tmp_path: Path) -> None:
    bad = mftui("figure", definition_file(tmp_path, '[[panels]]\nkind = "pie"\nruns = [{preset = "tiny.toml"}]'))
    assert (bad.status, "panels[0].kind: expected one of sweep" in bad.stderr) == (2, True)
    unknown = mftui("figure", "alexander-2025-12")
    assert unknown.status == 2
    assert "no such figure or preset (did you mean 'alexander-2025-" in unknown.stderr


def test_the_list_names_every_figure(mftui: Command) -> None:
    ended = mftui("figure", "list")
    assert [line.split()[0] for line in ended.stdout.splitlines()] == shipped_figures()


def test_quick_says_so(mftui: Command, tmp_path: Path) -> None:
    finished_run("tenth", "gnc.effective_samples=100_000_000", "gnc.prior_draws=200")
    ended = mftui("figure", tiny(tmp_path), "--quick", "--no-run")
    assert ended.status == 0, ended.stderr
    assert "(quick: 2 data sets, 2 sweep points," in ended.stdout.splitlines()[0]


@pytest.mark.slow
@pytest.mark.usefixtures("no_worker_is_left")
def test_control_c_stops_and_the_same_command_goes_on_with_the_same_run(tmp_path: Path) -> None:
    text = TINY.replace("steps = 300", "steps = 20_000").replace("log_every = 50", "log_every = 1000")
    text = text.replace("draws = 20_000", "draws = 2_000_000")
    arguments = ("figure", tiny(tmp_path, text), "--device", "cpu")
    with terminal(*arguments, columns=100) as shell:
        wait_until(lambda: shell.read() and runs() and state(runs_directory() / runs()[0]) == "running", "the run")
        ask(runs_directory() / runs()[0], "pause")  # at work still, however late the signal is
        shell.process.send_signal(signal.SIGINT)
        assert shell.end() == 130
        assert "the same command goes on with it" in shell.read()
    before = runs()
    with terminal(*arguments, columns=100) as shell:
        assert shell.end() == 0, shell.read()
        assert "G&C" in shell.read()
    assert runs() == before
    assert len(before) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("there")
def test_all_goes_on_after_a_figure_that_fails(mftui: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "figures"
    folder.mkdir()
    definition_file(folder, SWEEP).rename(folder / "b-good.toml")
    (folder / "a-bad.toml").write_text("panels = 3", encoding="utf-8")
    monkeypatch.setattr("mftui.figures.definition.figure_directory", lambda: folder)
    (folder / "tiny.toml").rename(tmp_path / "tiny.toml")
    good = folder / "b-good.toml"
    good.write_text(good.read_text(encoding="utf-8").replace("tiny.toml", "../tiny.toml"), encoding="utf-8")
    ended = mftui("figure", "all", "--no-run", "--out", tmp_path / "out")
    assert ended.status == 1
    assert "a-bad" in ended.stderr
    gallery = (tmp_path / "out" / "gallery.md").read_text(encoding="utf-8")
    assert "## A figure" in gallery
    assert "- a-bad: " in gallery
    assert drawing.available() == ("(b-good.svg)" in gallery)


@pytest.mark.usefixtures("there")
def test_verdicts_and_tables_of_several_runs_say_which_run_they_are_of(
    mftui: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_run("other", "gd.steps=200")
    monkeypatch.setattr(drawing, "find_spec", lambda _: None)
    runs = '[{preset = "tiny.toml"}, {preset = "tiny.toml", set = ["gd.steps=200"], label = "short"}]'
    path = definition_file(tmp_path, SWEEP.replace('[{preset = "tiny.toml"}]', runs))
    ended = mftui("figure", path, "--no-run", "--out", tmp_path)
    assert ended.status == 0, ended.stderr
    told = json.loads((tmp_path / "figure.json").read_text(encoding="utf-8"))["verdicts"]
    assert {(each["about"], each["run"]) for each in told} == {("tiny", "there"), ("tiny, gd.steps=200", "other")}
    for each in told:
        assert f"{each['about']}: {each['name']}: {each['text']}" in ended.stdout.splitlines()
        assert f"Tiny ({each['about']})" in ended.stdout


# --- the plot of a run's results -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("there")
def test_results_come_with_a_plot_where_it_is_asked_for_or_there_is_a_terminal(
    mftui: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plotted(*arguments: str) -> bool:
        ended = mftui(*arguments)
        assert ended.status == 0, ended.stderr
        assert ESCAPE.search(ended.stdout) is None
        return "bars from quartile to quartile" in ended.stdout

    assert not plotted("attach", "there")
    for command in (("attach",), ("runs", "show")):
        assert plotted(*command, "there", "--plot")
    assert json.loads(mftui("attach", "there", "--plot", "--json").stdout)["state"] == "finished"
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert plotted("attach", "there")
    assert not plotted("attach", "there", "--no-plot")
    assert not plotted("attach", "there", "--quiet")


def test_results_keep_to_a_terminal_of_80_cells_without_unicode_and_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    finished_run("single", "model.width=3", "methods=['gd']")
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("NO_COLOR", "1")
    with terminal("attach", "single", columns=80) as shell:
        assert shell.end() == 0, shell.read()
        text = shell.read()
    assert text.isascii()
    assert "\x1b[3" not in text
    plot = text[text.index("singular values of W    ** s1") : text.index("data set 0, dashed: the true ones")]
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", plot).splitlines())) == 80


@pytest.mark.slow
@pytest.mark.usefixtures("there")
def test_colour_is_off_where_the_user_wants_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = definition_file(tmp_path, SWEEP)

    def shown_on_a_terminal() -> str:
        with terminal("figure", path, "--no-run") as shell:
            assert shell.end() == 0, shell.read()
            return shell.read()

    colours: Callable[[str], bool] = lambda text: "\x1b[38;" in text  # noqa: E731
    assert colours(shown_on_a_terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colours(shown_on_a_terminal())
