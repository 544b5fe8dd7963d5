"""The queue of a device, and the processes that share a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from engine.home import home_directory
from engine.runs import catalog, lock, queue
from engine.runs.control import ask
from engine.runs.directory import RunDirectory
from engine.runs.launch import start_worker
from engine.runs.queue import Ticket
from engine.runs.worker import BEHIND_THE_SCREEN
from mftui.live import LiveRun
from tests.runs import CEILING_SECONDS, LONG, follow, follow_to_end, make_run, results_of, tables_of, wait_until

HOLDER = """
import sys
from pathlib import Path
from engine.runs.queue import Ticket
ticket = Ticket(sys.argv[1], Path(sys.argv[2]))
print(ticket.is_next(), flush=True)
sys.stdin.read()
"""


@contextmanager
def _somebody(device: str, run: str) -> Iterator[subprocess.Popen[str]]:
    """Another process with a ticket; whether it was next is the first line it writes."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", HOLDER, device, run], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


# --- tickets ---------------------------------------------------------------------------------------------------------


def test_a_gpu_has_one_place_and_the_others_wait_in_their_order(tmp_path: Path) -> None:
    with _somebody("cuda:0", "/first") as first, _somebody("cuda:1", "/elsewhere") as elsewhere:
        assert (_line(first), _line(elsewhere)) == ("True", "True")
        ticket = Ticket("cuda:0", tmp_path)
        assert not ticket.is_next()
        with _somebody("cuda:0", "/third") as third:
            assert _line(third) == "False"
            places = queue.queue()
            assert [(place.device, place.run, place.at_work) for place in places] == [
                ("cuda:0", "/first", True),
                ("cuda:0", str(tmp_path), False),
                ("cuda:0", "/third", False),
                ("cuda:1", "/elsewhere", True),
            ]
            assert [place.pid for place in places] == [first.pid, os.getpid(), third.pid, elsewhere.pid]
            first.kill()
            first.wait()
            wait_until(ticket.is_next, "its turn")
        ticket.give_up()
        wait_until(lambda: [place.run for place in queue.queue()] == ["/elsewhere"], "the end of the others")


def test_the_cpu_has_a_place_a_core(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    with _somebody("cpu", "/one") as one, _somebody("cpu", "/two") as two:
        assert _line(one) == "True"
        _line(two)
        ticket = Ticket("cpu", tmp_path)
        assert not ticket.is_next()
        one.kill()
        one.wait()
        wait_until(ticket.is_next, "its turn")
        ticket.give_up()


def _tickets() -> list[Path]:
    return sorted((home_directory() / "queue").rglob("*-*[0-9]"))


def test_a_dead_process_has_no_place_and_its_ticket_is_thrown_away_at_once(tmp_path: Path) -> None:
    first = Ticket("cuda:0", tmp_path)
    folder = first._folder
    first.give_up()
    dead = folder / f"{queue.time.time_ns():020d}-2"
    dead.touch()
    ticket = Ticket("cuda:0", tmp_path)
    assert ticket.is_next()
    assert not dead.exists()
    assert [path.name[0] != "." for path in folder.iterdir()] == [True]
    ticket.give_up()


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"{}", b'{"run": 1, "pid": "x"}', b"[" * 100_000])
def test_a_damaged_ticket_is_left_out_of_the_list_and_still_counts(content: bytes, tmp_path: Path) -> None:
    ticket = Ticket("cuda:0", tmp_path)
    with _somebody("cuda:0", "/second") as second:
        _line(second)
        path = next(path for path in ticket._folder.iterdir() if path.name.endswith(f"-{second.pid}"))
        with path.open("r+b") as file:
            file.truncate()
            file.write(content)
        later = Ticket("cuda:0", tmp_path)
        assert later.ahead() >= 1
        assert all(place.run != "/second" for place in queue.queue())
        later.give_up()
    ticket.give_up()


def test_what_else_lies_in_the_queues_folder_harms_nobody(tmp_path: Path) -> None:
    ticket = Ticket("cuda:0", tmp_path)
    (ticket._folder / "9-a-folder").mkdir()
    (ticket._folder.parent / "a-file").touch()
    assert ticket.is_next()
    assert [place.run for place in queue.queue()] == [str(tmp_path)]
    ticket.give_up()


