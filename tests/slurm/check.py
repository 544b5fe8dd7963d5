"""What `run.sh` checks on a real SLURM; every check ends with the numbers of a run that nobody disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from engine.runs import catalog, cluster, control
from engine.runs.directory import RunDirectory
from engine.runs.files import from_json
from engine.runs.jobs import has_job
from mftui.live import LiveRun
from tests.runs import LONG, follow_to_end, make_run, results_of, tables_of, wait_until

SLOW = ["model.width=3", "gnc.draws=6_000_000", "gd.steps=50"]
"""overrides of `TINY`: G&C takes some seconds"""


def main(folder: Path) -> None:
    folder.mkdir()
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # as the jobs: BLAS sums in another order on more cores
    alone = LiveRun.start(make_run(folder / "alone", *SLOW))
    os.sched_setaffinity(0, cores)
    follow_to_end(alone)
    checks: list[Callable[[Path, RunDirectory], None]] = [
        undisturbed,
        out_of_time,
        requeued,
        killed,
        cancelled,
        stopped,
    ]
    for check in checks:
        began = time.monotonic()
        check(folder / check.__name__, alone.run)
        print(f"{check.__name__}: {check.__doc__} ({time.monotonic() - began:.0f} s)", flush=True)


def undisturbed(path: Path, alone: RunDirectory) -> None:
    """A job gives the very bits of a run without a cluster."""
    run, _ = _submitted(path)
    _ends_like(run, alone)
    (environment,) = run.path.glob("environment-*.json")
    assert from_json(environment.read_bytes())["cores"] == 1  # which it was given


def out_of_time(path: Path, alone: RunDirectory) -> None:
    """A job whose time is up goes on from its checkpoint."""
    run, job = _submitted(path)
    _wait_for_work(run)
    assert has_job(run.path, {"cluster": "slurm", "job": job})
    _call("scancel", "--signal=USR2", job)  # as SLURM does at --signal=USR2@90
    _goes_on(run)
    _ends_like(run, alone)
    assert _kinds(run) == ["queued", "started", "stopped", "queued", "started", "finished"], _kinds(run)


def requeued(path: Path, alone: RunDirectory) -> None:
    """A job that is preempted by SIGTERM and SIGKILL goes on from its checkpoint."""
    run, job = _submitted(path)
    _wait_for_work(run)
    _call("scontrol", "requeue", job)
    _goes_on(run)
    _ends_like(run, alone)


def killed(path: Path, alone: RunDirectory) -> None:
    """A job that is killed goes on from its last checkpoint once it is requeued."""
    run, job = _submitted(path)
    _wait_for_work(run)
    control.ask(run.path, "pause")  # which checkpoints, as every ten seconds do
    wait_until(lambda: catalog.state(run.path) == "paused", "the pause")
    worker = run.worker()
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: "JobState=FAILED" in _call("scontrol", "show", "job", job), "the job's failure")
    assert catalog.state(run.path) == "interrupted"
    _call("scontrol", "requeue", job)
    _goes_on(run)
    _ends_like(run, alone)


def cancelled(path: Path, _: RunDirectory) -> None:
    """A job that is cancelled leaves a run that is stopped, and can be gone on with."""
    run, job = _submitted(path, *LONG)
    _wait_for_work(run)
    _call("scancel", job)
    _has_left(job)
    assert catalog.state(run.path) == "stopped"
    assert not has_job(run.path, {"cluster": "slurm", "job": job})
    assert not has_job(run.path, {"cluster": "slurm", "job": "123456"})
    again = cluster.submit(run, "slurm")
    _wait_for_work(run)
    _call("scancel", again)
    _has_left(again)


def stopped(path: Path, _: RunDirectory) -> None:
    """A job whose run is stopped by a request ends, and is not started again."""
    run, job = _submitted(path, *LONG)
    _wait_for_work(run)
    control.ask(run.path, "stop")
    wait_until(lambda: "JobState=COMPLETED" in _call("scontrol", "show", "job", job), "the job's end")
    assert catalog.state(run.path) == "stopped"


def _submitted(path: Path, *overrides: str) -> tuple[RunDirectory, str]:
    run = make_run(path, *(overrides or SLOW))
    return run, cluster.submit(run, "slurm", {"timeout_min": 10})


def _wait_for_work(run: RunDirectory) -> None:
    wait_until(
        lambda: run.worker() is not None and any(event["event"] == "trial" for event in run.reader().events()),
        "a finished trial",
    )


def _goes_on(run: RunDirectory) -> None:
    """Fails unless another worker comes, and finds checkpoints."""
    before = _kinds(run).count("started")
    wait_until(lambda: _kinds(run).count("started") > before, "another worker")
    assert list(run.path.glob("checkpoint-*")) or catalog.state(run.path) == "finished"


def _ends_like(run: RunDirectory, other: RunDirectory) -> None:
    wait_until(lambda: catalog.state(run.path) == "finished", "the end of the run")
    wait_until(lambda: run.worker() is None, "the end of the worker")
    assert tables_of(run) == tables_of(other)
    assert {**results_of(run), "preset": ""} == {**results_of(other), "preset": ""}


def _kinds(run: RunDirectory) -> list[str]:
    """What happened to the run as a whole, without pauses."""
    kinds = {"queued", "started", "stopped", "finished", "failed"}
    return [event["event"] for event in run.reader().events() if event["event"] in kinds]


def _has_left(job: str) -> None:
    wait_until(lambda: not _call("squeue", "--noheader", "--jobs", job), "the end of the job")


def _call(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]))
