"""The process that executes a run: `python -m engine.runs.worker DIRECTORY`.

Detached from any terminal by its launcher. Everything it has to say goes into the run directory. Exit status: 0 the run
finished or was stopped, 1 it failed (the last event says why), 3 nothing more could be stored.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from engine.results import TrialResult, trial_of
from engine.runs import store
from engine.runs.directory import Request, RunDirectory, RunError
from engine.runs.launch import EXIT_STORE_FULL


def main(path: Path) -> int:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.umask(0o077)
    try:
        run = RunDirectory.open(path)
        run.lock()
    except RunError as error:
        print(error, file=sys.stderr)
        return 1
    requests = _Requests(run)
    signal.signal(signal.SIGTERM, requests.stop)
    trials = finished_trials(run)
    try:
        with store.Writer(run.path, run.reader().schema, store.attempts(run.path) + 1) as writer:
            writer.event("started", pid=os.getpid())
            return _work(run, writer, requests, trials)
    except store.StoreFullError as error:
        with suppress(OSError):  # the log is on the same disk
            print(f"{error} (run {run.name})", file=sys.stderr)
        return EXIT_STORE_FULL


def finished_trials(run: RunDirectory) -> list[TrialResult]:
    """The results of earlier attempts; one that is damaged counts as not finished."""
    trials = []
    for event in run.reader().events():
        if event["event"] == "trial":
            with suppress(KeyError, TypeError):
                trials.append(trial_of(event))
    return trials


def _work(run: RunDirectory, writer: store.Writer, requests: _Requests, trials: list[TrialResult]) -> int:
    import torch

    from engine.parallel import keep_freed_memory
    from engine.runs.environment import fingerprint, resolve_device
    from engine.runs.run import execute

    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        device = resolve_device(run.device)
        if device.type == "cuda":
            torch.cuda.set_device(device)  # streams and graphs are made on the current one
        attempt = store.attempts(run.path)
        store.write_atomically(
            run.path / f"environment-{attempt:04d}.json", store.to_json(fingerprint(device), indent=2).encode() + b"\n"
        )
        writer.event("device", device=str(device))
        outcome = execute(run.experiment, device, writer, requests, trials)
    except store.StoreFullError:
        raise
    except RunError as error:
        writer.event("failed", message=str(error))
        return 1
    except (torch.OutOfMemoryError, MemoryError) as error:
        writer.event("failed", message=f"out of memory: {error}; try a smaller model.width or problem")
        return 1
    except Exception as error:
        traceback.print_exc()
        writer.event("failed", message=f"{type(error).__name__}: {error} (details in {run.log})")
        return 1
    run.write_results(trials)
    writer.event(outcome)
    return 0


class _Requests:
    """What was last asked for; reads the file only when it was replaced. A stop is never taken back."""

    def __init__(self, run: RunDirectory) -> None:
        self._path = run.control
        self._seen: tuple[int, int] | None = None
        self._request: Request | None = None

    def __call__(self) -> Request | None:
        if self._request == "stop":
            return "stop"
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return self._request
        file = (status.st_ino, status.st_mtime_ns)  # two requests within a clock tick (4 ms) differ by inode only
        if file != self._seen:
            asked = store.from_json(self._path.read_bytes())["request"]
            self._request, self._seen = asked, file
        return self._request

    def stop(self, *_: object) -> None:
        """Handles SIGTERM; needs no room on the disk."""
        self._request = "stop"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
