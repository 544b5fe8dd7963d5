"""Runs and presets as files: what is in them, where they go, and that what is made from them is the same again."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.runs.catalog import RunError, runs_directory
from engine.runs.directory import RunDirectory
from engine.runs.files import from_json, to_json
from engine.spec import preset
from engine.spec.settings import METHODS
from mftui.cli import app
from mftui.cli.export import tables
from mftui.cli.options import overrides, preset_names
from mftui.export.contents import Contents
from mftui.export.formats import as_csv, as_json, as_npz, as_parquet, preset_files, table_files
from mftui.export.tables import RESULTS, names, table
from tests.commands import Command, terminal
from tests.lab import computed, finished_run
from tests.runs import CEILING_SECONDS, TINY, make_run, results_of, tables_of, wait_until
from tests.test_harm import KINDS, damaged_copy

DATA = Path(__file__).parent / "data"
SMALL = ["gnc.draws=5000", "gnc.prior_draws=500"]


@pytest.fixture(scope="module")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, to be copied."""
    return finished_run("wide", *SMALL, folder=tmp_path_factory.mktemp("runs")).path


@pytest.fixture
def run(_finished: Path) -> RunDirectory:
    """Two widths, two data sets, three methods, finished, where runs go."""
    shutil.copytree(_finished, runs_directory() / "wide")
    return RunDirectory.open(runs_directory() / "wide")


def _idle(name: str, text: str = TINY) -> RunDirectory:
    """A run that never began, where runs go."""
    runs_directory().mkdir(parents=True, exist_ok=True)
    return make_run(runs_directory() / name, text=text)


def _append(run: RunDirectory, **event: object) -> None:
    with (run.path / "events-0000-0001.jsonl").open("a", encoding="utf-8") as file:
        file.write(to_json({"time": 2e9, **event}) + "\n")


# --- the preset ------------------------------------------------------------------------------------------------------

RATINGS = (
    'methods = ["gd"]\nseeds = 2\n[problem]\nkind = "ratings"\npath = "r.csv"\ntest_fraction = 0.4\n[gd]\nsteps = 60\n'
)
PROBLEM_FILES = """
methods = ["gd", "gnc"]
[problem]
kind = "file"
[gd]
steps = 60
[gnc]
sampler = "rejection"
eps_train = 10.0
draws = 1000
[sweep]
over = "problem.path"
values = ["one.npz", "other.npz"]
"""


