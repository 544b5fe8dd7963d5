from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.runs.catalog import runs_directory
from engine.runs.control import ask
from engine.runs.directory import RunDirectory
from engine.spec import preset
from engine.spec.settings import METHOD_LABELS
from mftui.cli import app
from mftui.tour import pages
from tests.commands import CLI, Command, Ended, tiny
from tests.runs import CEILING_SECONDS, LONG, wait_until

pytestmark = pytest.mark.slow

# --- running to the end ----------------------------------------------------------------------------------------------


def test_json_is_the_one_document_on_stdout_and_progress_goes_to_stderr(mftui: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--json", "--seed", "3", "--set", "seeds=1", "--set", "gnc.prior=uniform", "--out", out]
    ended = mftui("run", tiny(tmp_path), *arguments)
    assert ended.status == 0
    document = json.loads(ended.stdout)
    assert (document["state"], document["run"], document["over"]) == ("finished", str(out), "model.width")
    assert [point["label"] for point in document["points"]] == ["width 3", "width 6"]
    assert {point["gnc"]["prior"] for point in document["points"]} == {"uniform"}
    assert {point["problem"]["seed"] for point in document["points"]} == {3}
    assert [(trial["point"], trial["method"], trial["seed"]) for trial in document["trials"]] == [
        (point, method, 3) for point in (0, 1) for method in ("gd", "prior", "gnc")
    ]
    assert {key: value for key, value in document.items() if key != "state"} == json.loads(
        (out / "results.json").read_text(encoding="utf-8")
    )
    lines = ended.stderr.splitlines()
    assert sorted(re.sub(r": L_gen \S+$", "", line) for line in lines[:-1]) == sorted(
        f"width {width}, {method}, seed 3" for width in (3, 6) for method in ("GD", "Prior", "G&C")
    )
    assert lines[-1] == f"run: {out}"


def _rows(table: str) -> list[list[str]]:
    """The cells of a results table with a swept field: columns are two spaces or more apart."""
    lines = [re.split(r" {2,}", line.strip()) for line in table.splitlines()]
    return [cells for cells in lines if len(cells) > 1 and cells[1] in METHOD_LABELS.values()]


def test_the_table_has_a_row_per_point_and_method_and_quiet_leaves_stderr_to_the_runs_place(
    mftui: Command, tmp_path: Path
) -> None:
    ended = mftui("run", tiny(tmp_path), "--quiet")
    assert ended.status == 0
    rows = _rows(ended.stdout)
    assert [row[:2] for row in rows] == [[width, method] for width in "36" for method in ("GD", "Prior", "G&C")]
    assert all(float(row[2]) > 0 and row[-1] == "2" for row in rows)
    assert all(re.fullmatch(r"-\d\.\d\d \[-\d\.\d\d, -\d\.\d\d\]", row[5]) for row in rows[2::3])
    (run,) = runs_directory().iterdir()
    assert ended.stderr == f"run: {run}\n"
    assert run.name.startswith("tiny-")


def test_no_hits_and_divergence_are_remarks_with_advice_not_numbers(mftui: Command, tmp_path: Path) -> None:
    overrides = ["gnc.eps_train=1e-12", "gd.learning_rate=1e6", "model.width=3", "seeds=1"]
    ended = mftui("run", tiny(tmp_path), "--quiet", *(word for text in overrides for word in ("--set", text)))
    assert ended.status == 0
    rows = {cells[1]: cells[2:] for cells in _rows(ended.stdout)}
    assert rows["GD"] == ["–", "–", "–", "–", "0"]
    assert rows["G&C"][:3] == ["–", "–", "–"]
    assert re.fullmatch(r"< -\d\.\d", rows["G&C"][3])
    assert rows["G&C"][4] == "0"
    assert float(rows["Prior"][0]) > 0
    diverged, no_hits, _ = ended.stderr.splitlines()
    assert diverged.startswith("width 3, GD: seed 0: gradient descent diverged")
    assert "learning rate 1e+06" in diverged
    assert "try a smaller gd.learning_rate" in diverged
    assert no_hits.startswith("width 3, G&C: seed 0: none of 20,000 guesses fit")
    assert "the best training loss was" in no_hits
    assert "raise" in no_hits


# --- stopping and going on -------------------------------------------------------------------------------------------


def hold_after_a_trial() -> None:
    """Pause the only run once it has a finished trial, so that it is at work however late what comes next is."""

    def has_a_trial() -> bool:
        runs = list(runs_directory().glob("*/events-run-*.jsonl"))
        return any(
            event["event"] == "trial" for run in runs for event in RunDirectory.open(run.parent).reader().events()
        )

    wait_until(has_a_trial, "a finished trial")
    (run,) = runs_directory().iterdir()
    ask(run, "pause")


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(mftui: Command, tmp_path: Path) -> None:
    file = tiny(tmp_path)
    slow = ["--set", "model.width=3", "--set", "gnc.draws=4_000_000"]
    with subprocess.Popen(
        [*CLI, "run", str(file), *slow], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        hold_after_a_trial()
        first = process.stderr.readline()
        assert "seed 0" in first, first
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=CEILING_SECONDS)
    assert process.returncode == 130
    assert "L_gen" in stdout
    assert "Traceback" not in stderr
    (run,) = runs_directory().iterdir()
    match = re.fullmatch(
        r"stopped, (\d) finished trials? kept; go on with: mftui resume (\S+)", stderr.splitlines()[-1]
    )
    assert match
    kept = int(match[1])
    assert 1 <= kept < 6
    assert match[2] == run.name
    assert RunDirectory.open(run).worker() is None

    ended = mftui("resume", run.name, "--json", "--quiet")
    assert ended.status == 0
    document = json.loads(ended.stdout)
    assert (document["state"], len(document["trials"])) == ("finished", 6)
    assert len(list(run.glob("events-run-*.jsonl"))) == 2


def test_a_run_that_is_going_on_elsewhere_is_not_resumed(mftui: Command, tmp_path: Path) -> None:
    run = RunDirectory.create(preset.load(tiny(tmp_path), LONG), "cpu", tmp_path / "run")
    hold = "import sys; from engine.runs.catalog import hold; from pathlib import Path\n"
    hold += "held = hold(Path(sys.argv[1])); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-P", "-c", hold, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        wait_until(run.worker, "the lock")
        ended = mftui("resume", run.path)
        assert (ended.status, ended.stdout) == (2, "")
        assert ended.stderr == f"error: run: already running, held by process {holder.pid}\n"
        holder.communicate()
    assert holder.returncode == 0


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "problem.rank=6"], "problem.rank: expected an integer ≤ min(rows, columns) = 5, got 6"),
        (["--set", "problem.measurements=26"], "problem.measurements: expected an integer < rows × columns = 25"),
        (["--set", "gnc.eps_train=0"], "gnc.eps_train: expected a number > 0, got 0"),
        (["--set", "gnc.eps_train=-0.1"], "gnc.eps_train: expected a number > 0, got -0.1"),
        (["--set", "model.width=0"], "model.width: expected an integer ≥ 1"),
        (["--set", "model.depth=0"], "model.depth: expected an integer ≥ 1"),
        (["--set", "model.depth=two"], "model.depth: expected an integer ≥ 1 and ≤ 1000, got 'two'"),
        (["--set", "model.widht=3"], "got 'widht' (did you mean 'width'?)"),
        (["--set", "gnc.prior=gausian"], "(did you mean 'gaussian'?)"),
        (["--set", "model.width"], "expected section.field=value"),
        (["--set", "problem.seed=-1"], "problem.seed: expected an integer ≥ 0"),
    ],
)
def test_a_bad_setting_is_one_line_naming_it_and_nothing_is_written(
    arguments: list[str], message: str, mftui: Command, tmp_path: Path
) -> None:
    ended = mftui("run", "quick-start", *arguments)
    _is_refused(ended, message)
    assert ended.stderr.startswith(f"error: --set {arguments[1]}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("quikstart", "quikstart: no such preset or file (did you mean 'quick-start'?); `mftui presets` lists"),
        ("missing.toml", "missing.toml: can't be read: No such file or directory"),
        ("folder.toml", "folder.toml: can't be read: Is a directory"),
        ("binary.toml", "binary.toml: expected UTF-8 text"),
        ("broken.toml", "broken.toml: not valid TOML"),
        ("bad.toml", "bad.toml: model.width: expected an integer ≥ 1"),
    ],
)
@pytest.mark.parametrize("command", [["run"], ["explore"], ["presets", "show"]])
def test_a_preset_that_cannot_be_had_is_one_line_naming_it_and_nothing_is_written(
    command: list[str], name: str, message: str, mftui: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "broken.toml").write_text("[model", encoding="utf-8")
    (tmp_path / "bad.toml").write_text("[model]\nwidth = 0", encoding="utf-8")
    ended = mftui(*command, name)
    _is_refused(ended, message)
    assert ended.stderr.startswith(f"error: {message}")


