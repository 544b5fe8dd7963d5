"""Runs as jobs of a cluster, through submitit (`pip install 'mftui[cluster]'`). Never imports torch.

A job is given the path of a run's directory and nothing else. It starts the run's worker, as a front end on its node
would, and stands between it and the scheduler: told that its time is up, it has the worker stop, which checkpoints, and
gets itself put in line again. Nobody reads what submitit stores of a job; the run's directory tells all there is.
"""

from __future__ import annotations

import os
import random
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from engine.runs import catalog, control
from engine.runs.catalog import DEAD_AFTER_SECONDS, RunError
from engine.runs.directory import RunDirectory
from engine.runs.files import StoreFullError
from engine.runs.jobs import FOLDER
from engine.runs.launch import refuse_if_held, start_worker
from engine.runs.store import EventLog
from engine.spec.preset import toml_value

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

CLUSTERS = ("slurm", "local")
"""local: submitit's stand-in for a cluster, processes of this machine"""

_MOST_TIMEOUTS = 1000
"""how often a job whose time was up is put in line again"""
_MINUTES = {"slurm": 60, "local": 365 * 24 * 60}
"""a job's time limit unless an option says otherwise; after it, it is put in line again"""
_REFUSED = ("nodes", "tasks_per_node", "ntasks_per_node")
"""options that would start several processes, each to lead the run"""
_LINGER_SECONDS = 600.0
"""how long a job that was told to end waits to be killed, or put in line again"""
_POLL_SECONDS = 0.1
_SHARED = ("timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node", "stderr_to_stdout", "name")
"""submitit's parameters that every cluster has; others carry the name of theirs"""


def options(given: Sequence[str]) -> dict[str, Any]:
    """What KEY=VALUE says on a command line; a value is read as TOML, else as a word. Raises `RunError`."""
    found: dict[str, Any] = {}
    for text in given:
        key, separator, value = text.partition("=")
        key = key.strip()
        if not separator or not key:
            raise RunError(f"--cluster-option {text}: expected KEY=VALUE, such as partition=gpu")
        if key.removeprefix("slurm_") in _REFUSED:
            raise RunError(f"--cluster-option {key}: a run is one process, and its helpers, on one node")
        found[key] = toml_value(value, str)
    return found


