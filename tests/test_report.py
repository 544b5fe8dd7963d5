"""Reports: what they say, that they need nothing else, and that nothing in a run can break out of its text."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.runs import catalog
from engine.runs.catalog import RunError, runs_directory
from engine.runs.directory import RunDirectory
from engine.runs.files import to_json
from engine.spec import preset
from engine.spec.experiment import Experiment
from mftui.export.contents import Contents
from mftui.figures import drawing
from mftui.report import content, html, markdown
from mftui.report.history import computing_seconds
from tests.commands import Command
from tests.lab import computed, finished_run
from tests.runs import TINY, make_run
from tests.test_harm import KINDS, damaged_copy

DATA = Path(__file__).parent / "data"
SMALL = ["gnc.draws=5000", "gnc.prior_draws=500"]
VOID = {"meta", "br"}
HOSTILE = "</pre></title><script>alert(1)</script><img src=x onerror=alert(1)> &amp; ```` `a` | b\n# c \x1b[31m \"'"


class Page(HTMLParser):
    """What is in a page; raises where elements are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(key, value or "") for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(key, value or "") for key, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def check(text: str) -> Page:
    """A page that is well-formed, runs nothing and loads nothing."""
    page = Page(text)
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "img", "base", "form", "foreignobject"}
    for key, value in page.attributes:
        assert not key.startswith("on")
        assert key not in ("src", "srcset", "action", "background", "data")
        assert "href" not in key or value.startswith("#")
        assert "javascript:" not in value
    assert not re.search(r"url\((?!['\"]?#)|@import", text)
    identifiers = [value for key, value in page.attributes if key == "id"]
    assert len(identifiers) == len(set(identifiers))
    targets = re.findall(r"url\(#([^)]+)\)", text) + [v[1:] for key, v in page.attributes if "href" in key]
    assert set(targets) <= set(identifiers)
    return page


@pytest.fixture(autouse=True)
def _no_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take half a second each; one test is about them."""
    monkeypatch.setattr(drawing, "available", lambda: False)


@pytest.fixture(scope="module")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, to be copied."""
    return finished_run("wide", *SMALL, folder=tmp_path_factory.mktemp("runs")).path


@pytest.fixture
def run(_finished: Path) -> RunDirectory:
    """Two widths, two data sets, three methods, finished, where runs go."""
    shutil.copytree(_finished, runs_directory() / "wide")
    return RunDirectory.open(runs_directory() / "wide")


def _texts(run: RunDirectory) -> tuple[Page, str]:
    """Its report in both formats."""
    report = content.report(Contents(run))
    return check(html.page(report)), markdown.page(report)


def test_a_report_has_the_runs_title_results_settings_and_environment(run: RunDirectory) -> None:
    page, text = _texts(run)
    contents = Contents(run)
    wanted = ["Tiny", "wide", "finished, 12 of 12 trials", "gnc.eps_train", "model.width = 3, 6", "Prior", "G&C"]
    wanted += [str(contents.environments[0]["torch"]), str(contents.environments[0]["device_name"])]
    for each in wanted:
        assert each in page.words
        assert markdown.plain(each) in text
    assert "gd.optimizer" not in page.words.split("The complete preset")[0]  # at its default


def test_every_trial_has_its_row(run: RunDirectory) -> None:
    grid = content.report(Contents(run)).data_sets
    names = ["".join(heading.lines) for heading in grid.headings]
    assert names[:4] == ["width", "method", "seed", "L_gen"]
    assert [len(group) for group in grid.groups] == [6, 6]
    for trial, row in zip(Contents(run).trials, [row for group in grid.groups for row in group], strict=True):
        assert row[2].text == str(trial.seed)
        assert trial.generalization_loss is not None
        assert float(row[3].text.split(" ± ")[0]) == pytest.approx(trial.generalization_loss, rel=0.06)


def test_its_preset_is_the_runs_and_the_commands_name_no_folder(run: RunDirectory) -> None:
    report = content.report(Contents(run))
    assert preset.parse(report.spec, "again").points == run.experiment.points
    assert [command.line for command in report.commands] == ["mftui run wide.toml --device cpu"]
    assert [setting.value for setting in report.settings if setting.key == "model.width"] == ["3, 6"]


def test_a_shipped_preset_is_run_again_by_its_name() -> None:
    made = RunDirectory.create(preset.load("quick-start", ["seeds=1", "gd.steps=10"]), "auto")
    first = content.report(Contents(RunDirectory.open(made.path))).commands[0]
    assert first.line == "mftui run quick-start --set seeds=1 --set gd.steps=10"


