"""Real workers on tiny experiments; every wait is on a condition."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.results import TrialResult
from engine.runs import worker
from engine.runs.catalog import RunError, runs_directory
from engine.runs.directory import RunDirectory
from engine.runs.environment import devices
from engine.runs.files import from_json, write_atomically
from engine.runs.lane import finished_trials
from engine.runs.launch import check_device, start_worker
from engine.runs.process import EXIT_STORE_FULL, PYTHON_M
from engine.runs.store import Writer
from engine.spec import preset
from mftui.live import LiveRun
from tests.runs import LONG, TINY, disk_with, follow, follow_to_end, make_run, results_of, tables_of, wait_until

pytestmark = pytest.mark.slow

# --- runs that nobody disturbs: all started at once, since starting is what takes long ------------------------------

SLOW = ["model.width=3", "gnc.draws=1_500_000", "gd.steps=50"]
"""overrides of `TINY`: GD and the priors finish within tens of milliseconds, G&C takes about a second"""

TROUBLE = (
    TINY.replace("eps_train = 0.1", "eps_train = 1e-12")
    .replace("learning_rate = 0.1\n", "")
    .replace('"model.width"\nvalues = [3, 6]', '"gd.learning_rate"\nvalues = [0.1, 1e6]')
)
"""GD diverges at the second sweep point, and no guess fits at either"""


@dataclass(frozen=True)
class Undisturbed:
    one: LiveRun
    same: LiveRun
    other_seed: LiveRun
    second_point: LiveRun
    slow: LiveRun
    troubled: LiveRun
    no_device: LiveRun


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    return Undisturbed(
        one=LiveRun.start(make_run(folder / "one")),
        same=LiveRun.start(make_run(folder / "same")),
        other_seed=LiveRun.start(make_run(folder / "other_seed", "problem.seed=7")),
        second_point=LiveRun.start(make_run(folder / "second_point", "model.width=6")),
        slow=LiveRun.start(make_run(folder / "slow", *SLOW)),
        troubled=LiveRun.start(make_run(folder / "troubled", text=TROUBLE)),
        no_device=LiveRun.start(make_run(folder / "no_device", device="cuda:99")),
    )


@pytest.fixture(scope="module")
def finished(started: Undisturbed) -> Undisturbed:
    follow_to_end(*vars(started).values())
    return started


# --- equal specs give equal numbers ----------------------------------------------------------------------------------


def test_a_run_finishes_with_a_result_for_every_point_method_and_seed(finished: Undisturbed) -> None:
    live = finished.one
    assert (live.state, live.message, live.device) == ("finished", "", "cpu")
    trials = [TrialResult.from_json(trial) for trial in results_of(live.run)["trials"]]
    expected = [(point, method, seed) for point in (0, 1) for method in ("gd", "prior", "gnc") for seed in (0, 1)]
    assert [(trial.point, trial.method, trial.seed) for trial in trials] == expected
    assert all(trial.outcome == "finished" for trial in trials)
    assert sorted(live.results, key=trials.index) == trials


def test_a_finished_run_leaves_no_worker_and_only_private_files(finished: Undisturbed) -> None:
    run = finished.one.run
    assert run.worker() is None
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in run.path.iterdir()} == {0o600}
    assert run.log.read_text(encoding="utf-8") == ""


def test_what_a_front_end_sees_is_what_is_stored(finished: Undisturbed) -> None:
    live = finished.one
    assert live.curves[0, 1].steps.tolist() == [0, 50, 100, 150, 200, 250, 300]
    last = next(trial for trial in live.results if (trial.point, trial.method, trial.seed) == (0, "gd", 1))
    assert live.curves[0, 1].generalization_loss[-1] == last.generalization_loss
    assert live.guesses[1, "gnc", 0].draws == 20_000
    assert live.guesses[1, "gnc", 0].hits == len(live.guesses[1, "gnc", 0].generalization_loss)
    assert live.progress["gd"].fraction == 1
    assert live.truth[0, 0][0] == pytest.approx(1.0, rel=1e-12)  # problem.norm, the matrix being of rank one


def test_the_same_preset_and_seed_give_bit_identical_tables_and_results(finished: Undisturbed) -> None:
    assert tables_of(finished.one.run) == tables_of(finished.same.run)
    assert {**results_of(finished.one.run), "preset": ""} == {**results_of(finished.same.run), "preset": ""}


def test_another_seed_gives_other_numbers(finished: Undisturbed) -> None:
    mine, other = tables_of(finished.one.run), tables_of(finished.other_seed.run)
    assert all(mine[table] for table in ("gd", "guesses", "samples"))
    assert all(mine[table] != other[table] for table in mine if mine[table])


def test_a_sweep_points_numbers_are_those_of_the_point_run_alone(finished: Undisturbed) -> None:
    swept = [replace(trial, point=0) for trial in finished.one.results if trial.point == 1]
    alone = finished.second_point.results
    key = lambda trial: (trial.method, trial.seed)  # noqa: E731
    assert sorted(swept, key=key) == sorted(alone, key=key)


# --- stopping, dying, going on ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """What there was to see after an attempt."""

    state: str
    message: str
    trials: list[TrialResult]
    results: dict[str, Any] | None
    attempts: int


@dataclass(frozen=True)
class Interrupted:
    """A run that was stopped, then killed, then went on to its end."""

    stopped: Stage
    over_at_once: bool
    """what the second attempt seemed to be before its worker had said a word"""
    killed: Stage
    at_last: Stage
    run: RunDirectory


def _worker_of(run: RunDirectory) -> int:
    pid = run.worker()
    assert pid is not None
    return pid


def _stage(live: LiveRun) -> Stage:
    results = results_of(live.run) if (live.run.path / "results.json").exists() else None
    return Stage(live.state, live.message, list(live.results), results, len(list(live.run.path.glob("events-run-*"))))


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    run = make_run(tmp_path_factory.mktemp("interrupted") / "run", *SLOW)
    first = follow(LiveRun.start(run), lambda live: live.results, "a finished trial")
    first.stop()
    follow_to_end(first)
    stopped = _stage(first)
    second = LiveRun.start(RunDirectory.open(run.path))
    second.poll()
    over_at_once = second.over
    follow(second, lambda live: live.over or live.state == "running", "the second worker at work")
    os.kill(_worker_of(run), signal.SIGKILL)
    follow_to_end(second)
    killed = _stage(second)
    third = LiveRun.start(RunDirectory.open(run.path))
    follow_to_end(third)
    return Interrupted(stopped, over_at_once, killed, _stage(third), run)


def test_a_stopped_run_keeps_its_finished_trials(interrupted: Interrupted, finished: Undisturbed) -> None:
    stage = interrupted.stopped
    assert (stage.state, stage.message) == ("stopped", "")
    assert stage.results is not None
    assert 1 <= len(stage.trials) == len(stage.results["trials"]) < len(finished.slow.results)


def test_a_killed_worker_leaves_an_interrupted_run_that_says_so(interrupted: Interrupted) -> None:
    assert interrupted.killed.state == "interrupted"
    assert "the worker was killed by signal 9" in interrupted.killed.message


def test_a_run_that_goes_on_is_not_taken_for_over_by_the_end_of_an_earlier_attempt(interrupted: Interrupted) -> None:
    assert not interrupted.over_at_once


def test_what_an_earlier_worker_was_asked_is_not_for_the_next(interrupted: Interrupted) -> None:
    assert interrupted.stopped.state == "stopped"
    assert interrupted.killed.state == "interrupted"  # neither asked to stop nor done: it was still at work


def test_a_stopped_and_killed_run_ends_with_the_results_of_one_left_alone(
    interrupted: Interrupted, finished: Undisturbed
) -> None:
    assert (interrupted.at_last.state, interrupted.at_last.attempts) == ("finished", 3)
    expected = results_of(finished.slow.run)
    assert {**(interrupted.at_last.results or {}), "preset": ""} == {**expected, "preset": ""}


def test_finished_trials_are_not_run_again(interrupted: Interrupted, finished: Undisturbed) -> None:
    ended = [event for event in interrupted.run.reader().events() if event["event"] == "trial"]
    keys = [(event["point"], event["method"], event["seed"]) for event in ended]
    assert len(keys) == len(set(keys)) == len(finished.slow.results)
    assert interrupted.at_last.trials[: len(interrupted.stopped.trials)] == interrupted.stopped.trials


def test_a_curve_has_each_step_once_however_often_the_run_was_interrupted(interrupted: Interrupted) -> None:
    live = LiveRun(interrupted.run)
    live.poll()
    steps = live.curves[0, 0].steps.tolist()
    assert steps == sorted(set(steps))


# --- one worker at work ----------------------------------------------------------------------------------------------

LAUNCH = """
import os, sys
from pathlib import Path
from engine.runs.directory import RunDirectory
from engine.runs.launch import start_worker
print(start_worker(RunDirectory.open(Path(sys.argv[1]))).pid, flush=True)
os._exit(0)
"""


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRun]:
    """A run that never finishes, its worker started by a process that is dead by now.

    It was started in a folder with an `engine` of its own.
    """
    folder = tmp_path_factory.mktemp("endless")
    (folder / "engine").mkdir()
    (folder / "engine" / "__init__.py").write_text("raise SystemExit('the wrong engine')", encoding="utf-8")
    run = make_run(folder / "run", *LONG)
    (folder / "launch.py").write_text(LAUNCH, encoding="utf-8")
    command = [sys.executable, "-P", str(folder / "launch.py"), str(run.path)]
    pid = int(subprocess.run(command, cwd=folder, capture_output=True, check=True, text=True).stdout)
    try:
        wait_until(lambda: run.worker() is not None or not _exists(pid), "the worker's lock")
        yield follow(LiveRun(run), lambda live: "gnc" in live.progress or live.over, "guesses")
    finally:
        if run.worker() == pid:
            os.kill(pid, signal.SIGKILL)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _goes_on(live: LiveRun) -> None:
    """Fails unless new rows come."""
    before = live.progress["gnc"].done
    follow(live, lambda run: run.progress["gnc"].done > before or run.over, "more guesses")
    assert live.state == "running"


def test_a_worker_outlives_the_process_that_started_it(endless: LiveRun) -> None:
    assert endless.state == "running"
    _goes_on(endless)


def test_a_worker_is_in_a_session_of_its_own(endless: LiveRun) -> None:
    pid = _worker_of(endless.run)
    assert os.getsid(pid) == pid


def test_a_hangup_does_not_stop_a_worker(endless: LiveRun) -> None:
    os.kill(_worker_of(endless.run), signal.SIGHUP)
    _goes_on(endless)
    _goes_on(endless)


def test_a_paused_run_stores_nothing_until_it_is_continued(endless: LiveRun) -> None:
    endless.pause()
    try:
        follow(endless, lambda run: run.state == "paused", "the pause")
        before = {path.name: path.stat().st_size for path in endless.run.path.iterdir()}
        # starting Python takes about half a second, in which a worker that did not pause would store dozens of rows
        subprocess.run([*PYTHON_M, "engine.runs.worker", str(endless.run.path)], check=False, capture_output=True)
        assert {path.name: path.stat().st_size for path in endless.run.path.iterdir()} == before
    finally:
        endless.resume()
    follow(endless, lambda run: run.state == "running", "the end of the pause")
    _goes_on(endless)


def test_a_second_worker_is_refused_naming_the_first(endless: LiveRun) -> None:
    with pytest.raises(RunError, match=rf"^run: already running, held by process {endless.run.worker()}$"):
        start_worker(endless.run)


def test_two_workers_started_at_once_end_in_one_and_a_sentence(endless: LiveRun) -> None:
    second = subprocess.run(
        [*PYTHON_M, "engine.runs.worker", str(endless.run.path)], check=False, capture_output=True, text=True
    )
    assert second.returncode == 1
    assert second.stderr == f"run: already running, held by process {endless.run.worker()}\n"
    _goes_on(endless)


def test_a_run_that_someone_else_started_can_be_stopped(endless: LiveRun) -> None:
    endless.stop()
    follow(endless, lambda run: run.over, "the end of the run")
    assert endless.state == "stopped"
    wait_until(lambda: endless.run.worker() is None, "the worker's end")
    assert {trial["method"] for trial in results_of(endless.run)["trials"]} == {"prior"}


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_diverging_descent_ends_its_own_trials_only_and_names_rate_and_step(finished: Undisturbed) -> None:
    assert finished.troubled.state == "finished"
    outcome = {(trial.point, trial.method): trial for trial in finished.troubled.results}
    assert outcome[0, "gd"].outcome == outcome[1, "prior"].outcome == "finished"
    diverged = outcome[1, "gd"]
    assert (diverged.outcome, diverged.generalization_loss, diverged.training_loss) == ("diverged", None, None)
    assert "at learning rate 1e+06" in diverged.message
    assert "after step 0 " in diverged.message


def test_guesses_without_a_hit_have_no_loss_but_the_best_one_seen_and_advice(finished: Undisturbed) -> None:
    trials = [trial for trial in finished.troubled.results if trial.method == "gnc"]
    assert len(trials) == 4
    for trial in trials:
        assert (trial.outcome, trial.generalization_loss, trial.training_loss) == ("no_hits", None, None)
        assert trial.guesses is not None
        assert f"the best training loss was {trial.guesses.best_training_loss:.3g}" in trial.message
        assert "raise" in trial.message


def test_a_run_on_a_device_that_is_not_there_fails_with_the_sentence(finished: Undisturbed) -> None:
    live = finished.no_device
    assert live.state == "failed"
    assert live.message.startswith("--device cuda:99: ")
    assert live.message.endswith("; use --device cpu, or auto")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:-1", "CPU", ""])
def test_what_names_no_device_is_refused_naming_what_does(device: str) -> None:
    with pytest.raises(RunError, match=r"^--device"):
        devices(device)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_devices_that_every_machine_has_need_no_check(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(subprocess, "run")
    check_device(device)


@pytest.fixture
def _worker_in_this_process() -> Iterator[None]:
    """Puts back what a worker changes of its process."""
    umask = os.umask(0o077)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)}
    yield
    os.umask(umask)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_worker_in_this_process")
@pytest.mark.parametrize("room", [0, 100, 5_000, 100_000])
def test_a_run_that_can_store_no_more_says_so_and_goes_on_once_there_is_room(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Undisturbed
) -> None:
    run = make_run(tmp_path / "run")
    monkeypatch.setattr(os, "write", disk_with(room))
    status = worker.lead(run.path)
    monkeypatch.undo()
    with subprocess.Popen([sys.executable, "-c", f"raise SystemExit({status})"]) as process:
        process.wait()
    live = LiveRun(run, process)
    live.poll()
    assert live.state == "interrupted"
    assert live.message == f"nothing more could be stored in {run.path}: the disk is full, or a quota is"
    assert worker.lead(run.path) == 0
    assert {**results_of(run), "preset": ""} == {**results_of(finished.one.run), "preset": ""}


@pytest.mark.usefixtures("_worker_in_this_process")
def test_results_that_cannot_be_written_are_a_full_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "run", "model.width=3")
    monkeypatch.setattr(RunDirectory, "write_results", lambda *_: write_atomically(tmp_path / "no" / "file", b""))
    assert worker.lead(run.path) == EXIT_STORE_FULL


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 128 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)], check=False, capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"can't mount a small disk here: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_on_a_full_disk_a_run_says_so_and_goes_on_once_there_is_room(small_disk: Path, finished: Undisturbed) -> None:
    (small_disk.parent / "run.toml").write_text(TINY, encoding="utf-8")
    experiment = preset.load(small_disk.parent / "run.toml")
    run = RunDirectory.create(experiment, "cpu", small_disk / "run")
    live = LiveRun.start(run)
    follow_to_end(live)
    assert live.state == "interrupted"
    assert live.message == f"nothing more could be stored in {run.path}: the disk is full, or a quota is"
    live.stop()  # nobody there, no room to ask: nothing happens
    kept = len(live.results)
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    again = LiveRun.start(RunDirectory.open(run.path))
    assert len(again.results) == kept
    follow_to_end(again)
    assert {**results_of(run), "preset": ""} == {**results_of(finished.one.run), "preset": ""}


def test_on_a_full_disk_no_run_is_made_and_nothing_is_left(small_disk: Path) -> None:
    with (small_disk / "filler").open("wb") as file, suppress(OSError):
        file.write(bytes(1 << 20))
    run = small_disk / "run"
    with pytest.raises(RunError, match="can't make the run directory: No space left on device"):
        RunDirectory.create(preset.load("quick-start"), "cpu", run)
    assert not run.exists()


# --- the directory ---------------------------------------------------------------------------------------------------


def test_a_run_directory_reads_back_as_it_was_made(tmp_path: Path) -> None:
    file = tmp_path / "wide.v2.toml"
    file.write_text("seeds = 3\n[model]\nwidth = 9", encoding="utf-8")
    made = RunDirectory.create(preset.load(file), "cuda:1")
    assert made.path.parent == runs_directory()
    assert made.location == made.name
    assert RunDirectory.open(made.path) == made


def test_a_run_elsewhere_is_named_by_its_path(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    assert run.location == str(tmp_path / "run")


def test_a_run_is_never_put_where_something_is(tmp_path: Path) -> None:
    experiment = preset.load("quick-start")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RunError, match="expected an empty or new directory for the run, it holds files"):
        RunDirectory.create(experiment, "cpu", tmp_path / "full")
    with pytest.raises(RunError, match="can't make the run directory: File exists"):
        RunDirectory.create(experiment, "cpu", tmp_path / "full" / "notes.txt")
    with pytest.raises(RunError, match="can't make the run directory"):
        RunDirectory.create(experiment, "cpu", tmp_path / "full" / "notes.txt" / "run")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.txt"]


def _without(name: str) -> Callable[[RunDirectory], None]:
    return lambda run: (run.path / name).unlink()


def _with(name: str, content: bytes) -> Callable[[RunDirectory], None]:
    return lambda run: (run.path / name).write_bytes(content) and None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without("run.json"), "no run here: No such file"),
        (_without("spec.toml"), "the run's spec is damaged: {path}/spec.toml: can't be read: No such file"),
        (lambda run: shutil.rmtree(run.path), "no run here: No such file"),
        (_with("run.json", b""), "the run's spec is damaged"),
        (_with("run.json", b"[1]"), "the run's spec is damaged"),
        (_with("run.json", b"\xff\xfe"), "the run's spec is damaged"),
        (_with("run.json", b"[" * 100_000), "the run's spec is damaged"),
        (_with("run.json", b'{"format": 99}'), "run format 99, this version reads up to 2"),
        (_with("run.json", b'{"format": 1}'), "the run's spec is damaged"),
        (_with("spec.toml", b"[model"), "the run's spec is damaged: {path}/spec.toml: not valid TOML"),
        (_with("spec.toml", b"\xff\xfe"), "the run's spec is damaged"),
        (_with("spec.toml", b"a = " + b"[" * 100_000), "the run's spec is damaged"),
        (
            _with("spec.toml", b"[model]\nwidth = 0"),
            "the run's spec is damaged: {path}/spec.toml: model.width: expected an int",
        ),
    ],
)
def test_a_damaged_run_directory_is_refused_with_a_sentence(
    damage: Callable[[RunDirectory], None], message: str, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run")
    damage(run)
    with pytest.raises(RunError) as caught:
        RunDirectory.open(run.path)
    assert str(caught.value).startswith(f"{run.path}: {message.format(path=run.path)}")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["run.json", "spec.toml"]),
    start=st.floats(0, 1),
    removed=st.integers(0, 40),
    inserted=st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b"null", b"[]", b"{}", b'"', b"1e999", b"NaN", b"true", b"\n", b"[[", b"extends = 'run'\n"]),
    ),
)
def test_a_run_directory_with_any_damage_opens_or_gives_a_run_error(
    name: str, start: float, removed: int, inserted: bytes, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    path = make_run(tmp_path / "run").path
    content = (path / name).read_bytes()
    at = round(start * len(content))
    (path / name).write_bytes(content[:at] + inserted + content[at + removed :])
    with suppress(RunError):
        RunDirectory.open(path).reader().rows("gd")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_front_end_and_a_worker_read_any_damaged_events_without_an_error(
    data: st.DataObject, tmp_path: Path, finished: Finished
) -> None:
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    run = make_run(tmp_path / "run")
    content = bytearray((finished.one.run.path / "events-0002-0001.jsonl").read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (run.path / "events-0002-0001.jsonl").write_bytes(content)
    LiveRun(run).poll()
    assert len(finished_trials(run)) <= len(finished.one.results)


def test_a_damaged_trial_counts_as_not_finished(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    good = TrialResult(0, "gd", 0, "finished", 0.5, 0.25)
    with Writer(run.path, run.tables, 0) as writer:
        writer.event("trial", **good.to_json())
        writer.event("trial", **{**good.to_json(), "sed": 0})
        writer.event("trial", point=0)
    assert finished_trials(run) == [good]


# --- requests --------------------------------------------------------------------------------------------------------


def test_a_run_that_is_still_starting_can_be_stopped(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", *LONG)
    live = LiveRun.start(run)
    live.stop()
    follow_to_end(live)
    assert (live.state, live.results) == ("stopped", [])
    assert from_json((run.path / "results.json").read_bytes())["trials"] == []