def submit(run: RunDirectory, cluster: str, given: Mapping[str, Any] | None = None) -> str:
    """Have a job of `cluster` execute the run; the job's id.

    `given` are submitit's parameters: timeout_min, mem_gb, cpus_per_task, gpus_per_node, and those of the cluster, such
    as partition. Raises `RunError` if the run can't go on now, submitit isn't there, or the job is refused.
    """
    if cluster not in CLUSTERS:
        raise RunError(f"--cluster: expected {' or '.join(CLUSTERS)}, got {cluster!r}")
    refuse_if_held(run)
    if "%" in str(run.path):
        raise RunError(f"{run.path}: expected a path without %, which SLURM and submitit replace")
    try:
        from submitit import AutoExecutor
    except ImportError:
        raise RunError("--cluster needs submitit: pip install 'mftui[cluster]'") from None

    control.forget_requests(run.path)
    folder = run.path / f"{FOLDER}{secrets.token_hex(4)}"
    python = f"{shlex.quote(sys.executable)} -P"  # a folder named engine/ in the way must not be taken for ours
    with _private(), _safe_path():
        # new, under a name nobody could know: the job unpickles what it finds there
        folder.mkdir(mode=0o700)
        try:
            kept = {"slurm_python": python, "local_python": python}
            timeouts = {"slurm_max_num_timeout": _MOST_TIMEOUTS, "local_max_num_timeout": _MOST_TIMEOUTS}
            executor = AutoExecutor(folder, cluster, **kept, **timeouts)
            executor.update_parameters(**_parameters(run, cluster, given or {}))
            job = str(executor.submit(Job(str(run.path))).job_id)
        except (AssertionError, NameError, OSError, RuntimeError, TypeError, ValueError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise RunError(f"--cluster {cluster}: {_in_one_line(error)}") from None
    if not run.is_alive():
        _tell(run, "queued", f"waits for {cluster} to start job {job}", cluster=cluster, job=job)
    return job


class Job:
    """What a job does. Holds the run's path only, for submitit pickles it."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self) -> None:
        """Execute the run to its end; ends the process if that fails, or another job is to go on with it."""
        run = RunDirectory.open(Path(self._path))
        preempted = signal.Signals["SIG" + os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2")]
        put_in_line_again = signal.getsignal(preempted)
        came, status = _work(run, preempted)
        if catalog.state(run.path) == "finished":
            return
        if preempted in came and callable(put_in_line_again):
            _put_in_line_again(run, lambda: put_in_line_again(preempted, None))
        if status or came:
            sys.exit(abs(status) or 1)

    def checkpoint(self) -> DelayedSubmission:
        """For submitit: what the job does when it is started again. By now the worker has left its checkpoints."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _work(run: RunDirectory, preempted: int) -> tuple[list[int], int]:
    """Have a worker execute the run: the signals that told to end it, and the worker's exit status.

    The worker has SIGTERM to stop. `preempted` goes to all processes of a job; it is blocked in the worker and its
    helpers, which it would kill, and comes to submitit's own handler only after they have stopped.
    """
    came: list[int] = []
    worker: subprocess.Popen[bytes] | None = None

    def stop(number: int, _: FrameType | None) -> None:
        came.append(number)
        if worker is not None:
            worker.terminate()

    for number in (preempted, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.umask(0o077)
    _keep_to_our_cores()
    _await_earlier_worker(run)
    asked_to_stop = _was_asked_to_stop(run)
    with tempfile.TemporaryDirectory(prefix="mftui-job-", ignore_cleanup_errors=True) as home:
        # the scheduler gave us our cores and GPUs: no queueing for them behind other jobs, whose GPUs have equal names
        os.environ["MFTUI_HOME"] = home
        signal.pthread_sigmask(signal.SIG_BLOCK, [preempted])  # inherited, and kept
        worker = start_worker(run)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [preempted])
        if asked_to_stop:
            control.ask(run.path, "stop")
        if came:  # before there was a worker to tell
            worker.terminate()
        status = worker.wait()
    control.forget_requests(run.path)  # whoever asks from here on, asks the next worker
    if signal.SIGTERM in came and catalog.state(run.path) != "finished":
        _linger(lambda: bool({preempted, signal.SIGINT} & set(came)))
    return came, status


def _linger(is_over: Callable[[], bool]) -> None:
    """Told by SIGTERM to end: a job that ends by itself is done with, one that is killed may be put in line again."""
    deadline = time.monotonic() + _LINGER_SECONDS
    while not is_over() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _put_in_line_again(run: RunDirectory, put: Callable[[], object]) -> None:
    """Ends the process unless there is no going on."""
    from submitit import JobEnvironment

    here = JobEnvironment()
    _tell(run, "queued", "its time was up; waits to be started again", cluster=here.cluster, job=here.job_id)
    try:
        put()
    except Exception:  # SystemExit, with which submitit ends a job that was put in line, passes
        _tell(run, "stopped", "the job could not be put in line again")
        raise


def _await_earlier_worker(run: RunDirectory) -> None:
    """Its job was killed, but its host may be slow to end it, or its last sign of life be young."""
    deadline = time.monotonic() + 2 * DEAD_AFTER_SECONDS
    while run.is_alive() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _keep_to_our_cores() -> None:
    """Where SLURM counts cores without binding jobs to them, all look free: take as many as we were given."""
    allotted, seen = os.environ.get("SLURM_CPUS_ON_NODE", ""), sorted(os.sched_getaffinity(0))
    if allotted.isdecimal() and 0 < int(allotted) < len(seen):
        os.sched_setaffinity(0, random.sample(seen, int(allotted)))


def _was_asked_to_stop(run: RunDirectory) -> bool:
    """Whether someone wanted the run stopped while no worker was there."""
    try:
        asked = run.path / control.REQUESTS
        with suppress(FileNotFoundError):  # without a lock file there was no worker at all
            if asked.stat().st_mtime < (run.path / "lock").stat().st_mtime:
                return False
        return b'"stop"' in asked.read_bytes()
    except OSError:
        return False


def _parameters(run: RunDirectory, cluster: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """submitit's, by the names it has for them: a core a worker or a GPU each, unless `given` says otherwise."""
    on_gpu = run.device.startswith("cuda")
    found: dict[str, Any] = {"timeout_min": _MINUTES[cluster], "name": f"mftui-{run.experiment.name}"}
    if on_gpu and not any("gpu" in key or "gres" in key for key in given):
        found["gpus_per_node"] = run.workers or 1
    if run.workers and not on_gpu:
        found["cpus_per_task"] = run.workers
    prefixes = tuple(f"{name}_" for name in CLUSTERS)
    for key, value in given.items():
        found[key if key in _SHARED or key.startswith(prefixes) else f"{cluster}_{key}"] = value
    if cluster == "slurm" and "cpus_per_task" in found:  # since SLURM 22.05 srun does not know what sbatch was told
        cores = f"--cpus-per-task={found['cpus_per_task']}"
        found["slurm_srun_args"] = [cores, *found.get("slurm_srun_args", [])]
    return found


def _tell(run: RunDirectory, kind: str, message: str, **more: str) -> None:
    """An event of the run while no worker is there to tell it."""
    with suppress(StoreFullError), EventLog(run.path) as log:
        log.event(kind, message=message, **more)
        log.sync()


def _in_one_line(error: Exception) -> str:
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip()) or type(error).__name__


@contextmanager
def _private() -> Iterator[None]:
    """What is made here, and by a job made here, is for the user alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _safe_path() -> Iterator[None]:
    """Pythons started here don't import from the folder where the user happens to stand."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before
