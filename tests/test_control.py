"""Requests to a worker: a server in this process, and requests that are put while a loop is at work."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.runs import control, lock
from engine.runs.control import REQUESTS, Control, ControlError, Server, ask, forget_requests, socket_path
from engine.runs.directory import RunDirectory
from engine.runs.files import from_json
from engine.runs.run import Loop
from engine.runs.store import EventLog
from engine.spec.names import SAMPLERS
from tests.runs import CEILING_SECONDS, make_run, small_blocks, tables_of, wait_until

# --- the socket ------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _own_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


@pytest.fixture
def asked(run_folder: Path) -> Iterator[Control]:
    """What a server in this process has been asked for."""
    taken = Control()
    server = Server(run_folder, taken)
    yield taken
    server.close()


def test_a_request_is_acknowledged_and_taken(asked: Control, run_folder: Path) -> None:
    ask(run_folder, "pause")
    assert asked.paused
    ask(run_folder, "step")
    ask(run_folder, "step")
    assert (asked.take_step(), asked.take_step(), asked.take_step()) == (True, True, False)
    ask(run_folder, "learning_rate", 0.25)
    ask(run_folder, "learning_rate", 2.0)
    assert (asked.take_rate(), asked.take_rate(), asked.take_rate()) == (0.25, 2.0, None)
    ask(run_folder, "continue")
    assert not asked.paused
    ask(run_folder, "stop")
    assert asked.stopping
    assert not (run_folder / REQUESTS).exists()


@pytest.mark.parametrize("value", ["0", "-1.0", "null", '"Infinity"', "NaN", "true", '"0.1"', "[0.1]", "1" + "0" * 400])
def test_what_is_no_learning_rate_is_refused_with_a_sentence(value: str, asked: Control, run_folder: Path) -> None:
    answer = _raw(run_folder, f'{{"request": "learning_rate", "value": {value}}}'.encode())
    assert str(answer["error"]).startswith("learning_rate: expected a number above 0, got ")
    assert asked.take_rate() is None
    ask(run_folder, "pause")
    assert asked.paused


def test_an_unknown_request_is_refused_naming_those_there_are(asked: Control, run_folder: Path) -> None:
    answer = _raw(run_folder, b'{"request": "format"}')
    assert answer == {"error": f"expected one of {', '.join(control.KINDS)}, got 'format'"}
    assert not asked.stopping


def _raw(folder: Path, data: bytes) -> dict[str, object]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(CEILING_SECONDS)
        connection.connect(str(socket_path(folder)))
        connection.sendall(data)
        answer: dict[str, object] = from_json(connection.recv(1 << 16))
        return answer


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(min_size=1, max_size=50), st.sampled_from([b"[" * 4000, b"{}", b"null", b"9" * 5000])))
def test_any_bytes_are_answered_by_a_sentence_and_the_server_goes_on(
    data: bytes, asked: Control, run_folder: Path
) -> None:
    assert isinstance(_raw(run_folder, data)["error"], str)
    assert not asked.paused
    assert not asked.stopping


def test_many_at_once_are_all_taken(asked: Control, run_folder: Path) -> None:
    threads = [threading.Thread(target=ask, args=(run_folder, "step")) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(asked.take_step() for _ in range(41)) == 40
    assert not (run_folder / REQUESTS).exists()


def test_those_who_connect_and_say_nothing_keep_nobody_waiting(
    asked: Control, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "ANSWER_SECONDS", 60.0)
    silent = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(3)]
    for connection in silent:
        connection.connect(str(socket_path(run_folder)))
    monkeypatch.setattr(control, "ANSWER_SECONDS", 30.0)
    ask(run_folder, "pause")
    assert asked.paused
    assert not (run_folder / REQUESTS).exists()
    for connection in silent:
        connection.close()


def _uid_of_peers(uid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_peer", lambda _: uid)


def test_another_users_request_is_dropped_without_an_answer(
    asked: Control, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _uid_of_peers(os.getuid() + 1, monkeypatch)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(CEILING_SECONDS)
        connection.connect(str(socket_path(run_folder)))
        with suppress(ConnectionResetError, BrokenPipeError):  # the connection may be closed before anything is sent
            connection.sendall(b'{"request": "stop"}')
            assert connection.recv(100) == b""
    assert not asked.stopping


def test_another_users_socket_is_not_trusted_and_the_request_goes_by_file(
    asked: Control, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _uid_of_peers(os.getuid() + 1, monkeypatch)
    ask(run_folder, "stop")
    assert not asked.stopping
    assert (run_folder / REQUESTS).read_bytes() == b'{"request": "stop"}\n'


def test_the_kernel_says_who_is_at_the_other_end() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        assert control._peer(one) == os.getuid()


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701, 0o777])
def test_a_folder_of_sockets_that_others_may_enter_is_refused(mode: int, run_folder: Path) -> None:
    folder = socket_path(run_folder).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(mode)
    with pytest.raises(PermissionError, match="expected a folder of mode 0700 that belongs to you"):
        Server(run_folder, Control())
    ask(run_folder, "pause")
    assert (run_folder / REQUESTS).read_bytes() == b'{"request": "pause"}\n'


def test_a_folder_of_sockets_of_somebody_else_or_behind_a_link_is_refused(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = socket_path(run_folder).parent
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    with pytest.raises(PermissionError, match="belongs to you"):
        socket_path(run_folder)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "s"))
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="belongs to you"):
        socket_path(run_folder)


def test_without_a_runtime_directory_sockets_are_in_a_private_folder(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(control.tempfile, "gettempdir", lambda: str(tmp_path))
    path = socket_path(run_folder)
    assert path.parent == tmp_path / f"mftui-{os.getuid()}"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_however_long_a_runs_path_its_socket_has_a_short_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    deep = tmp_path.joinpath(*["a-name-of-a-folder-that-is-rather-long" * 5] * 10)
    deep.mkdir(parents=True)
    assert len(os.fsencode(socket_path(deep))) - len(os.fsencode(tmp_path)) == len("/mftui/0123456789abcdef.sock")
    assert socket_path(deep) != socket_path(deep.parent)
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"/run/user/{2**32 - 2}")
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: None)
    monkeypatch.setattr(Path, "lstat", lambda _: os.stat_result((0o40700, 0, 0, 0, os.getuid(), 0, 0, 0, 0, 0)))
    assert len(os.fsencode(socket_path(deep))) < 108


def test_where_a_socket_can_have_no_name_requests_go_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    with pytest.raises(OSError, match="too long"):
        Server(tmp_path, Control())
    ask(tmp_path, "stop")
    assert (tmp_path / REQUESTS).exists()


def test_the_socket_of_a_dead_worker_is_replaced(run_folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(str(socket_path(run_folder)))
    taken = Control()
    server = Server(run_folder, taken)
    ask(run_folder, "pause")
    assert taken.paused
    server.close()
    assert not socket_path(run_folder).exists()


def test_a_worker_that_ends_without_an_answer_is_asked_by_file(run_folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(socket_path(run_folder)))
        listening.listen()
        thread = threading.Thread(target=lambda: listening.accept()[0].close())
        thread.start()
        ask(run_folder, "stop")
        thread.join()
    assert (run_folder / REQUESTS).read_bytes() == b'{"request": "stop"}\n'


def test_an_answer_that_is_none_is_a_refusal_in_a_sentence(run_folder: Path) -> None:
    def answer(connection: socket.socket) -> None:
        with connection:
            connection.recv(100)
            connection.sendall(b"[]")

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(socket_path(run_folder)))
        listening.listen()
        thread = threading.Thread(target=lambda: answer(listening.accept()[0]))
        thread.start()
        with pytest.raises(ControlError, match="expected a JSON object"):
            ask(run_folder, "stop")
        thread.join()


# --- the file --------------------------------------------------------------------------------------------------------


def test_requests_by_file_are_taken_in_order_and_none_is_lost_between_two_looks(run_folder: Path) -> None:
    taken = Control()
    taken.follow(run_folder)
    taken.look()
    rates: list[float | None] = []
    for number in range(1, 6):
        for part in range(number):
            ask(run_folder, "learning_rate", number + part / 10)
        taken.look()
        rates += [taken.take_rate() for _ in range(number)]
    assert rates == [number + part / 10 for number in range(1, 6) for part in range(number)]
    assert taken.take_rate() is None
    assert stat.S_IMODE((run_folder / REQUESTS).stat().st_mode) == 0o600


def test_half_a_request_waits_for_the_rest_and_nonsense_is_passed_over(run_folder: Path) -> None:
    taken = Control()
    taken.follow(run_folder)
    file = run_folder / REQUESTS
    nonsense = [b"\xff", b"[]", b"{", b'{"request": 1}', b'{"request": ["stop"]}', b"[" * 100_000, b""]
    nonsense += [b'{"request": "learning_rate", "value": 1' + b"0" * 400 + b"}"]
    file.write_bytes(b"\n".join(nonsense) + b'\n{"request": "pau')
    taken.look()
    assert not taken.paused
    assert taken.take_rate() is None
    with file.open("ab") as opened:
        opened.write(b'se"}\n')
    taken.look()
    assert taken.paused


def test_what_was_asked_of_an_earlier_worker_is_forgotten(run_folder: Path) -> None:
    ask(run_folder, "stop")
    forget_requests(run_folder)
    forget_requests(run_folder)
    taken = Control()
    taken.follow(run_folder)
    taken.look()
    assert not taken.stopping


def test_a_stop_is_not_taken_back_and_ends_a_pause() -> None:
    taken = Control()
    for request in ("pause", "stop", "continue", "pause"):
        taken.put({"request": request})
    assert taken.stopping
    assert not taken.paused


# --- a loop at work --------------------------------------------------------------------------------------------------

BUSY = ["model.width=3", "gd.steps=100", "gd.log_every=10", "gnc.draws=20_000", "gnc.prior_draws=8_000"]
"""a step of a prior, and three of Guess & Check, a data set"""


class Script(Control):
    """Puts requests at given looks of the loop."""

    def __init__(self, script: dict[int, list[dict[str, object]]]) -> None:
        super().__init__()
        self._script = script
        self.looks = 0

    def look(self) -> None:
        self.looks += 1
        for request in self._script.get(self.looks, []):
            self.put(request)

    def wait(self, seconds: float) -> None:
        """Nobody else asks: no time need pass."""


PAUSE, CONTINUE, STOP, STEP = ({"request": kind} for kind in ("pause", "continue", "stop", "step"))


def _rate(value: float) -> dict[str, object]:
    return {"request": "learning_rate", "value": value}


def _work(run: RunDirectory, script: dict[int, list[dict[str, object]]] | None = None) -> tuple[str, list[str]]:
    """An attempt in this process: how it ended, and what was told."""
    told: list[str] = []
    held = lock.Lock(run.path / "lock")
    loop = Loop(run, torch.device("cpu"), held, Script(script or {}), lambda kind, _: told.append(kind))
    outcome = loop.work()
    held.close()
    return outcome, told


def _steps_taken(run: RunDirectory) -> list[float]:
    """Steps or draws of each method, as its last row of progress tells."""
    rows = run.reader().rows("progress")
    return [rows[rows[:, 2] == method][-1, 4] for method in sorted(set(rows[:, 2]))]


@pytest.fixture(scope="module", autouse=True)
def _small_blocks() -> Iterator[None]:
    with small_blocks():
        yield


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    run = make_run(tmp_path_factory.mktemp("alone") / "run", *BUSY)
    assert _work(run) == ("finished", [])
    return tables_of(run)


@pytest.fixture(autouse=True)
def _short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of the loop is one step of descent; each is told."""
    monkeypatch.setattr("engine.descent.descent.STEP_SECONDS", -1.0)
    monkeypatch.setattr("engine.runs.lane.PROGRESS_SECONDS", -1.0)


