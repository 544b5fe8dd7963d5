"""The benchmarks: one shape of rows, one command. What they measure is not asserted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mftui import benchmark
from mftui.benchmark import Row, Sheet
from mftui.cli.bench import script_names
from tests.commands import Command
from tests.runs import CEILING_SECONDS, wait_until

ROOT = Path(__file__).parent.parent
SCRIPTS = benchmark.scripts(ROOT / "benchmarks")
GOOD = Sheet(
    "good",
    "What is measured.",
    True,
    1.5,
    {"python": "3", "load_average": 0.25},
    (
        Row.of("three turns", [4.0, 2.0, 9.0], "×", against="a loop", at_least=5, note="a [note]"),
        Row("small", 0.125, "s", at_most=0.3),
        Row("on a GPU", None, note="there is none"),
    ),
)
PRINTS = "import json, sys\nassert '--json' in sys.argv\nprint(json.dumps({document!r}))\n"
HARNESS = f"""'''A fake.'''
import sys, time
sys.path.insert(0, {str(ROOT / "benchmarks")!r})
from _harness import arguments_of, run
from mftui.benchmark import Row
def rows(given):
    yield Row("the first", 1.0)
    {{then}}
    yield Row("the second", 2.0)
run(arguments_of(__doc__), rows)
"""


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of fake scripts in the place of the real ones."""
    place = tmp_path / "scripts"
    place.mkdir()
    (place / "good.py").write_text(PRINTS.format(document=GOOD.document()), encoding="utf-8")
    (place / "_helper.py").write_text("raise SystemExit('no script')", encoding="utf-8")
    monkeypatch.setattr(benchmark, "folder", lambda: place)
    return place


def test_what_a_script_found_survives_json() -> None:
    assert Sheet.from_document(json.loads(json.dumps(GOOD.document()))) == GOOD


@pytest.mark.parametrize("document", [{}, {**GOOD.document(), "rows": [{"name": "x"}]}, {"rows": []}], ids=str)
def test_what_is_no_sheet_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError)):
        Sheet.from_document(document)


def test_repetitions_come_to_their_median_and_range() -> None:
    assert (GOOD.rows[0].value, GOOD.rows[0].low, GOOD.rows[0].high) == (4.0, 2.0, 9.0)
    once = Row.of("once", [3.0], "s")
    assert (once.value, once.low, once.high) == (3.0, None, None)


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row("r", 2.0, at_least=2), True),
        (Row("r", 1.9, at_least=2), False),
        (Row("r", 2.0, at_most=2), True),
        (Row("r", 2.1, at_most=2), False),
        (Row("r", 2.0), None),
        (Row("r", None, at_most=2), None),
    ],
)
def test_a_target_is_met_or_missed_where_there_is_one_and_a_value(row: Row, met: bool | None) -> None:
    assert row.met is met


def test_bench_prints_a_table_on_stdout_and_progress_on_stderr(scripts: Path, mftui: Command) -> None:
    ended = mftui("bench", "--quick")
    assert ended.status == 0
    lines = {line.split()[0]: line for line in ended.stdout.splitlines() if line.strip() and line[:3].strip()}
    assert "load average 0.2 when it began" in lines["good:"]
    assert [*lines["three"].split()[2:]] == ["a", "loop", "4", "×", "2", "–", "9", "≥", "5", "missed"]
    assert lines["small"].split()[1:] == ["0.125", "s", "≤", "0.3", "met"]
    assert "three turns: a [note]" in ended.stdout
    assert "on a GPU: there is none" in ended.stdout
    assert "--quick: few repetitions" in ended.stdout
    assert ended.stderr == "1/1 good\n"


def test_bench_prints_json_and_writes_it_to_a_file_that_is_not_there_yet(
    scripts: Path, mftui: Command, tmp_path: Path
) -> None:
    out = tmp_path / "found.json"
    ended = mftui("bench", "--json", "--out", out)
    assert ended.status == 0
    (document,) = json.loads(ended.stdout)["benchmarks"]
    assert Sheet.from_document(document) == GOOD
    assert out.read_text(encoding="utf-8") == ended.stdout
    (scripts / "good.py").write_text("raise SystemExit('must not run')", encoding="utf-8")
    again = mftui("bench", "--out", out)
    assert (again.status, again.stdout) == (2, "")
    assert "--force" in again.stderr
    assert mftui("bench", "--out", tmp_path / "no" / "such.json").status == 2
    assert out.read_text(encoding="utf-8") == ended.stdout


@pytest.mark.parametrize("unknown", ["goood", "_helper", "other"])
def test_bench_refuses_a_benchmark_that_is_none(unknown: str, scripts: Path, mftui: Command) -> None:
    ended = mftui("bench", "--only", "good", "--only", unknown)
    assert (ended.status, ended.stdout) == (2, "")
    assert f"--only: expected one of good, got '{unknown}'" in ended.stderr
    assert ("did you mean 'good'?" in ended.stderr) == (unknown == "goood")