# --- a run's processes -----------------------------------------------------------------------------------------------

SHARED = ["gd.steps=3_000", "gnc.draws=600_000", "gnc.prior_draws=400_000"]
ENDLESS = [*LONG, "model.width=[3, 4]", "sweep.values=[3, 4]"]


def _shared_run(path: Path, *overrides: str, workers: int = 2, urgent: bool = False) -> RunDirectory:
    made = make_run(path.with_name(f"{path.name}-made"), *overrides)
    return RunDirectory.create(made.experiment, "cpu", path, workers=workers, urgent=urgent)


def _helpers(run: RunDirectory, count: int = 1) -> set[int]:
    """Processes beside the leader that hold a unit of the run."""
    leader = run.worker()
    units = {lock.holder(run.path / "lock", lock.unit(number)) for number in range(12)}
    return {pid for pid in units if pid is not None} - {leader}


@pytest.fixture
def end_all() -> Iterator[list[RunDirectory]]:
    """Runs whose workers are stopped after the test."""
    runs: list[RunDirectory] = []
    yield runs
    for run in runs:
        if run.is_alive():
            ask(run.path, "stop")
            wait_until(lambda run=run: not run.is_alive(), "the end of the workers")


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """What one worker makes of `SHARED`."""
    run = _shared_run(tmp_path_factory.mktemp("alone") / "run", *SHARED, workers=1, urgent=True)
    follow_to_end(LiveRun.start(run))
    return run


needs_two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: no helper is ever hired")


@needs_two_cores
@pytest.mark.slow
def test_two_processes_come_to_the_numbers_of_one(alone: RunDirectory, tmp_path: Path) -> None:
    run = _shared_run(tmp_path / "run", *SHARED)
    live = LiveRun.start(run)
    follow_to_end(live)
    assert live.state == "finished"
    assert tables_of(run) == tables_of(alone)
    assert {**results_of(run), "preset": ""} == {**results_of(alone), "preset": ""}
    assert not run.is_alive()


@needs_two_cores
@pytest.mark.slow
def test_helpers_end_with_their_leader_and_the_run_goes_on(
    alone: RunDirectory, tmp_path: Path, end_all: list[RunDirectory]
) -> None:
    run = _shared_run(tmp_path / "run", *SHARED, "gd.steps=1_000_000_000", "gnc.draws=1_000_000_000", urgent=True)
    end_all.append(run)
    live = LiveRun.start(run)
    helpers: set[int] = set()
    wait_until(lambda: helpers.update(_helpers(run)) or helpers, "a helper at work")
    leader = run.worker()
    assert leader is not None
    os.kill(leader, signal.SIGKILL)
    live.wait(CEILING_SECONDS)
    wait_until(lambda: not any(map(_exists, helpers)), "the end of the helpers")
    assert not run.is_alive()
    assert catalog.state(run.path) == "interrupted"
    again = LiveRun.start(RunDirectory.open(run.path))
    follow(again, lambda run: run.state == "running" or run.over, "the second attempt")
    again.stop()
    follow_to_end(again)


@needs_two_cores
@pytest.mark.slow
def test_the_unit_of_a_helper_that_was_killed_is_finished_by_the_leader(alone: RunDirectory, tmp_path: Path) -> None:
    run = _shared_run(tmp_path / "run", *SHARED, urgent=True)
    live = LiveRun.start(run)
    wait_until(lambda: _helpers(run) or live.wait(0), "a helper at work")
    for helper in _helpers(run):
        os.kill(helper, signal.SIGKILL)
    follow_to_end(live)
    assert live.state == "finished"
    assert tables_of(run) == tables_of(alone)


