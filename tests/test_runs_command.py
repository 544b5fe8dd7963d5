"""`mftui runs`, `queue`, `attach` and `run --detach`: real workers, terminals that close, names that try things."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.runs import catalog
from engine.runs.catalog import State, is_alive, runs_directory, state
from engine.runs.directory import RunDirectory
from engine.spec import preset
from mftui.cli.listing import Column, lines
from mftui.live import LiveRun
from mftui.plain import format_age, format_size, printable
from tests.commands import CLI, Command, Ended, in_a_process, terminal, tiny
from tests.lab import finished_run
from tests.runs import CEILING_SECONDS, LONG, wait_until

pytestmark = pytest.mark.slow

SETTINGS = [word for text in LONG for word in ("--set", text)]
"""of a run that never ends"""


def _make(folder: Path, name: str) -> RunDirectory:
    """A run of that name where runs go, which nobody has begun."""
    runs_directory().mkdir(parents=True, exist_ok=True)
    return RunDirectory.create(preset.load(tiny(folder)), "cpu", runs_directory() / name)


def _is_refused(ended: Ended, message: str) -> None:
    assert (ended.status, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert ended.stderr.startswith("error: ")
    assert len(ended.stderr.splitlines()) == 1


def _is_in(path: Path, wanted: State) -> Callable[[], bool]:
    return lambda: state(path) == wanted


def _names() -> set[str]:
    return {path.name for path in runs_directory().iterdir()}


# --- the list --------------------------------------------------------------------------------------------------------


def test_without_runs_the_list_says_what_to_do(mftui: Command) -> None:
    ended = mftui("runs")
    assert (ended.status, ended.stdout) == (0, "")
    assert ended.stderr == f"no runs yet in {runs_directory()}; `mftui run quick-start` makes one\n"
    assert json.loads(mftui("runs", "--json").stdout) == []


@pytest.mark.parametrize("arguments", [["runs"], ["runs", "list"]])
def test_the_list_is_the_latest_first_and_cuts_nothing_in_a_pipe(
    arguments: list[str], mftui: Command, tmp_path: Path
) -> None:
    long = "a-name-that-is-much-longer-than-a-terminal-is-wide-" * 3
    for name in ("first", long, "last"):
        _make(tmp_path, name)
    mftui("runs", "note", "first", "why\x1b[31m not\n" + "so " * 40)
    title, *rows = mftui(*arguments).stdout.splitlines()
    assert title.split() == ["STATE", "NAME", "PRESET", "DONE", "DEVICE", "STARTED", "SIZE", "NOTE"]
    assert [row.split()[:5] for row in rows] == [
        ["interrupted", name, "tiny", "0/12", "cpu"] for name in ("last", long, "first")
    ]
    assert rows[2].endswith(r"why\x1b[31m not\n" + ("so " * 40).rstrip())
    documents = json.loads(mftui(*arguments, "--json").stdout)
    assert [each["name"] for each in documents] == ["last", long, "first"]
    assert catalog.latest().name == "last"  # though the first one's folder was written to since
    assert documents[0] == {
        "name": "last",
        "path": str(runs_directory() / "last"),
        "state": "interrupted",
        "preset": "tiny",
        "title": "Tiny",
        "trials": 12,
        "finished": 0,
        "device": "cpu",
        "started": pytest.approx(time.time(), abs=CEILING_SECONDS),
        "size": sum(file.stat().st_size for file in (runs_directory() / "last").iterdir()),
        "note": "",
    }


def test_on_a_narrow_terminal_a_row_is_a_line_and_the_end_of_a_name_stays(mftui: Command, tmp_path: Path) -> None:
    name = "soltanolkotabi-and-others-2023-20261123-213214-a1b2"
    _make(tmp_path, name)
    mftui("runs", "note", "a1b2", "a note that is too long for what is left of the line")
    with terminal("runs", columns=80) as screen:
        assert screen.end() == 0
    title, row = screen.text.splitlines()
    assert len(title) <= 80
    assert len(row) <= 80
    assert "-213214-a1b2  " in row
    assert row.endswith("…")


def test_what_cannot_be_read_does_not_keep_the_others_from_being_listed(mftui: Command, tmp_path: Path) -> None:
    _make(tmp_path, "good")
    damages = [b"", b"\xff", b"[1]", b"null", b'{"name": 1}', b"[" * 100_000, b'{"format": 2, "trials": "Infinity"}']
    damages += [b'{"name": "x", "device": "cpu", "trials": "Infinity"}', b'{"name": [], "device": {}, "trials": {}}']
    for index, content in enumerate(damages):
        (runs_directory() / f"bad-{index}").mkdir()
        (runs_directory() / f"bad-{index}" / "run.json").write_bytes(content)
    odd = runs_directory() / "odd"
    odd.mkdir()
    (odd / "run.json").write_text('{"name": "x", "device": "cpu", "created": 1e300}', encoding="utf-8")
    (odd / "note.json").write_text('{"note": ["\\ud800"]}', encoding="utf-8")
    (odd / "events-run-0001.jsonl").write_bytes(b'\xff\n[]\n{"event": ["paused"], "time": "x"}\n{"event": "started"')
    (runs_directory() / os.fsdecode(b"\xff")).mkdir()
    ended = mftui("runs")
    assert (ended.status, ended.stderr) == (0, "")
    assert [line.split()[1] for line in ended.stdout.splitlines()[1:]] == ["odd", "good"]
    for name in sorted(_names() - {"good", os.fsdecode(b"\xff")}):
        _is_refused(mftui("runs", "show", name), "the run's spec is damaged")


def test_columns_are_cut_from_the_last_on_and_only_as_far_as_need_be() -> None:
    columns = [
        Column("A", ["12345678", "1"], right=True),
        Column("NAME", ["abcdefghijklmnopqrstuvwxyz"], least=10, keep_end=True),
        Column("EMPTY", [""]),
        Column("NOTE", ["a long note", ""], least=4),
    ]
    assert lines(columns, None) == [
        "       A  NAME                        NOTE",
        "12345678  abcdefghijklmnopqrstuvwxyz  a long note",
        "       1",
    ]
    assert lines(columns, 46)[1] == "12345678  abcdefghijklmnopqrstuvwxyz  a long …"
    assert lines(columns, 30)[1] == "12345678  abcd…rstuvwxyz  a l…"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (56_789_000, "57 MB"), (2.5e12, "2.5 TB")]
)
def test_a_size_has_at_most_two_digits_beyond_bytes(size: float, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(("age", "text"), [(-5, "0s ago"), (59, "59s ago"), (150, "2m ago"), (90_000, "1d ago")])
def test_an_age_is_short(age: float, text: str) -> None:
    assert format_age(1e9 - age, 1e9) == text


@pytest.mark.parametrize("moment", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_a_moment_that_is_none_is_told_as_unknown(moment: float) -> None:
    assert format_age(moment, 1e9) in ("unknown", "0s ago")


def test_what_moves_the_cursor_is_written_out() -> None:
    assert printable("a\x1b[2J\r\n\u202eσ\udcff") == r"a\x1b[2J\r\n\u202eσ\udcff"


# --- names -----------------------------------------------------------------------------------------------------------


def test_a_run_is_renamed_and_found_by_a_part_of_its_name(mftui: Command, tmp_path: Path) -> None:
    for name in ("tiny-1-a1b2", "tiny-2-c3d4"):
        _make(tmp_path, name)
    ended = mftui("runs", "rename", "c3d4", "wide first try")
    assert (ended.status, ended.stdout, ended.stderr) == (0, "", "tiny-2-c3d4 is now wide first try\n")
    assert _names() == {"tiny-1-a1b2", "wide first try"}
    assert re.search(r"^name +wide first try$", mftui("runs", "show", "first").stdout, re.MULTILINE)
    _is_refused(mftui("runs", "show", "tiny-3"), "tiny-3: no such run; `mftui runs` lists those there are")
    _is_refused(mftui("runs", "show", "i"), "i: expected one run, 2 have this in their names: ")
    _is_refused(mftui("runs", "show", ""), "expected a run's name, got an empty one")
    _is_refused(mftui("runs", "show", "x" * 300), "File name too long")


@pytest.mark.parametrize(
    "new", ["", ".", "..", "../out", "a/b", "/tmp/out", ".hidden", "a\nb", "a\x1b[31m", "x" * 201, "σ" * 120, "there"]
)
def test_a_new_name_cannot_leave_the_folder_of_runs_nor_replace_a_run(new: str, mftui: Command, tmp_path: Path) -> None:
    _make(tmp_path, "run")
    _make(tmp_path, "there")
    before = sorted(tmp_path.rglob("*"))
    _is_refused(mftui("runs", "rename", "run", new), "name")
    assert sorted(tmp_path.rglob("*")) == before


def test_deleting_asks_on_a_terminal_and_only_a_yes_deletes(tmp_path: Path) -> None:
    _make(tmp_path, "run")
    with terminal("runs", "rm", "run") as screen:
        screen.wait_for("Delete for good? [y/N]")
        screen.type("n\n")
        assert screen.end() == 1
    assert re.search(r"run  \d", screen.text)
    assert "nothing was deleted" in screen.text
    assert _names() == {"run"}
    with terminal("runs", "rm", "run") as screen:
        screen.wait_for("Delete for good? [y/N]")
        screen.type("y\n")
        assert screen.end() == 0
    assert _names() == set()


def test_deleting_without_a_terminal_needs_a_yes(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        _make(tmp_path, name)
    _is_refused(in_a_process("runs", "rm", "one"), "there is no terminal to ask on; --yes deletes without asking")
    ended = in_a_process("runs", "rm", "--yes", "one", "two", "one")
    assert (ended.status, ended.stdout, ended.stderr) == (0, "", "deleted one\ndeleted two\n")
    assert _names() == {"three"}


def test_only_runs_are_deleted_and_links_to_them_never(mftui: Command, tmp_path: Path) -> None:
    elsewhere = RunDirectory.create(preset.load(tiny(tmp_path)), "cpu", tmp_path / "elsewhere")
    _make(tmp_path, "run")
    (runs_directory() / "link").symlink_to(elsewhere.path)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "run.json").write_text('{"scripts": {}}', encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    _is_refused(mftui("runs", "rm", "--yes", "link"), "is a link to a run")
    _is_refused(mftui("runs", "rename", "link", "other"), "is a link to a run")
    _is_refused(mftui("runs", "rm", "--yes", foreign), "not one that mftui wrote")
    _is_refused(mftui("runs", "rm", "--yes", tmp_path), "no run here")
    _is_refused(mftui("runs", "rm", "--yes", "run", "nosuch"), "nosuch: no such run")
    _is_refused(mftui("runs", "rm", "--yes", ""), "got an empty one")
    _is_refused(mftui("runs", "rm", "--yes", ".."), "no run here")
    assert sorted(tmp_path.rglob("*")) == before
    assert mftui("runs", "rm", "--yes", elsewhere.path).status == 0  # a path is meant as it stands
    assert not elsewhere.path.exists()


def test_a_note_is_shown_and_an_empty_one_removes_it(mftui: Command, tmp_path: Path) -> None:
    _make(tmp_path, "run")
    assert mftui("runs", "note", "run", "rate too high") == Ended(0, "", "")
    assert mftui("runs").stdout.endswith("  rate too high\n")
    assert re.search(r"^note +rate too high$", mftui("runs", "show", "run").stdout, re.MULTILINE)
    assert mftui("runs", "note", "run", "") == Ended(0, "", "")
    assert "rate too high" not in mftui("runs").stdout


def test_the_shell_completes_the_names_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tiny-1", "tiny-2", "other"):
        _make(tmp_path, name)
    monkeypatch.setenv("_MFTUI_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "mftui attach tin")
    monkeypatch.setenv("COMP_CWORD", "2")
    script = Path(sys.executable).with_name("mftui")
    ended = subprocess.run([script], capture_output=True, text=True, check=False)
    assert ended.stdout.split() == ["tiny-1", "tiny-2"]


# --- runs at work ----------------------------------------------------------------------------------------------------


def _detach(folder: Path, *arguments: str) -> Path:
    """Starts a run, by default one that never ends, and leaves it; its directory."""
    ended = in_a_process("run", tiny(folder), *(arguments or SETTINGS), "--workers", "1", "--detach")
    assert ended.status == 0, ended.stderr
    (name,) = ended.stdout.splitlines()
    path = runs_directory() / name
    assert f"mftui attach {name}" in ended.stderr
    assert f"mftui runs stop {name}" in ended.stderr
    return path


@pytest.mark.usefixtures("no_worker_is_left")
def test_a_detached_run_goes_on_and_takes_requests(mftui: Command, tmp_path: Path) -> None:
    run = _detach(tmp_path)
    assert is_alive(run)
    wait_until(_is_in(run, "running"), "the beginning")
    wait_until(lambda: [p for p in json.loads(mftui("queue", "--json").stdout) if p["at_work"]], "its place")
    title, row = mftui("queue").stdout.splitlines()
    assert title.split() == ["DEVICE", "STATE", "RUN", "PROCESS", "SINCE"]
    (place,) = json.loads(mftui("queue", "--json").stdout)
    assert row.split()[:5] == ["cpu", "at", "work", run.name, str(place["pid"])]
    assert (place["device"], place["run"], place["at_work"]) == ("cpu", str(run), True)

    for request, told in (("pause", "paused"), ("pause", "paused"), ("continue", "running")):
        ended = mftui("runs", request, run.name)
        assert (ended.status, ended.stdout, ended.stderr) == (0, "", f"{run.name}: {told}\n")
        assert json.loads(mftui("runs", "--json").stdout)[0]["state"] == told
    shown = mftui("runs", "show", run.name).stdout
    assert re.search(r"^state +running, process \d+$", shown, re.MULTILINE)
    assert re.search(r"^workers +1$", shown, re.MULTILINE)
    assert re.search(r"^torch +\d", shown, re.MULTILINE)
    _is_refused(mftui("runs", "rename", run.name, "other"), "is at work; stop it first")
    _is_refused(mftui("runs", "rm", "--yes", run.name), "at work; stop it first (nothing was deleted)")
    _is_refused(mftui("resume", run.name), "already running, held by process ")

    ended = mftui("runs", "stop", run.name)
    assert (ended.status, ended.stderr) == (0, f"{run.name}: stopped\n")
    assert not is_alive(run)
    _is_refused(mftui("runs", "stop", run.name), f"{run.name}: is not at work, but stopped")
    ended = mftui("queue")
    assert (ended.status, ended.stdout, ended.stderr) == (0, "", "nobody computes or waits on this machine\n")


@pytest.mark.usefixtures("no_worker_is_left")
def test_attach_shows_the_latest_run_to_its_end_and_prints_what_run_prints(mftui: Command, tmp_path: Path) -> None:
    run = _detach(tmp_path, "--set", "model.width=3")
    ended = mftui("attach", "--json")
    assert ended.status == 0
    document = json.loads(ended.stdout)
    assert (document["state"], document["run"], len(document["trials"])) == ("finished", str(run), 6)
    assert ended.stderr.splitlines()[-1] == f"run: {run}"
    assert len(ended.stderr.splitlines()) == 7
    again = mftui("attach", run.name[-4:], "--quiet", "--json")
    assert (again.status, again.stderr) == (0, f"run: {run}\n")
    assert json.loads(again.stdout) == document
    table = mftui("attach", run.name, "--quiet").stdout
    assert table.count("G&C") == 1
    assert table in mftui("runs", "show", run.name).stdout


def test_attach_without_any_run_says_what_to_do(mftui: Command) -> None:
    _is_refused(mftui("attach"), "no runs yet; `mftui run quick-start` makes one")


@pytest.mark.usefixtures("no_worker_is_left")
def test_a_dead_run_says_when_it_was_interrupted_and_how_to_go_on(mftui: Command, tmp_path: Path) -> None:
    run = _detach(tmp_path)
    wait_until(_is_in(run, "running"), "the beginning")
    worker = RunDirectory.open(run).worker()
    assert worker
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not is_alive(run), "its death")
    how = rf"interrupted at \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d, resume with: mftui resume {run.name}"
    ended = mftui("attach")
    assert ended.status == 1
    assert re.search(how, ended.stderr)
    assert re.search(rf"^state +{how}$", mftui("runs", "show", run.name).stdout, re.MULTILINE)
    assert mftui("runs").stdout.splitlines()[1].startswith("interrupted")
    ended = in_a_process("resume", run.name, "--detach", "--json", "--quiet")
    assert (ended.status, ended.stderr) == (0, "")
    assert json.loads(ended.stdout) == {"name": run.name, "run": str(run)}
    wait_until(_is_in(run, "running"), "the second attempt")


def test_resuming_a_finished_run_says_that_nothing_is_left_to_do_and_prints_its_results(
    mftui: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("there is nothing to start a worker for")

    monkeypatch.setattr(LiveRun, "start", refuse)
    finished_run("over")
    ended = mftui("resume", "over", "--no-plot")
    assert ended.status == 0
    assert ended.stderr.startswith("over is finished, nothing is left to do\n")
    assert ended.stdout == mftui("attach", "over", "--no-plot").stdout
    ended = mftui("resume", "over", "--detach", "--quiet")
    assert (ended.status, ended.stdout, ended.stderr) == (0, "over\n", "")


@pytest.mark.usefixtures("no_worker_is_left")
def test_ctrl_c_leaves_the_run_alone_that_is_only_watched(tmp_path: Path) -> None:
    run = _detach(tmp_path)
    with terminal("attach", run.name) as first, terminal("attach") as second:
        for screen in (first, second):
            screen.wait_for("Ctrl-C leaves it to itself")
        first.type("\x03")
        assert first.end() == 0
        assert f"{run.name} goes on; stop it: mftui runs stop {run.name}; watch it: mftui attach" in first.text.replace(
            "\r\n", " "
        )
        assert is_alive(run)
        assert second.process.poll() is None
        assert in_a_process("runs", "stop", run.name).status == 0
        assert second.end() == 1
    assert "go on with: mftui resume" in second.text


@pytest.mark.usefixtures("no_worker_is_left")
def test_a_second_ctrl_c_leaves_a_worker_that_does_not_react_and_it_stops_when_it_can(tmp_path: Path) -> None:
    with terminal("run", tiny(tmp_path), *SETTINGS) as screen:
        screen.wait_for("Prior")
        run = catalog.latest()
        worker = RunDirectory.open(run).worker()
        assert worker
        os.kill(worker, signal.SIGSTOP)
        try:
            screen.type("\x03")
            wait_until((run / "requests.jsonl").exists, "the request that a socket didn't take")
            screen.type("\x03")
            assert screen.end() == 130
        finally:
            os.kill(worker, signal.SIGCONT)
    assert f"{run.name} stops at its next step; watch it: mftui attach {run.name}" in screen.text.replace("\r\n", " ")
    wait_until(_is_in(run, "stopped"), "the stop")


def test_a_run_that_nobody_began_says_how_to_begin(mftui: Command, tmp_path: Path) -> None:
    _make(tmp_path, "two words")
    assert re.search(
        r"^state +begin with: mftui resume 'two words'$", mftui("runs", "show", "two words").stdout, re.MULTILINE
    )


@pytest.mark.usefixtures("no_worker_is_left")
@pytest.mark.parametrize("harm", ["hangup", "closed", "closed, hangups ignored", "killed"])
def test_a_run_outlives_the_terminals_it_is_started_and_watched_in(harm: str, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGHUP)
    if harm == "closed, hangups ignored":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # inherited, as under nohup
    try:
        for arguments in (["run", tiny(tmp_path), *SETTINGS], ["attach"]):
            with terminal(*arguments) as screen:
                screen.wait_for("Prior")
                match harm:
                    case "hangup":
                        screen.process.send_signal(signal.SIGHUP)
                    case "killed":
                        screen.process.kill()
                    case _:
                        screen.close()
                status = screen.end()
            expected = {"killed": -signal.SIGKILL, "closed, hangups ignored": 129}
            assert status == expected.get(harm, -signal.SIGHUP)
            assert "Traceback" not in screen.text
            assert is_alive(catalog.latest())
            stored = _stored(catalog.latest())
            wait_until(lambda stored=stored: _stored(catalog.latest()) > stored, "more of the run")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert len(_names()) == 1


def _stored(run: Path) -> int:
    """Bytes of its progress."""
    return sum(file.stat().st_size for file in run.glob("progress-*.rec"))


@pytest.mark.usefixtures("no_worker_is_left")
def test_a_run_outlives_the_pipe_that_its_progress_goes_to(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with subprocess.Popen(
        [*CLI, "run", str(tiny(tmp_path)), *SETTINGS], stdout=subprocess.PIPE, stderr=writing, text=True
    ) as process:
        os.close(writing)
        os.close(reading)
        stdout, _ = process.communicate(timeout=CEILING_SECONDS)
    assert (process.returncode, stdout) == (129, "")
    assert is_alive(catalog.latest())


@pytest.mark.usefixtures("no_worker_is_left")
def test_a_run_that_dies_at_once_is_not_said_to_go_on(tmp_path: Path) -> None:
    limited = "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0));"
    limited += "runpy.run_module('mftui.cli', run_name='__main__')"
    run = _make(tmp_path, "run")
    ended = subprocess.run(
        [*CLI[:2], "-c", limited, "resume", run.name, "--detach"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "resume with: mftui resume run" in ended.stderr
    assert "it goes on" not in ended.stderr