def test_neither_host_nor_folders_are_named(run: RunDirectory) -> None:
    for file in run.path.glob("e*.json*"):
        file.write_text(re.sub(r'"host": "[^"]*"', '"host": "secret-host"', file.read_text()))
    assert "secret-host" in str(Contents(run).environments)
    page, text = _texts(run)
    for secret in ("secret-host", str(run.path), str(runs_directory()), str(Path.home())):
        assert secret not in page.words
        assert secret not in text


def test_data_files_are_named_without_their_folders(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("0,0,4\n0,1,2.5\n2,0,1\n1,2,5\n", encoding="utf-8")
    text = f'methods = ["gd"]\n[problem]\nkind = "ratings"\npath = "{tmp_path}/r.csv"\n[gd]\nsteps = 20\n'
    own = computed(make_run(tmp_path / "own", text=text))
    report = content.report(Contents(own))
    assert report.data_files == ["own-problem-0.csv"]
    assert 'path = "own-problem-0.csv"' in report.spec
    page, text = _texts(own)
    assert str(tmp_path) not in page.words + text
    assert "training ratings" in page.words
    assert "recovered by GD" in page.words


# --- figures ---------------------------------------------------------------------------------------------------------


def test_figures_are_drawings_in_a_page_and_text_in_markdown(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "available", lambda: True)
    page, text = _texts(run)
    assert "svg" in page.tags
    assert {"GD", "Prior", "G&C"} <= set(
        re.findall(r"GD|Prior|G&C", text.split("## Figures")[1].split("## Results")[0])
    )
    labels = [value for key, value in page.attributes if key == "aria-label"]
    assert labels[0] == "Generalization loss L_gen against width k"
    assert all(f"**{markdown.plain(label)}**" in text for label in labels)


def test_without_matplotlib_figures_are_text(run: RunDirectory) -> None:
    page, _ = _texts(run)
    assert "svg" not in page.tags
    assert "┌──" in page.words.split("Figures")[1].split("Results")[0]


# --- hostile texts ---------------------------------------------------------------------------------------------------


def test_names_and_texts_of_a_run_stay_text(tmp_path: Path) -> None:
    experiment = preset.parse(TINY, "<b>x")
    document = {**experiment.document, "title": HOSTILE, "about": HOSTILE}
    file = tmp_path / "a.toml"
    file.write_text(preset.dump(Experiment(**{**vars(experiment), "document": document})), encoding="utf-8")
    path = tmp_path / "<script>alert(2)<!--"
    own = computed(RunDirectory.create(preset.load(file, name='"><script>'), "cpu", path))
    catalog.write_note(own.path, HOSTILE)
    with (own.path / "events-0000-0001.jsonl").open("a", encoding="utf-8") as events:
        events.write(to_json({"event": "remark", "time": 1.0, "message": HOSTILE}) + "\n")
    page, text = _texts(own)
    assert page.words.count("<script>alert(1)</script>") >= 4
    assert "\x1b" not in page.words + text
    outside = re.sub(r"(?ms)^(`{3,})[a-z]*\n.*?^\1$", "", text)
    assert not re.search(r"(?<!\\)<(?!/?(details|summary)>)[A-Za-z/!?]", outside)
    assert not re.search(r"(?m)^# c", outside)


def test_a_fence_is_longer_than_any_in_it() -> None:
    assert markdown.fenced("a\n````\nb", "toml") == "`````toml\na\n````\nb\n`````"


@pytest.mark.parametrize(
    "text", ["- a", "1. a", "1) a", "# a", "> a", "+ a", "---", "a | b", "[a](b)", "<b>", "</b>", "*a*", "_a_", "&lt;"]
)
def test_nothing_is_taken_for_markdown(text: str) -> None:
    plain = markdown.plain(text)
    assert re.sub(r"\\(.)", r"\1", plain) == text
    assert plain != text


@pytest.mark.parametrize("text", ["L_gen < 0.5", "-4.1", "3.11.7", "G&C", "2026-11-24", "k̂ = 0.3"])
def test_what_markdown_leaves_alone_is_left_alone(text: str) -> None:
    assert markdown.plain(text) == text


# --- reliability and time --------------------------------------------------------------------------------------------


def test_what_went_wrong_is_told(tmp_path: Path) -> None:
    changes = ["gnc.eps_train=1e-9", "gd.learning_rate=[1e9,0.1]", "model.width=[3,4]"]
    report = content.report(Contents(computed(make_run(tmp_path / "bad", *changes))))
    warnings = " ".join(remark.text for remark in report.reliability if remark.warning)
    assert "width 3, GD: seed 0: " in warnings
    assert "width 3, G&C: seed 0: " in warnings
    assert "gradient descent ended above ε_train" in warnings
    assert "width 4: 2 of 2 (ε_train = 1e-09)" in warnings
    assert not any("nothing went wrong" in remark.text for remark in report.reliability)
    strong = [cell.text for group in report.data_sets.groups for row in group for cell in row if cell.strong]
    assert {"diverged", "no_hits"} <= set(strong)


def test_that_nothing_went_wrong_is_told_too(run: RunDirectory) -> None:
    report = content.report(Contents(run))
    assert not any(remark.warning for remark in report.reliability)
    told = " ".join(remark.text for remark in report.reliability)
    least = min(t.guesses.effective_sample_size for t in Contents(run).trials if t.method == "gnc" and t.guesses)
    assert f"effective sample size at least {least:,.0f}" in told
    assert "2 data sets: medians and quartiles over so few are rough" in told


@pytest.mark.parametrize(
    ("events", "signs", "seconds"),
    [
        ([], [], 0.0),
        ([(0, "started"), (5, "device"), (9, "finished")], [], 4.0),
        ([(0, "started"), (1, "queued"), (50, "device"), (60, "paused"), (90, "continued"), (95, "stopped")], [], 15.0),
        (
            [(0, "started"), (5, "device"), (8, "trial"), (100, "started"), (110, "device"), (111, "finished")],
            [12],
            8.0,
        ),
        ([(0, "started"), (5, "device")], [6, 7.5], 2.5),
    ],
    ids=["never begun", "whole", "queued and paused", "died and resumed", "still at work"],
)
def test_the_time_computed_leaves_out_what_was_no_computing(
    events: list[tuple[float, str]], signs: list[float], seconds: float
) -> None:
    assert computing_seconds([{"time": time, "event": kind} for time, kind in events], signs) == seconds


# --- runs that are not whole -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
def test_a_stored_run_of_every_format_has_a_report(version: int, tmp_path: Path) -> None:
    shutil.copytree(DATA / f"run-format-{version}", tmp_path / "old")
    run = RunDirectory.open(tmp_path / "old")
    page, _ = _texts(run)
    assert f"finished, {len(Contents(run).trials)} of {len(Contents(run).trials)} trials" in page.words
    assert "computed for" in page.words


def test_a_run_that_never_began_has_a_report() -> None:
    runs_directory().mkdir(parents=True)
    page, text = _texts(make_run(runs_directory() / "idle"))
    assert "No trial is done yet." in page.words
    assert "the run is interrupted: 0 of 12 trials are done" in page.words
    assert "0 of 12 trials" in text


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
def test_whatever_is_damaged_in_a_run_its_report_is_made_or_refused_with_a_sentence(
    seed: int, kinds: list[str], tmp_path: Path
) -> None:
    path = damaged_copy(DATA / "run-format-2", tmp_path / "run", seed, kinds)
    with suppress(RunError):
        _texts(RunDirectory.open(path))


# --- the command -----------------------------------------------------------------------------------------------------


def test_a_page_goes_where_it_is_asked_to(
    run: RunDirectory, mftui: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert mftui("report", "wide").stderr == "wrote wide.html\n"
    check((tmp_path / "wide.html").read_text(encoding="utf-8"))
    assert mftui("report", "wide", "--out", "mine.md").status == 0
    assert (tmp_path / "mine.md").read_text(encoding="utf-8").startswith("# Tiny\n")
    assert mftui("report", "wide", "--format", "md", "--out", "-").stdout.startswith("# Tiny\n")
    again = mftui("report", "wide")
    assert (again.status, again.stderr) == (2, "error: wide.html: is there already; --force replaces it\n")
    assert mftui("report", "wide", "--force").status == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["wide", "--format", "pdf"], "--format: expected one of html, md, got 'pdf'"),
        (["no-such-run"], "no-such-run: no such run"),
        (["wide", "--out", "no/folder/a.html"], "no/folder: can't be written to: "),
    ],
    ids=" ".join,
)
def test_what_can_not_be_done_is_one_line(arguments: list[str], told: str, run: RunDirectory, mftui: Command) -> None:
    ended = mftui("report", *arguments)
    assert (ended.status, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"error: {told}")
    assert len(ended.stderr.splitlines()) == 1