@needs_two_cores
@pytest.mark.slow
def test_a_pause_from_the_very_beginning_holds_for_helpers_too(tmp_path: Path, end_all: list[RunDirectory]) -> None:
    run = _shared_run(tmp_path / "run", *ENDLESS[:-2], urgent=True)
    end_all.append(run)
    live = LiveRun.start(run)
    wait_until(lambda: run.worker() is not None, "the leader")
    live.pause()
    follow(live, lambda live: live.state == "paused", "the pause")
    live.resume()
    follow(live, lambda live: live.state == "running", "the end of the pause")
    live.stop()
    follow_to_end(live)


@pytest.mark.slow
@pytest.mark.parametrize("urgent", [True, False])
def test_a_run_that_is_watched_as_it_starts_leaves_the_screen_its_core(
    urgent: bool, tmp_path: Path, end_all: list[RunDirectory]
) -> None:
    run = _shared_run(tmp_path / "run", *ENDLESS, workers=1, urgent=urgent)
    end_all.append(run)
    live = LiveRun.start(run)
    follow(live, lambda live: live.state == "running", "the run")
    leader = run.worker()
    assert leader is not None
    own = os.getpriority(os.PRIO_PROCESS, 0)
    niceness = min(19, own + BEHIND_THE_SCREEN * urgent)
    assert os.getpriority(os.PRIO_PROCESS, leader) == niceness
    autogroup = Path(f"/proc/{leader}/autogroup")
    if urgent and autogroup.exists():  # Linux may weigh sessions first, and their processes' niceness only then
        assert autogroup.read_text(encoding="ascii").split()[-1] == str(niceness)
    live.stop()
    follow_to_end(live)


@needs_two_cores
@pytest.mark.slow
def test_two_runs_that_share_the_cores_never_wait_for_each_others_places(tmp_path: Path) -> None:
    """Leaders hold all places, helpers wait for one: whoever is done must not wait for its helper."""
    runs = [_shared_run(tmp_path / name, *SHARED, workers=0) for name in ("one", "other")]
    follow_to_end(*[LiveRun.start(run) for run in runs])
    assert [catalog.state(run.path) for run in runs] == ["finished", "finished"]


@needs_two_cores
@pytest.mark.slow
def test_a_run_does_not_wait_for_a_helper_that_has_no_place(tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    with ExitStack() as held:
        for index in range(cores - 1):
            assert _line(held.enter_context(_somebody("cpu", f"/{index}"))) == "True"
        run = _shared_run(tmp_path / "run", *SHARED, workers=0)
        live = LiveRun.start(run)
        follow_to_end(live)
        assert live.state == "finished"


@pytest.mark.slow
def test_of_two_resumes_at_once_one_wins_and_the_other_names_the_holder(
    tmp_path: Path, end_all: list[RunDirectory]
) -> None:
    run = make_run(tmp_path / "run", *LONG)
    end_all.append(run)
    processes = [start_worker(run) for _ in range(2)]
    wait_until(lambda: any(process.poll() is not None for process in processes), "the end of one of them")
    loser, winner = sorted(processes, key=lambda process: process.poll() is None)
    assert loser.returncode == 1
    assert run.worker() == winner.pid
    assert run.log.read_text(encoding="utf-8") == f"run: already running, held by process {winner.pid}\n"
    wait_until(lambda: list(run.path.glob("events-run-*")), "the winner's log")
    assert len(list(run.path.glob("events-run-*"))) == 1
    wait_until(lambda: catalog.state(run.path) == "running", "the winner at work")
    ask(run.path, "stop")
    winner.wait(CEILING_SECONDS)


@pytest.mark.slow
def test_of_two_resume_commands_at_once_one_wins_and_the_other_says_who_holds_the_run(
    tmp_path: Path, end_all: list[RunDirectory]
) -> None:
    run = make_run(tmp_path / "run", *LONG)
    end_all.append(run)
    command = [sys.executable, "-P", "-m", "mftui.cli", "resume", str(run.path), "--detach"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ended = [(process.communicate(timeout=CEILING_SECONDS), process.returncode) for process in processes]
    (lost, status), (won, success) = sorted(ended, key=lambda each: each[1] == 0)
    assert success == 0, (won, lost)
    assert won[0].strip() == str(run.path)
    assert status in (1, 2)
    assert f"already running, held by process {run.worker()}" in lost[1]
    assert "Traceback" not in lost[1]