def _data_files(folder: Path) -> None:
    (folder / "r.csv").write_text("0,0,4\n0,1,2.5\n2,0,1\n1,2,5\n1,0,3\n2,2,2\n", encoding="utf-8")
    rng = np.random.default_rng(0)
    for name in ("one", "other"):
        arrays = {"A": rng.normal(size=(3, 2, 2)), "y": rng.normal(size=3), "W_star": rng.normal(size=(2, 2))}
        np.savez(folder / f"{name}.npz", **arrays)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "changes"),
    [
        (TINY, overrides(["model.width=[3,4]", "gnc.eps_train=.2", "gd.init=gaussian"], 7)),
        (RATINGS, overrides(None, 3)),
        (PROBLEM_FILES, []),
    ],
    ids=["overrides-and-seed", "ratings", "problem-files"],
)
def test_the_exported_preset_gives_the_same_bits_anywhere_else(
    text: str, changes: list[str], mftui: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    _data_files(here)
    first = computed(make_run(here / "first", *changes, text=text))
    rows, results = tables_of(first), results_of(first)
    assert mftui("export", first.path, "--format", "toml", "--out", f"{elsewhere}/").status == 0
    shutil.rmtree(here)
    monkeypatch.setenv("MFTUI_HOME", str(tmp_path / "other home"))
    monkeypatch.chdir(elsewhere)
    second = computed(RunDirectory.create(preset.load("first.toml"), "cpu", tmp_path / "second"))
    again = results_of(second)
    assert tables_of(second) == rows
    assert any(rows.values())
    assert again["trials"] == results["trials"]
    assert [row["generalization_loss"] for row in again["summary"]] == [
        row["generalization_loss"] for row in results["summary"]
    ]


def test_a_preset_on_stdout_is_that_of_the_run_and_says_what_its_numbers_depend_on(
    run: RunDirectory, mftui: Command
) -> None:
    ended = mftui("export", "wide")
    assert (ended.status, ended.stderr) == (0, "")
    assert preset.parse(ended.stdout, "again").points == run.experiment.points
    heading = [line for line in ended.stdout.splitlines() if line.startswith("#")]
    versions = Contents(run).environments[0]
    assert heading[0].startswith("# The preset of the run wide")
    assert f"torch {versions['torch']}" in heading[1]
    assert str(versions["host"]) not in heading[1].split()


def test_an_exported_preset_leaves_no_default_and_no_seed_to_the_version_that_reads_it(
    run: RunDirectory, mftui: Command
) -> None:
    text = mftui("export", "wide").stdout
    written = tomllib.loads(text)
    point = run.experiment.points[0].model_dump()
    assert written["seeds"] == run.experiment.seeds
    for key in ("problem.seed", "problem.norm", "model.activation", "gd.dtype", "gnc.scaling", "gnc.mode"):
        section, name = key.split(".")
        assert written[section][name] == point[section][name], key
    assert "first_index" not in written["problem"], "only ratings have it"
    assert f"mftui {Contents(run).environments[0]['mftui']}" in text.splitlines()[1]


def test_a_learning_rate_set_in_flight_is_told_beside_the_preset(run: RunDirectory, mftui: Command) -> None:
    _append(run, event="learning_rate", step=100, value=0.025)
    ended = mftui("export", "wide")
    assert "note: the learning rate was set to 0.025 in flight, from step 100 on" in ended.stderr
    assert "# But: the learning rate was set to 0.025" in ended.stdout


def test_data_files_that_stay_where_they_are_are_told(mftui: Command, tmp_path: Path) -> None:
    _data_files(tmp_path)
    _idle("r", f'methods = ["gd"]\n[problem]\nkind = "ratings"\npath = "{tmp_path}/r.csv"')
    ended = mftui("export", "r")
    assert "note: the preset names data files inside the run's folder; --out DIR copies them" in ended.stderr
    own = RunDirectory.open(runs_directory() / "r").experiment
    assert preset.parse(ended.stdout, "again").points == own.points


# --- tables ----------------------------------------------------------------------------------------------------------


def test_a_table_as_csv_holds_every_logged_number(run: RunDirectory, mftui: Command) -> None:
    ended = mftui("export", "wide", "--format", "csv", "--table", "guesses")
    rows = list(csv.DictReader(io.StringIO(ended.stdout)))
    stored = run.reader().rows("guesses")
    assert len(rows) == len(stored) > 0
    for row, values in zip(rows, stored.tolist(), strict=True):
        assert list(row) == list(run.tables["guesses"])
        assert row["method"] == METHODS[int(values[1])]
        assert row["draws"] == str(int(values[3]))
        assert float(row["best_training_loss"]) == values[5]


@pytest.mark.parametrize("name", [RESULTS, "gd", "diagnostics", "guesses", "samples", "matrices", "theory"])
def test_parquet_and_npz_hold_the_numbers_of_the_csv(name: str, run: RunDirectory) -> None:
    contents = Contents(run)
    rows = list(csv.reader(io.StringIO(as_csv(table(contents, name)).decode())))
    written = pyarrow.parquet.read_table(io.BytesIO(as_parquet(table(contents, name))))
    assert written.column_names == rows[0]
    columns = [column.to_pylist() for column in written.columns]
    assert [["" if value is None else str(value) for value in row] for row in zip(*columns, strict=True)] == rows[1:]
    with np.load(io.BytesIO(as_npz(contents)), allow_pickle=False) as archive:
        for index, column in enumerate(rows[0]):
            values = archive[f"{name}/{column}"]
            assert values.dtype.kind in "ifU"
            for value, cell in zip(values.tolist(), [row[index] for row in rows[1:]], strict=True):
                if isinstance(value, str):
                    assert value == cell
                elif cell in ("True", "False"):
                    assert value == (cell == "True")
                else:
                    assert (value != value) if cell == "" else value == float(cell)


def test_numpy_finds_everything_without_pickles(run: RunDirectory, mftui: Command, tmp_path: Path) -> None:
    assert mftui("export", "wide", "--format", "npz", "--out", tmp_path).status == 0
    with np.load(tmp_path / "wide.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    assert {array.dtype.kind for array in arrays.values()} <= set("ifU")
    matrices = arrays["sample/0000-gnc-0/matrices"]
    assert matrices.shape == (len(arrays["sample/0000-gnc-0/log_weight"]), 25)
    assert np.linalg.norm(arrays["truth/0000-0/matrix"]) == pytest.approx(1.0)
    assert preset.parse(str(arrays["spec"]), "again").points == run.experiment.points


def test_json_holds_everything(run: RunDirectory, mftui: Command) -> None:
    ended = mftui("export", "wide", "--format", "json")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    document = json.loads(ended.stdout, parse_constant=refuse)
    stored = {**json.loads((run.path / "results.json").read_text()), "run": str(run.path)}
    assert {key: document[key] for key in stored} == stored
    assert set(document["tables"]) == set(run.tables)
    assert document["tables"]["gd"]["step"] == run.reader().rows("gd")[:, 2].tolist()
    assert preset.parse(document["spec"], "again").points == run.experiment.points
    assert document["environments"][0]["torch"]
    assert document["state"] == "finished"


def test_swept_words_and_measured_laws_have_columns_of_their_own(tmp_path: Path) -> None:
    text = 'methods = ["prior"]\n[gnc]\nmeasure_laws = true\nprior_draws = 500\n[model]\ndepth = 3\n'
    text += '[sweep]\nover = "model.activation"\nvalues = ["linear", "tanh"]\n'
    found = table(Contents(computed(make_run(tmp_path / "laws", text=text))), RESULTS)
    assert found["value"].cells() == ["linear", "tanh"]
    assert all(value is not None and value > 0 for value in found["excess_kurtosis_standard_error"].cells())


# --- runs that are not whole -----------------------------------------------------------------------------------------


def _everything(contents: Contents) -> Iterator[bytes]:
    yield from preset_files(contents.experiment, "a.toml").values()
    for form in ("csv", "parquet"):
        yield from table_files(contents, form, names(contents), "a").values()
    yield as_json(contents)
    yield as_npz(contents)


@pytest.mark.parametrize("version", [1, 2])
def test_a_stored_run_of_every_format_is_exported_in_every_format(version: int, tmp_path: Path) -> None:
    shutil.copytree(DATA / f"run-format-{version}", tmp_path / "old")
    contents = Contents(RunDirectory.open(tmp_path / "old"))
    assert all(map(len, _everything(contents)))
    assert contents.gaps() == []
    stored = from_json((tmp_path / "old" / "results.json").read_bytes())["trials"]
    losses = table(contents, RESULTS)["generalization_loss"].cells()
    assert losses == [trial["generalization_loss"] for trial in stored]


def test_a_run_that_never_began_is_exported_with_a_note(mftui: Command) -> None:
    _idle("idle")
    for form in ("csv", "json"):
        ended = mftui("export", "idle", "--format", form)
        assert ended.status == 0
        assert ended.stderr == "note: the run is interrupted: 0 of 12 trials are done\n"
        assert ended.stdout


def test_a_damaged_table_is_exported_up_to_the_damage_with_a_note(run: RunDirectory, mftui: Command) -> None:
    (file,) = run.path.glob("gd-*.rec")
    content = bytearray(file.read_bytes())
    stride = 8 * len(run.tables["gd"]) + 8
    content[2 * stride + 3] ^= 1
    file.write_bytes(content)
    ended = mftui("export", "wide", "--format", "csv", "--table", "gd")
    assert len(ended.stdout.splitlines()) == 1 + 2
    assert f"note: {file.name} is damaged at byte {2 * stride}" in ended.stderr.replace(",", "")


def test_a_trial_of_nonsense_is_left_out_with_a_note(run: RunDirectory, mftui: Command) -> None:
    whole = mftui("export", "wide", "--format", "csv").stdout
    for file in run.path.glob("events-*.jsonl"):
        trial = next((line for line in file.read_text().splitlines() if '"event": "trial"' in line), None)
        if trial is not None:
            file.write_text(file.read_text().replace(trial, trial.replace('"seed": ', '"seed": -1')))
    ended = mftui("export", "wide", "--format", "csv")
    left_out = len(whole.splitlines()) - len(ended.stdout.splitlines())
    assert left_out > 0
    assert f"damaged events: {left_out} left out" in ended.stderr


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
def test_whatever_is_damaged_in_a_run_it_is_exported_or_refused_with_a_sentence(
    seed: int, kinds: list[str], tmp_path: Path
) -> None:
    path = damaged_copy(DATA / "run-format-2", tmp_path / "run", seed, kinds)
    with suppress(RunError):
        contents = Contents(RunDirectory.open(path))
        assert all(isinstance(content, bytes) for content in _everything(contents))
        contents.gaps()
        contents.departures()


# --- where it goes ---------------------------------------------------------------------------------------------------


def test_without_a_place_texts_go_to_stdout_and_binaries_to_a_file_here(
    run: RunDirectory, mftui: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    for form in ("toml", "csv", "json"):
        assert mftui("export", "wide", "--format", form).stdout
    assert set(tmp_path.iterdir()) == before
    for form, file in (("npz", "wide.npz"), ("parquet", "wide-results.parquet")):
        ended = mftui("export", "wide", "--format", form)
        assert (ended.status, ended.stdout, ended.stderr) == (0, "", f"wrote {file}\n")
        os.umask(umask := os.umask(0))
        assert (tmp_path / file).stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_folder_takes_all_tables(form: str, run: RunDirectory, mftui: Command, tmp_path: Path) -> None:
    assert mftui("export", "wide", "--format", form, "--out", f"{tmp_path}/new/").status == 0
    written = {file.name for file in (tmp_path / "new").iterdir()}
    assert written == {f"wide-{name}.{form}" for name in (RESULTS, *run.tables)}


def test_the_ending_of_a_file_says_the_format_and_what_is_there_is_replaced_only_if_asked(
    run: RunDirectory, mftui: Command, tmp_path: Path
) -> None:
    file = tmp_path / "mine.npz"
    file.write_text("mine")
    ended = mftui("export", "wide", "--out", file)
    assert (ended.status, ended.stderr) == (2, f"error: {file}: is there already; --force replaces it\n")
    assert file.read_text() == "mine"
    assert mftui("export", "wide", "--out", file, "--force").status == 0
    with np.load(file, allow_pickle=False) as archive:
        assert "gd/step" in archive.files


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--out", "all.xls"],
            "--out, the name's ending: expected one of toml, csv, json, npz, parquet, got 'xls'",
        ),
        (
            ["--format", "jsn"],
            "--format: expected one of toml, csv, json, npz, parquet, got 'jsn' (did you mean 'json'?)",
        ),
        (["--format", "csv", "--table", "gdd"], "--table: expected one of results, gd, "),
        (["--format", "npz", "--table", "gd"], "--table: expected with csv or parquet"),
        (["--out", "/dev/null"], "--out /dev/null: expected a file, a folder or -, got something else"),
        (["--out", ""], "--out: expected a file, a folder or -, got ''"),
        (["--out", "no/such/folder/a.toml"], "no/such/folder: can't be written to: No such file or directory"),
        (["--out", "file/a.toml"], "file: can't be written to: Not a directory"),
        (["--out", "file/"], "file: can't be written to: "),
    ],
    ids=" ".join,
)
def test_what_can_not_be_done_is_one_line_and_nothing_is_written(
    arguments: list[str], told: str, run: RunDirectory, mftui: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    ended = mftui("export", "wide", *arguments)
    assert (ended.status, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"error: {told}")
    assert len(ended.stderr.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"file", "home"}


@pytest.mark.slow
def test_binaries_are_not_written_to_a_terminal(run: RunDirectory) -> None:
    with terminal("export", "wide", "--format", "npz", "--out", "-") as opened:
        wait_until(lambda: opened.read() and opened.process.poll() is not None, "the refusal")
        assert opened.process.wait(CEILING_SECONDS) == 2
        assert "--out FILE writes it to a file" in opened.read()


def test_without_pyarrow_parquet_says_what_to_install(
    run: RunDirectory, mftui: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    ended = mftui("export", "wide", "--format", "parquet")
    assert ended.status == 2
    assert "pip install 'mftui[parquet]'" in ended.stderr


def test_the_shell_completes_tables_of_the_run(run: RunDirectory) -> None:
    context = typer.Context(typer.main.get_command(app))
    context.args = ["wide"]  # as the shell's completion leaves what it has read so far
    assert tables(context, "g") == ["gd", "guesses"]
    context.args = []
    assert tables(context, "g") == []


# --- presets ---------------------------------------------------------------------------------------------------------


def _write_own(name: str, text: str) -> Path:
    preset.own_directory().mkdir(parents=True, exist_ok=True)
    path = preset.own_directory() / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_own_presets_are_listed_and_completed_and_a_broken_one_says_why(mftui: Command) -> None:
    _write_own("mine", 'extends = "quick-start"\ntitle = "My own"')
    _write_own("broken", "[model]\nwidth = 0")
    listed = dict(line.split(maxsplit=1) for line in mftui("presets", "list").stdout.splitlines())
    assert listed["mine"] == "(yours) My own"
    assert listed["broken"].startswith("(yours) can't run: ")
    assert listed["quick-start"] == preset.load("quick-start").title
    assert preset_names("mi") == ["mine"]
    assert "quick-start" in preset_names("")


@pytest.mark.parametrize("name", ["arora-2019-completion-1e-4", "mine"])
def test_an_exported_preset_stands_alone(name: str, mftui: Command, tmp_path: Path) -> None:
    own = _write_own("mine", 'extends = "quick-start"\ntitle = "My own"')
    experiment, file = preset.load(name), tmp_path / "copy.toml"
    assert preset.parse(mftui("presets", "export", name).stdout, "copy").points == experiment.points
    assert mftui("presets", "export", name, file).status == 0
    own.unlink()
    assert "extends" not in file.read_text()
    again = preset.load(file)
    assert (again.points, again.seeds, again.methods, again.title, again.about) == (
        experiment.points,
        experiment.seeds,
        experiment.methods,
        experiment.title,
        experiment.about,
    )


def test_an_exported_preset_takes_its_data_files_with_it(mftui: Command, tmp_path: Path) -> None:
    assert "note: the preset names data files by where they lie" in mftui("presets", "export", "film-ratings").stderr
    assert mftui("presets", "export", "film-ratings", tmp_path).status == 0
    problem = preset.load(tmp_path / "film-ratings.toml").points[0].problem
    shipped = preset.load("film-ratings").points[0].problem
    for copy, original in ((problem.path, shipped.path), (problem.test_path, shipped.test_path)):
        assert Path(copy).parent == tmp_path
        assert Path(copy).read_bytes() == Path(original).read_bytes()