def _is_refused(ended: Ended, message: str) -> None:
    assert ended.status == 2
    assert ended.stdout == ""
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not runs_directory().exists()


def test_a_device_that_is_not_there_is_one_line_naming_it_and_nothing_is_written(
    mftui: Command, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ended = mftui("run", tiny(tmp_path), "--device", "cuda:99", "--out", out)
    _is_refused(ended, "error: --device cuda:99: ")
    assert not out.exists()


def test_a_run_whose_job_is_refused_leaves_none(mftui: Command, tmp_path: Path) -> None:
    ended = mftui("run", tiny(tmp_path), "--cluster", "pbs")
    assert (ended.status, ended.stderr) == (2, "error: --cluster: expected slurm or local, got 'pbs'\n")
    assert list(runs_directory().iterdir()) == []


def test_a_run_is_not_put_into_a_directory_with_files(mftui: Command, tmp_path: Path) -> None:
    file = tiny(tmp_path)
    ended = mftui("run", file, "--out", tmp_path)
    _is_refused(ended, f"{tmp_path}: expected an empty or new directory for the run, it holds files")
    assert list(tmp_path.iterdir()) == [file]


def test_every_defect_has_a_line_of_its_own(mftui: Command) -> None:
    ended = mftui("run", "quick-start", "--set", "model.width=0", "--set", "gnc.eps_train=0")
    assert ended.status == 2
    assert [line.split(":")[0] for line in ended.stderr.splitlines()] == ["error", "error"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no run here"), (b"[1]", "the run's spec is damaged"), (b"\xff", "the run's spec is damaged")],
)
def test_a_run_that_cannot_be_read_is_not_resumed(
    content: bytes | None, message: str, mftui: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    if content is not None:
        run.mkdir()
        (run / "run.json").write_bytes(content)
    _is_refused(mftui("resume", run), f"error: {run}: {message}")


@pytest.mark.parametrize(
    "arguments", [["run"], ["run", "quick-start", "--sead", "3"], ["run", "quick-start", "--seed", "-1"], ["rnu"]]
)
def test_a_wrong_command_line_is_explained_without_a_traceback(arguments: list[str], mftui: Command) -> None:
    ended = mftui(*arguments)
    assert (ended.status, ended.stdout) == (2, "")
    assert "error: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_worker_that_cannot_store_the_run_is_a_failure_that_says_how_to_go_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    limited = "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
    limited += "runpy.run_module('mftui.cli', run_name='__main__')"
    ended = subprocess.run(
        [sys.executable, "-P", "-c", limited, "run", str(tiny(tmp_path)), "--out", str(out), "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    error, advice = ended.stderr.splitlines()
    assert error == f"error: nothing more could be stored in {out}: the disk is full, or a quota is"
    when = r"interrupted at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.fullmatch(rf"\d finished trials? kept; {when}, resume with: mftui resume {re.escape(str(out))}", advice)


# --- the other commands ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "name"),
    [([], "quick-start"), (["explore"], "quick-start"), (["explore", "width-linear"], "width-linear")],
)
def test_the_explorer_without_a_terminal_says_what_to_do_instead(arguments: list[str], name: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stderr == f"error: the explorer needs a terminal; without one: mftui run {name}\n"


@pytest.mark.parametrize("arguments", [["presets"], ["presets", "list"]])
def test_the_shipped_presets_are_listed_with_their_titles(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    listed = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    assert listed == [[name, preset.load(name).title] for name in preset.shipped()]
    assert {"quick-start", "incremental-learning", "width-linear", "depth-linear"} <= {name for name, _ in listed}


def test_presets_to_begin_with_come_first_the_tours_in_the_order_of_its_pages() -> None:
    first = ["quick-start", *(page.preset for page in pages())]
    assert preset.shipped() == [*first, *sorted(set(preset.shipped()) - set(first))]


@pytest.mark.parametrize("command", ["run", "explain", "explore"])
def test_a_figures_name_in_place_of_a_presets_is_told_what_draws_it(command: str, mftui: Command) -> None:
    ended = mftui(command, "alexander-2025-1")
    assert ended.status == 2
    assert "alexander-2025-1: is a figure, not a preset; `mftui figure alexander-2025-1` draws it" in ended.stderr


@pytest.mark.parametrize("name", preset.shipped())
def test_a_shown_preset_is_a_valid_preset(name: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["presets", "show", name])
    assert result.exit_code == 0
    assert preset.parse(result.stdout, name) == preset.load(name)


def test_validating_names_the_good_files_and_every_defect_of_the_others(mftui: Command, tmp_path: Path) -> None:
    good = tiny(tmp_path)
    bad = tmp_path / "bad.toml"
    bad.write_text("[model]\nwidth = 0\ndepth = 0", encoding="utf-8")
    ended = mftui("presets", "validate", good, bad)
    assert ended.status == 2
    assert ended.stdout == f"{good}: valid (2 sweep points, 2 seeds)\n"
    assert [line.split(": expected")[0] for line in ended.stderr.splitlines()] == [
        f"error: {bad}: model.depth",
        f"error: {bad}: model.width",
    ]
    assert mftui("presets", "validate", good).status == 0


def test_the_version_is_the_installed_one(mftui: Command) -> None:
    assert mftui("--version") == Ended(0, f"mftui {version('mftui')}\n", "")


@pytest.mark.parametrize("command", ["run", "attach", "resume", "runs", "queue", "explore", "presets", "doctor"])
def test_every_command_has_a_line_of_help(command: str) -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert re.search(rf"^\s+{command}\s+\S+ \S+", result.stdout, re.MULTILINE)


def test_the_doctor_names_versions_devices_and_where_runs_go(
    mftui: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MFTUI_HOME", "[bold]home")  # relative, and not to be taken for markup
    ended = mftui("doctor")
    assert (ended.status, ended.stderr) == (0, "")
    for package in ("mftui", "torch", "textual", "rich", "plotext", "numpy"):
        assert re.search(rf"^{package} +{re.escape(version(package))}", ended.stdout, re.MULTILINE)
    for row in ("python", "cores", "memory", "cpu", "torch build", "cuda devices", "engine start", "terminal", "runs"):
        assert re.search(rf"^{row}  ", ended.stdout, re.MULTILINE)
    assert "[bold]home/runs" in ended.stdout.replace("\n", "")
    assert "advice:" in ended.stdout or "nothing to complain about" in ended.stdout
    assert not Path("[bold]home").exists()
    assert os.listdir(tmp_path) == []