def test_a_pause_is_told_and_changes_no_number(alone: dict[str, bytes], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", *BUSY)
    script = {7: [PAUSE], 20: [CONTINUE], 40: [PAUSE], 45: [CONTINUE], 60: [PAUSE, CONTINUE]}
    assert _work(run, script) == ("finished", ["paused", "continued"] * 2)
    assert tables_of(run) == alone


def test_a_single_step_is_one_step_of_each_method(alone: dict[str, bytes], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", *BUSY)
    seen: list[int] = []

    class Counting(Script):
        def take_step(self) -> bool:
            taken = super().take_step()
            if taken or self._paused:
                seen.append(len(run.reader().rows("progress")))
            return taken

    told: list[str] = []
    held = lock.Lock(run.path / "lock")
    single = Counting({1: [STEP], 10: [STEP], 20: [STEP, STEP], 40: [CONTINUE]})
    loop = Loop(run, torch.device("cpu"), held, single, lambda kind, _: told.append(kind))
    assert loop.work() == "finished"
    held.close()
    assert sorted(set(seen))[:3] == [0, 3, 6]
    assert tables_of(run) == alone


@pytest.mark.parametrize("at", [1, 2, 3, 20, 33])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(at: int, alone: dict[str, bytes], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", *BUSY)
    assert _work(run, {at: [STOP]}) == ("stopped", [])
    assert _work(run, {at + 1: [STOP]})[0] == "stopped"
    assert _work(run) == ("finished", [])
    assert tables_of(run) == alone
    assert list(run.path.glob("checkpoint-*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "rejection"])
def test_every_sampler_that_was_stopped_goes_on_to_the_same_bits(sampler: str, tmp_path: Path) -> None:
    wanted = 50 if sampler == "splitting" else 200
    texts = [f"gnc.sampler='{sampler}'", "methods=['gnc']", "model.width=8", f"gnc.effective_samples={wanted}"]
    texts += ["gnc.eps_train=3e-2", "gnc.draws=300_000"]
    whole, run = make_run(tmp_path / "alone", *texts), make_run(tmp_path / "run", *texts)
    _work(whole)
    stops = 0
    while _work(run, {2 ** (stops + 1): [STOP]})[0] == "stopped":
        stops += 1
    assert stops
    assert tables_of(run) == tables_of(whole)


def _changes(run: RunDirectory) -> list[tuple[int, float]]:
    return [(event["step"], event["value"]) for event in run.reader().events() if event["event"] == "learning_rate"]


def _replay(folder: Path, changes: list[tuple[int, float]]) -> dict[str, bytes]:
    """Tables of a run that nobody disturbs, and that finds these changes among its events."""
    run = make_run(folder / "replay", *BUSY)
    gd = 0
    with EventLog(run.path, f"{gd:04d}") as log:
        log.event("attempt", unit=gd, rows={})
        for step, value in changes:
            log.event("learning_rate", step=step, value=value)
    assert _work(run) == ("finished", [])
    return tables_of(run)


def test_a_changed_learning_rate_is_recorded_and_changes_the_numbers(alone: dict[str, bytes], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", *BUSY)
    assert _work(run, {30: [_rate(0.05)], 90: [_rate(0.2)]})[0] == "finished"
    changes = _changes(run)
    assert [value for _, value in changes] == [0.05, 0.2]
    assert 0 < changes[0][0] < changes[1][0] < 100
    tables = tables_of(run)
    assert tables["gd"] != alone["gd"]
    assert tables["guesses"] == alone["guesses"]
    assert _replay(tmp_path, changes) == tables


class _Killed(BaseException):
    """As if by signal 9: nothing is put away."""


class _Kill(dict[str, object]):
    def get(self, *_: object) -> object:
        raise _Killed


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "at", "after"])
@pytest.mark.parametrize("checkpoints", [False, True])
def test_a_run_killed_around_a_change_of_learning_rate_ends_as_one_that_was_not(
    checkpoints: bool, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runs.lane.CHECKPOINT_SECONDS", -1.0 if checkpoints else 1e9)
    run = make_run(tmp_path / "run", *BUSY)
    kill = {"before": 25, "at": 31, "after": 70}[when]
    script: dict[int, list[dict[str, object]]] = {kill: [_Kill()]}
    if when != "before":
        script[30] = [_rate(0.05)]
    with pytest.raises(_Killed):
        _work(run, script)
    assert _work(run, {} if when != "before" else {30: [_rate(0.05)]})[0] == "finished"
    changes = _changes(run)
    assert [value for _, value in changes] == [0.05]
    assert tables_of(run) == _replay(tmp_path, changes)


def test_a_change_asked_for_before_the_first_step_of_an_attempt_is_made(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", *BUSY)
    assert _work(run, {1: [PAUSE], 2: [_rate(0.05)], 3: [CONTINUE], 40: [STOP]})[0] == "stopped"
    assert _work(run, {1: [PAUSE], 2: [_rate(0.02)], 3: [CONTINUE]})[0] == "finished"
    changes = _changes(run)
    assert [value for _, value in changes] == [0.05, 0.02]
    assert changes[0][0] == 0
    assert tables_of(run) == _replay(tmp_path, changes)


def test_of_several_changes_at_one_step_the_last_counts_however_the_run_was_interrupted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", *BUSY)
    assert _work(run, {30: [PAUSE], 31: [_rate(0.05)], 32: [STOP]})[0] == "stopped"
    with pytest.raises(_Killed):
        _work(run, {1: [PAUSE], 2: [_rate(0.02)], 3: [CONTINUE], 9: [_Kill()]})
    assert _work(run)[0] == "finished"
    changes = _changes(run)
    assert [value for _, value in changes] == [0.05, 0.02]
    assert changes[0][0] == changes[1][0]
    assert tables_of(run) == _replay(tmp_path, changes)


# --- a worker --------------------------------------------------------------------------------------------------------


def test_requests_reach_a_loop_in_another_thread_at_its_next_step(tmp_path: Path) -> None:
    """The real thing but for the process: a server, a loop, a front end."""
    run = make_run(tmp_path / "run", *BUSY, "gd.steps=1_000_000_000", "gnc.draws=1_000_000_000")
    taken, told = Control(), list[str]()
    server = Server(run.path, taken)
    held = lock.Lock(run.path / "lock")
    loop = Loop(run, torch.device("cpu"), held, taken, lambda kind, _: told.append(kind))
    thread = threading.Thread(target=loop.work)
    thread.start()
    try:
        ask(run.path, "pause")
        wait_until(lambda: told == ["paused"], "the pause")
        ask(run.path, "learning_rate", 0.05)
        wait_until(lambda: _changes(run), "the change")
        ask(run.path, "continue")
        wait_until(lambda: told == ["paused", "continued"], "the end of the pause")
    finally:
        ask(run.path, "stop")
        thread.join()
        server.close()
        held.close()
    assert [value for _, value in _changes(run)] == [0.05]


def test_nothing_listens_on_a_port(asked: Control) -> None:
    def listening(name: str) -> set[str]:
        lines = Path(f"/proc/self/net/{name}").read_text(encoding="utf-8").splitlines()[1:]
        inodes = {line.split()[9] for line in lines if line.split()[3] == "0A"}
        mine = {os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()}
        return {inode for inode in inodes if f"socket:[{inode}]" in mine}

    assert listening("tcp") | listening("tcp6") == set()
    assert not asked.stopping
