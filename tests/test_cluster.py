"""Runs as jobs of submitit's local executor: real jobs, real workers. SLURM itself: tests/slurm/run.sh."""

from __future__ import annotations

import gc
import os
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from engine.runs import catalog, cluster, control
from engine.runs.catalog import RunError
from engine.runs.directory import RunDirectory
from engine.runs.jobs import has_job
from mftui.live import LiveRun
from tests.runs import LONG, follow_to_end, make_run, results_of, tables_of, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),  # so a job shall be
]

SLOW = ["model.width=3", "gnc.draws=1_500_000", "gd.steps=50"]
"""overrides of `TINY`: G&C takes about a second"""


@pytest.fixture
def jobs() -> Iterator[list[int]]:
    """Processes of submitted jobs, to be ended with the test."""
    started: list[int] = []
    yield started
    for job in started:
        for process in _with_descendants(job):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run without a cluster."""
    live = LiveRun.start(make_run(tmp_path_factory.mktemp("slow") / "run", *SLOW))
    follow_to_end(live)
    return live.run


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Another."""
    live = LiveRun.start(make_run(tmp_path_factory.mktemp("alone") / "run"))
    follow_to_end(live)
    return live.run


def _submit(run: RunDirectory, jobs: list[int], **given: object) -> int:
    jobs.append(int(cluster.submit(run, "local", given)))
    gc.collect()  # submitit's jobs are in cycles; the warning is to come, and be ignored, now
    return jobs[-1]


def _with_descendants(process: int) -> list[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [process, *(pid for child in children for pid in _with_descendants(int(child)))]


def _end(run: RunDirectory, job: int) -> str:
    """The run's state after its job's end."""

    def ended() -> bool:
        try:
            return os.waitpid(job, os.WNOHANG)[0] == job
        except ChildProcessError:  # somebody has waited for it already
            return True

    wait_until(lambda: ended() and run.worker() is None, "the end of the job and its worker")
    return catalog.state(run.path)


def _at_work(run: RunDirectory) -> bool:
    return any(event["event"] == "trial" for event in run.reader().events()) and run.worker() is not None


def _hold(run: RunDirectory) -> int:
    """The run's worker, once it has finished a trial; it is paused, so that it is at work however late a signal is."""
    wait_until(lambda: _at_work(run), "a finished trial")
    control.ask(run.path, "pause")
    wait_until(lambda: catalog.state(run.path) == "paused", "the pause")
    worker = run.worker()
    assert worker is not None
    return worker


def _events(run: RunDirectory) -> list[str]:
    """What happened to the run as a whole."""
    kinds = {"queued", "started", "paused", "continued", "stopped", "finished", "failed"}
    return [event["event"] for event in run.reader().events() if event["event"] in kinds]


def _without_names(run: RunDirectory) -> dict[str, object]:
    return {**results_of(run), "preset": ""}


def _assert_private(run: RunDirectory) -> None:
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in run.path.rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert run.log.read_text(encoding="utf-8") == ""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_gives_the_very_bits_of_a_run_without_a_cluster_and_leaves_private_files(
    workers: int, tmp_path: Path, jobs: list[int], alone: RunDirectory
) -> None:
    run = replace(make_run(tmp_path / "job"), workers=workers)
    about = run.path / "run.json"
    about.write_text(about.read_text().replace('"workers": 1', f'"workers": {workers}'))
    (run.path / control.REQUESTS).touch(0o600)
    (run.path / control.REQUESTS).write_text('{"request": "stop"}\n')  # of an earlier worker, not of the job
    job = _submit(run, jobs)
    assert _events(run) == ["queued"]
    assert has_job(run.path, {"cluster": "local", "job": str(job)})
    assert _end(run, job) == "finished"
    assert not has_job(run.path, {"cluster": "local", "job": str(job)})
    _assert_private(run)
    assert tables_of(run) == tables_of(alone)
    assert _without_names(run) == _without_names(alone)


@pytest.mark.parametrize("warned", [False, True], ids=["at once", "told to end before"])
def test_a_preempted_job_is_put_in_line_again_and_ends_with_the_same_numbers(
    warned: bool, tmp_path: Path, jobs: list[int], slow: RunDirectory
) -> None:
    run = make_run(tmp_path / "job", *SLOW)
    job = _submit(run, jobs)
    first = _hold(run)
    # to all processes of the job, as SLURM does, save submitit's own stand-in for it
    for number in [signal.SIGTERM, signal.SIGUSR2] if warned else [signal.SIGUSR2]:
        for process in _with_descendants(job)[1:]:
            os.kill(process, number)
    wait_until(lambda: run.worker() != first, "the end of the first worker")
    checkpoints = list(run.path.glob("checkpoint-*"))
    assert _end(run, job) == "finished"
    held = ["paused", "continued"]  # a pause ends where a worker stops
    assert _events(run) == ["queued", "started", *held, "stopped", "queued", "started", "finished"]
    assert checkpoints
    assert tables_of(run) == tables_of(slow)
    assert _without_names(run) == _without_names(slow)


def test_a_job_that_was_killed_is_gone_on_with_by_another(tmp_path: Path, jobs: list[int], slow: RunDirectory) -> None:
    run = make_run(tmp_path / "run", *SLOW)
    first = _submit(run, jobs)
    _hold(run)
    for process in _with_descendants(first):
        os.kill(process, signal.SIGKILL)
    assert _end(run, first) == "interrupted"
    assert _end(run, _submit(run, jobs)) == "finished"
    assert _without_names(run) == _without_names(slow)


def test_a_job_can_be_stopped_and_is_not_put_in_line_again(tmp_path: Path, jobs: list[int]) -> None:
    run = make_run(tmp_path / "run", *LONG)
    job = _submit(run, jobs)
    wait_until(lambda: _at_work(run), "a finished trial")
    with pytest.raises(RunError, match=r"^run: already running, held by process "):
        cluster.submit(run, "local")
    control.ask(run.path, "stop")
    assert _end(run, job) == "stopped"
    assert _events(run) == ["queued", "started", "stopped"]


def test_a_job_that_waits_in_line_can_be_stopped(tmp_path: Path, jobs: list[int]) -> None:
    run = make_run(tmp_path / "run", *LONG)
    job = _submit(run, jobs)
    control.ask(run.path, "stop")
    assert _end(run, job) == "stopped"


def test_a_job_whose_run_fails_fails_with_the_sentence(tmp_path: Path, jobs: list[int]) -> None:
    run = make_run(tmp_path / "run", device="cuda:99")
    assert _end(run, _submit(run, jobs)) == "failed"
    live = LiveRun(run)
    live.poll()
    assert live.message.startswith("--device cuda:99: ")


# --- the scheduler's word --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("squeue", "known"),
    [
        ("echo PENDING", True),
        ("true", False),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", False),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", True),
    ],
)
def test_a_job_counts_until_slurm_says_that_it_is_gone(
    squeue: str, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "squeue").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n{squeue}\n')
    (tmp_path / "squeue").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("engine.runs.jobs._answers", {})
    event = {"event": "queued", "cluster": "slurm", "job": "17"}
    assert has_job(tmp_path, event) is known
    assert has_job(tmp_path, event) is known
    assert (tmp_path / "asked").read_text() == "--noheader --format=%T --jobs=17\n"  # once for both