def test_the_shell_completes_the_names_of_benchmarks() -> None:
    assert script_names("sc") == ["scaling", "screen"]
    assert script_names("_") == []


def test_bench_runs_what_is_asked_for_only(scripts: Path, mftui: Command) -> None:
    (scripts / "bad.py").write_text("raise SystemExit(1)", encoding="utf-8")
    assert mftui("bench", "--only", "good").stderr == "1/1 good\n"


@pytest.mark.parametrize("text", ["import os; os._exit(3)", "print('no rows'); raise SystemExit(3)"])
def test_a_script_that_does_not_say_what_it_found_is_a_row_and_the_others_run(
    text: str, scripts: Path, mftui: Command
) -> None:
    (scripts / "bad.py").write_text(text, encoding="utf-8")
    ended = mftui("bench", "--json")
    assert ended.status == 1
    bad, good = map(Sheet.from_document, json.loads(ended.stdout)["benchmarks"])
    assert (bad.script, bad.rows[0].failed, good) == ("bad", True, GOOD)
    assert "exit status 3" in bad.rows[0].note


@pytest.mark.slow
def test_rows_measured_before_an_error_are_kept_and_the_error_is_one(scripts: Path, mftui: Command) -> None:
    (scripts / "half.py").write_text(HARNESS.format(then="raise RuntimeError('too little')"), encoding="utf-8")
    ended = mftui("bench", "--only", "half")
    assert ended.status == 1
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert ["the", "first", "1"] in lines
    assert ["the", "rest", "of", "this", "script", "failed"] in lines
    assert ["the", "rest", "of", "this", "script:", "RuntimeError:", "too", "little"] in lines
    assert "Traceback" in ended.stderr


@pytest.mark.slow
def test_ctrl_c_stops_the_script_and_prints_what_there_is(scripts: Path, tmp_path: Path) -> None:
    (scripts / "half.py").write_text(HARNESS.format(then="time.sleep(600)"), encoding="utf-8")
    command = (
        "import pathlib, signal, sys; from mftui import benchmark; from mftui.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background inherits ignored\n"
        f"benchmark.folder = lambda: pathlib.Path({str(scripts)!r}); sys.argv[1:] = ['bench', '--json']; main()"
    )
    said = tmp_path / "said"
    with said.open("wb") as errors:
        process = subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        wait_until(lambda: "the first" in said.read_text(encoding="utf-8"), "the first row")
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=CEILING_SECONDS)
    finally:
        process.kill()
        process.wait()
    good, half = map(Sheet.from_document, json.loads(stdout)["benchmarks"])
    assert process.returncode == 130
    assert good == GOOD
    assert [row.name for row in half.rows] == ["the first"]
    assert {"python", "torch", "cores", "device_name", "cuda_devices", "load_average"} <= set(half.environment)


HELP = """
import contextlib, io, json, runpy, sys
from pathlib import Path
said = {}
sys.path.insert(0, sys.argv[1])
for script in sys.argv[2:]:
    sys.argv = [script, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        runpy.run_path(str(Path(sys.path[0]) / f"{script}.py"), run_name="__main__")
    said[script] = out.getvalue()
print(json.dumps(said))
"""


@pytest.mark.slow
def test_every_script_says_what_it_measures_and_can_be_quick_and_print_json() -> None:
    command = [sys.executable, "-c", HELP, str(ROOT / "benchmarks"), *SCRIPTS]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    for script, help_text in json.loads(ended.stdout).items():
        assert {"--quick", "--json"} <= set(help_text.replace("]", " ").replace("[", " ").split()), script
        assert f"python benchmarks/{script}.py" in help_text, script


FIRST_ROWS = """
import importlib, json, sys
from argparse import Namespace
sys.path.insert(0, sys.argv[1])
small = {"canvas": {}, "descent": {}, "scaling": {"repetitions": 3}, "startup": {}, "store": {"rows": 2_000}}
firsts = {name: next(importlib.import_module(name).rows(Namespace(quick=True, **more))) for name, more in small.items()}
print(json.dumps({name: [row.name, row.value, row.note] for name, row in firsts.items()}))
"""


@pytest.mark.slow
def test_the_cheap_scripts_measure_something() -> None:
    command = [sys.executable, "-c", FIRST_ROWS, str(ROOT / "benchmarks")]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr
    rows = json.loads(ended.stdout)
    assert all(value > 0 for _, value, _ in rows.values())
    assert rows["scaling"][0].endswith("16 to 256: exponent")
    assert "at 256 limited by" in rows["scaling"][2]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_benchmark_is_documented(script: str) -> None:
    assert f"\n## {script}\n" in (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
