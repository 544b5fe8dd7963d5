"""The process that executes a run: `python -m engine.runs.worker DIRECTORY`.

Detached from any terminal by its launcher. Everything it has to say goes into the run directory. Exit status: 0 the run
finished or was stopped, 1 it failed (the last event says why), 3 nothing more could be stored.

    worker DIRECTORY                         leads the run, alone or with helpers
    worker DIRECTORY --help-on DEVICE CORES  helps a leader, whose orders come by standard input
    worker --spare                           loads what is slow, then leads the run whose directory is the first line of
                                             standard input
"""

from __future__ import annotations

import gc
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from engine.runs.catalog import HEARTBEAT_SECONDS, RunError, hold
from engine.runs.control import Control, Server
from engine.runs.crew import BEGUN, Crew, Report, obey, tell_leader
from engine.runs.files import APPEND, StoreFullError, to_json, write_atomically
from engine.runs.lock import Lock
from engine.runs.process import EXIT_FAILED, EXIT_STORE_FULL
from engine.runs.queue import WAIT_SECONDS, Ticket

if TYPE_CHECKING:
    import torch

    from engine.runs.directory import RunDirectory
    from engine.runs.store import EventLog


_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""for NumPy's BLAS, before it is loaded: the last bit of a product depends on the number of threads"""
BEHIND_THE_SCREEN = 5
"""added to the niceness of a run that somebody watches as it starts: with both cores at work, a key waits for one"""
AUTOGROUP = Path("/proc/self/autogroup")
"""where Linux shares the processor out between sessions first, and niceness counts within one only [sched(7)]"""
AUTOGROUP_TRIES, AUTOGROUP_SECONDS = 5, 0.1
"""it takes one change in so long, of all sessions"""


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.umask(0o077)
    os.environ.update(_ONE_THREAD)
    match arguments:
        case ["--spare"]:
            return _wait_as_spare()
        case [path, "--help-on", device, cores]:
            return _help(Path(path), device, int(cores))
    return lead(Path(arguments[0]))


def lead(path: Path) -> int:
    """Execute a run, to its end or until it is stopped. The lock and the socket come before all slow imports."""
    path = path.absolute()
    try:
        held = hold(path)
    except RunError as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    control = Control()
    signal.signal(signal.SIGTERM, control.stop)
    control.follow(path)
    threading.Thread(target=_beat, args=(held,), name="heart", daemon=True).start()
    try:
        with _listening(path, control) as trouble:
            return _open_and_lead(path, held, control, trouble)
    except StoreFullError as error:
        return _no_room(error, path)
    finally:
        held.close()


def _open_and_lead(path: Path, held: Lock, control: Control, trouble: str) -> int:
    from engine.runs.directory import RunDirectory
    from engine.runs.store import EventLog

    try:
        run = RunDirectory.open(path)
    except RunError as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    with EventLog(path) as log:
        log.event("started", pid=os.getpid(), host=platform.node())
        if trouble:
            log.event("remark", message=trouble)
        for told in _remarks(run):
            log.event("remark", message=told)
        return _lead(run, held, control, log)


def _remarks(run: RunDirectory) -> tuple[str, ...]:
    from engine.spec.ratings import RatingsError

    try:
        return run.experiment.remarks()
    except RatingsError:  # the run fails over it, and says so
        return ()


def _lead(run: RunDirectory, held: Lock, control: Control, log: EventLog) -> int:
    if run.urgent:
        os.nice(BEHIND_THE_SCREEN)
        _step_back()

    def report(kind: str, message: str) -> None:
        log.event(kind, **({"message": message} if message else {}))

    crew = Crew(run.path, report)
    control.relay(crew.pass_on)

    def work() -> str:
        _load()
        from engine.runs.environment import devices, fingerprint

        places = devices(run.device, run.workers)
        with _turn(run, places[0], control, report) as may_begin:
            if not may_begin:
                return "stopped"
            about = to_json(fingerprint(places[0]), indent=2).encode() + b"\n"
            write_atomically(run.path / f"environment-{log.attempt:04d}.json", about)
            log.event("device", device=places[0])
            return _together(run, places, held, control, report, crew)

    try:
        outcome = _guarded(work, report, run)
    finally:
        crew.dismiss()
    if outcome is None:
        return EXIT_FAILED
    from engine.runs.lane import finished_trials

    run.write_results(finished_trials(run))
    log.event(outcome)
    log.sync()
    return 0


def _step_back() -> None:
    """Let our niceness count against processes of other sessions as well, such as the screen."""
    if os.getsid(0) != os.getpid():
        return  # others are in this session
    for _ in range(AUTOGROUP_TRIES):
        try:
            AUTOGROUP.write_text(str(os.getpriority(os.PRIO_PROCESS, 0)), encoding="ascii")
        except BlockingIOError:
            time.sleep(AUTOGROUP_SECONDS)
        except OSError:  # there is no such thing here
            return
        else:
            return