@pytest.mark.parametrize(
    "event", [{}, {"cluster": "slurm", "job": "$(id)"}, {"cluster": "local", "job": "1"}, {"cluster": 3, "job": 4}]
)
def test_an_event_that_names_no_job_of_the_run_asks_nobody(
    event: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("subprocess.run")
    assert not has_job(tmp_path, event)


def test_a_job_is_asked_for_a_core_a_worker_or_for_gpus(tmp_path: Path) -> None:
    run = replace(make_run(tmp_path / "run"), workers=4)
    asked = cluster._parameters(run, "slurm", {"partition": "long", "mem_gb": 2})
    assert asked == {
        "name": "mftui-run",
        "timeout_min": 60,
        "cpus_per_task": 4,
        "slurm_srun_args": ["--cpus-per-task=4"],
        "slurm_partition": "long",
        "mem_gb": 2,
    }
    assert cluster._parameters(replace(run, device="cuda"), "slurm", {})["gpus_per_node"] == 4
    assert "gpus_per_node" not in cluster._parameters(replace(run, device="cuda"), "slurm", {"slurm_gres": "gpu:2"})


# --- what is refused -------------------------------------------------------------------------------------------------


def test_without_submitit_a_sentence_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "run")
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(RunError, match=r"^--cluster needs submitit: pip install 'mftui\[cluster\]'$"):
        cluster.submit(run, "slurm")


def test_a_cluster_that_is_not_there_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run")
    before = set(run.path.iterdir())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunError, match=r'^--cluster slurm: Could not detect "srun"'):
        cluster.submit(run, "slurm")
    with pytest.raises(RunError, match=r"^--cluster: expected slurm or local, got 'pbs'$"):
        cluster.submit(run, "pbs")
    assert set(run.path.iterdir()) == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"colour": 1}, "--cluster local: Unknown argument 'colour' for executor 'local'"),
        ({"timeout_min": "long"}, '--cluster local: Parameter "timeout_min" expected type'),
    ],
)
def test_an_unknown_option_is_refused_and_leaves_nothing(
    given: dict[str, object], message: str, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run")
    before = set(run.path.iterdir())
    with pytest.raises(RunError) as caught:
        cluster.submit(run, "local", given)
    assert str(caught.value).startswith(message)
    assert set(run.path.iterdir()) == before


def test_a_path_that_a_scheduler_would_change_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected a path without %"):
        cluster.submit(make_run(tmp_path / "50%j"), "local")


def test_options_are_read_as_toml_or_as_words() -> None:
    given = ["partition=gpu", "timeout_min = 90", "mem_gb=1.5", 'comment="a = b"', "exclusive=true", "time=1:00"]
    assert cluster.options(given) == {
        "partition": "gpu",
        "timeout_min": 90,
        "mem_gb": 1.5,
        "comment": "a = b",
        "exclusive": True,
        "time": "1:00",
    }


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("partition", "--cluster-option partition: expected KEY=VALUE, such as partition=gpu"),
        ("=gpu", "--cluster-option =gpu: expected KEY=VALUE, such as partition=gpu"),
        ("nodes=2", "--cluster-option nodes: a run is one process, and its helpers, on one node"),
        ("slurm_ntasks_per_node=2", "--cluster-option slurm_ntasks_per_node: a run is one process"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_saying_what_does(option: str, message: str) -> None:
    with pytest.raises(RunError) as caught:
        cluster.options([option])
    assert str(caught.value).startswith(message)