def _together(run: RunDirectory, places: list[str], held: Lock, control: Control, report: Report, crew: Crew) -> str:
    """The leader's own units, and those of its helpers; again, if a helper dies and leaves one. Raises `RunError`."""
    from engine.parallel import limit_cores
    from engine.runs.run import Loop

    loop = Loop(run, _set_up(places[0]), held, control, report)
    loop.take()
    helpers = places[1 : 1 + len(loop.waiting)]
    cores = max(1, len(os.sched_getaffinity(0)) // (1 + len(helpers)))
    limit_cores(cores)
    crew.hire(helpers, cores)
    if control.paused:  # asked before there were any
        crew.pass_on({"request": "pause"})
    while loop.work() == "finished":
        crew.send_home_those_who_wait()
        while crew.at_work() and not control.stopping:
            loop.idle()
        if control.stopping:
            return "stopped"
        if EXIT_STORE_FULL in crew.statuses():
            raise StoreFullError(None, "a helper could not store any more")
        if crew.failure:
            raise RunError(crew.failure)
        loop.take()
        if not loop.at_work:
            return "finished"
    return "stopped"


def _help(path: Path, device: str, cores: int) -> int:
    from engine.runs.directory import RunDirectory

    control = Control()
    signal.signal(signal.SIGTERM, control.stop)
    obey(FileIO(0, closefd=False), control)  # a buffered file's lock would abort Python's end
    run = RunDirectory.open(path)
    held = Lock(run.path / "lock")
    if run.urgent:
        _step_back()

    def work() -> str:
        _load()
        from engine.parallel import limit_cores
        from engine.runs.run import Loop

        with _turn(run, device, control, _only_remarks) as may_begin:
            if not may_begin:
                return "stopped"
            tell_leader(BEGUN, "")
            limit_cores(cores)
            return Loop(run, _set_up(device), held, control, _only_remarks).work()

    try:
        return 0 if _guarded(work, tell_leader, run) else EXIT_FAILED
    except StoreFullError as error:
        return _no_room(error, run.path)


def _only_remarks(kind: str, message: str) -> None:
    """A helper leaves the telling of the run's state to the leader."""
    if kind == "remark":
        tell_leader(kind, message)


def _wait_as_spare() -> int:
    """Load what takes seconds, and wait for a run; the end of standard input means that none will come."""
    _load()
    line = sys.stdin.buffer.readline().rstrip(b"\n")
    if not line:
        return 0
    run = Path(os.fsdecode(line))
    log = os.open(run / "run.log", APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    return lead(run)


def _load() -> None:
    """Import what takes a second: a sixth sooner without looking for garbage, and what is loaded never is any."""
    if "engine.runs.run" in sys.modules:
        return
    gc.disable()
    try:
        import_module("engine.runs.run")
    finally:
        gc.enable()
    gc.freeze()


def _guarded(work: Callable[[], str], report: Report, run: RunDirectory) -> str | None:
    """What `work` returns; None if it failed, which is then reported. A full store is the caller's matter."""
    try:
        return work()
    except StoreFullError:
        raise
    except RunError as error:
        report("failed", str(error))
    except Exception as error:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            report("failed", f"out of memory: {error}; try a smaller model.width or problem")
        else:
            traceback.print_exc()
            report("failed", f"{type(error).__name__}: {error} (details in {run.log})")
    return None


@contextmanager
def _turn(run: RunDirectory, device: str, control: Control, report: Report) -> Iterator[bool]:
    """A place in the device's queue; entered when it is our turn, with False if a stop is asked for before that."""
    try:
        ticket = Ticket(device, run.path)
    except OSError as error:
        report("remark", f"computing without a place in the queue: {error.strerror}")
        yield True
        return
    try:
        if not run.urgent and not ticket.is_next():
            report("queued", f"waiting for {device}; `mftui queue` shows who is at work on it")
            while not ticket.is_next() and not control.stopping:
                control.wait(WAIT_SECONDS)
                control.look()
        yield not control.stopping
    finally:
        ticket.give_up()


@contextmanager
def _listening(path: Path, control: Control) -> Iterator[str]:
    """A socket for requests; entered with a sentence if there can be none."""
    try:
        server = Server(path, control)
    except OSError as error:
        yield f"requests are taken by file only: {error}"
        return
    try:
        yield ""
    finally:
        server.close()


def _beat(held: Lock) -> None:
    while True:
        held.beat()
        time.sleep(HEARTBEAT_SECONDS)


def _no_room(error: StoreFullError, path: Path) -> int:
    with suppress(OSError):  # the log is on the same disk
        print(f"{error} (run {path.name})", file=sys.stderr)
    return EXIT_STORE_FULL


def _set_up(device: str) -> torch.device:
    import torch

    from engine.parallel import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()
    found = torch.device(device)
    if found.type == "cuda":
        torch.cuda.set_device(found)  # streams and graphs are made on the current one
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
