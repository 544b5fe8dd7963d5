"""What may happen to runs: kills, damaged directories, names that try things, old formats, very long logs."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.runs import catalog, lock, store
from engine.runs.catalog import RunError, runs_directory
from engine.runs.checkpoints import Checkpoints
from engine.runs.control import Control
from engine.runs.directory import RunDirectory
from engine.runs.files import from_json
from engine.runs.lane import STATES, finished_trials
from engine.runs.launch import start_worker
from engine.runs.run import Loop
from engine.runs.store import Reader, Writer
from engine.spec import preset
from engine.spec.defects import PresetError
from mftui.live import LiveRun
from tests.commands import no_worker_is_left, terminal  # noqa: F401 (a fixture)
from tests.runs import make_run, small_blocks, wait_until

DATA = Path(__file__).parent / "data"
FUZZ = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# --- kills -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_workers_killed_at_random_moments_lose_no_row_and_change_no_bit() -> None:
    command = [sys.executable, "-m", "tests.kill", "--kills", "36"]
    folder = Path(__file__).parents[1]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert int(ended.stdout.splitlines()[-1].split(": ")[1].split()[0]) >= 36


@pytest.mark.slow
@pytest.mark.usefixtures("no_worker_is_left")
@pytest.mark.parametrize("harm", ["hangup", "closed", "killed"])
def test_a_run_outlives_the_explorer_it_was_started_in(harm: str, tmp_path: Path) -> None:
    with terminal("explore", "quick-start", columns=120) as screen:

        def goes_on() -> bool:
            screen.read()
            found = catalog.entries()
            return bool(found) and found[0].state == "running"

        wait_until(goes_on, "the run")
        match harm:
            case "hangup":
                screen.process.send_signal(signal.SIGHUP)
            case "killed":
                screen.process.kill()
            case _:
                screen.close()
        screen.end()
        assert "Traceback" not in screen.text
    run = RunDirectory.open(catalog.latest())
    wait_until(lambda: run.worker() is not None or catalog.state(run.path) == "finished", "the worker, still there")
    before = _size(run.path)
    wait_until(lambda: _size(run.path) > before or catalog.state(run.path) == "finished", "more of the run")
    assert catalog.state(run.path) in ("running", "finished")


def _size(run: Path) -> int:
    return sum(file.stat().st_size for file in run.glob("progress-*.rec"))


# --- damaged directories ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped midway: tables, events, checkpoints."""
    run = make_run(tmp_path_factory.mktemp("whole") / "run", "gd.steps=3_000", "gnc.draws=100_000", "seeds=1")
    looks = iter(range(12))

    class Short(Control):
        def look(self) -> None:
            if next(looks, None) is None:
                self.stop()

    held = lock.Lock(run.path / "lock")
    with store.EventLog(run.path) as log, small_blocks():
        for kind in ("started", "device", "paused"):
            log.event(kind, device="cpu", host="elsewhere", message="")
        Loop(run, torch.device("cpu"), held, Short(), lambda kind, message: log.event(kind, message=message)).work()
    held.close()
    assert list(run.path.glob("checkpoint-*"))
    return run.path


def _flipped(content: bytes, rng: random.Random) -> bytes:
    harmed = bytearray(content)
    for _ in range(rng.randint(1, 8) if harmed else 0):
        harmed[rng.randrange(len(harmed))] ^= 1 << rng.randrange(8)
    return bytes(harmed)


def _as_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _as_link(target: str) -> Callable[[Path], None]:
    def link(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return link


VALUES = [b"null", b"1e999", b"-1", b'"x"', b"[]", b"{}", b"[[", b"NaN", b"9" * 400, b'"\\ud800"', b"true"]


def damage(kind: str, path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    match kind:
        case "removed":
            path.unlink()
        case "truncated":
            path.write_bytes(content[: rng.randint(0, len(content))])
        case "flipped":
            path.write_bytes(_flipped(content, rng))
        case "directory":
            _as_directory(path)
        case "dangling":
            _as_link("nowhere")(path)
        case "looping":
            _as_link(path.name)(path)
        case "elsewhere":
            _as_link("/etc/passwd")(path)
        case "deep":
            path.write_bytes(b"[" * 100_000)
        case "value":
            words = [index for index, byte in enumerate(content) if byte in b":,["] or [0]
            at = rng.choice(words) + 1
            end = next((i for i in range(at, len(content)) if content[i] in b",}]\n"), len(content))
            path.write_bytes(content[:at] + rng.choice(VALUES) + content[end:])
        case _:
            path.write_bytes(rng.randbytes(rng.randint(0, 300)))


def damaged_copy(whole: Path, path: Path, seed: int, kinds: list[str]) -> Path:
    """A copy at `path`, with a file of it damaged for each kind."""
    rng = random.Random(seed)
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(whole, path)
    for kind in kinds:
        damage(kind, rng.choice(sorted(file for file in path.iterdir() if file.is_file())), rng)
    return path


KINDS = ["removed", "truncated", "flipped", "directory", "dangling", "looping", "elsewhere", "deep", "value", "noise"]


@pytest.mark.slow
@FUZZ
@given(seed=st.integers(0, 2**32), kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
def test_whatever_is_damaged_in_a_runs_directory_it_is_looked_at_without_an_error(
    seed: int, kinds: list[str], whole: Path, tmp_path: Path
) -> None:
    folder, rng = tmp_path / "runs", random.Random(seed)
    shutil.rmtree(folder, ignore_errors=True)
    path = folder / "run"
    shutil.copytree(whole, path)
    for kind in kinds:
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.is_symlink())
        damage(kind, rng.choice(files), rng)
    for entry in catalog.entries(folder):
        assert entry.name == "run"
    catalog.look(path)
    assert isinstance(catalog.state(path), str)
    catalog.note(path)
    catalog.last_sign(path)
    for unit in range(3):
        checkpoint = Checkpoints(path, unit, STATES, torch.device("cpu")).load(lambda _: None)
        assert checkpoint is None or checkpoint.procedure >= 0
    with suppress(RunError):
        run = RunDirectory.open(path)
        reader = run.reader()
        reader.events()
        for table in reader.schema:
            reader.rows(table)
            Reader(path, reader.schema).rows(table, most=10)
        live = LiveRun(run)
        live.poll()
        live.poll()
        finished_trials(run)


PRESETS = sorted((Path(__file__).parents[1] / "presets").glob("*.toml"))


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), preset_file=st.sampled_from(PRESETS), count=st.integers(1, 4))
def test_a_preset_with_any_damage_is_loaded_or_refused_with_sentences(
    seed: int, preset_file: Path, count: int, tmp_path: Path
) -> None:
    rng, file = random.Random(seed), tmp_path / "preset.toml"
    content = preset_file.read_bytes()
    for _ in range(count):
        at = rng.randrange(len(content) + 1)
        odd = [b"=", b"\n", b"[", b"]]", b'"', b"nan", b"inf", b"1e999", b"\xff", b"-", b"\x00", b"extends='preset'\n"]
        odd += [b"9" * 5000, b"{", b"1979-05-27", b"0x", b"true", b"[[" * 500, _flipped(content[at : at + 5], rng)]
        content = content[:at] + rng.choice(odd) + content[at + rng.randint(0, 12) :]
    file.write_bytes(content)
    with suppress(PresetError):
        preset.load(file)


# --- names -----------------------------------------------------------------------------------------------------------

ODD_NAMES = ["", ".", "..", "../outside", "../../etc", "/etc", "a/../../outside", "\0", "a\0b", "x" * 300, "x" * 5000]
ODD_NAMES += ["~", "~/x", "\n", "\x1b[31m", "-rf", "*", "\udcff"]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Something beside the folder of runs that must stay as it is."""
    runs_directory().mkdir(parents=True)
    folder = runs_directory().parent / "outside"
    folder.mkdir()
    (folder / "precious").touch()
    (runs_directory() / "linked").symlink_to(folder)
    make_run(runs_directory() / "run")
    (runs_directory() / "link").symlink_to("run")
    return folder


@pytest.mark.parametrize("name", [*ODD_NAMES, "linked", "linked/../../outside"])
def test_no_name_leads_out_of_the_folder_of_runs(name: str, outside: Path) -> None:
    with pytest.raises(RunError):
        catalog.find(name)
    assert (outside / "precious").exists()


@pytest.mark.parametrize("name", [name for name in ODD_NAMES if name not in ("~", "-rf", "*")])
def test_no_new_name_puts_a_run_anywhere_else(name: str, outside: Path) -> None:
    run = runs_directory() / "run"
    with pytest.raises(RunError):
        catalog.rename(run, name)
    assert run.is_dir()
    assert [path.name for path in outside.iterdir()] == ["precious"]


@pytest.mark.parametrize("name", ["link", "linked", "../outside", ".", "run/..", "nowhere"])
def test_what_is_no_run_of_its_own_is_neither_deleted_nor_renamed(name: str, outside: Path) -> None:
    for change in (catalog.remove, lambda path: catalog.rename(path, "other")):
        with pytest.raises(RunError):
            change(runs_directory() / name)
    assert (outside / "precious").exists()
    assert (runs_directory() / "run" / "run.json").exists()
    assert (runs_directory() / "link").is_symlink()


def test_deleting_follows_no_link_in_a_run(outside: Path) -> None:
    run = runs_directory() / "run"
    (run / "away").symlink_to(outside)
    catalog.remove(run)
    assert not run.exists()
    assert (outside / "precious").exists()


def test_a_directory_that_was_there_is_made_private(tmp_path: Path) -> None:
    given_folder = tmp_path / "run"
    given_folder.mkdir(mode=0o755)
    run = RunDirectory.create(preset.load("quick-start"), "cpu", given_folder)
    assert run.path.stat().st_mode & 0o777 == 0o700


# --- older formats ---------------------------------------------------------------------------------------------------

LOSSES = {1: "gd-0001.rec", 2: "gd-0000-0001.rec"}


@pytest.fixture(params=[1, 2])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[int, Path]:
    """A run as a version of ours left it."""
    folder = tmp_path / "runs"
    folder.mkdir()
    shutil.copytree(DATA / f"run-format-{request.param}", folder / "old")
    return request.param, folder / "old"


def test_a_stored_run_is_listed_and_read_to_the_numbers_it_ended_with(stored: tuple[int, Path]) -> None:
    number, path = stored
    (entry,) = catalog.entries(path.parent)
    assert (entry.state, entry.trials, entry.finished, entry.device) == ("finished", entry.trials, 3, "cpu")
    run = RunDirectory.open(path)
    assert run.format == number
    live = LiveRun(run)
    live.poll()
    assert live.state == "finished"
    results = from_json((path / "results.json").read_bytes())
    expected = {(trial["method"], trial["generalization_loss"]) for trial in results["trials"]}
    assert {(trial.method, trial.generalization_loss) for trial in live.results} == expected
    curve = live.curves[0, 0]
    assert curve.steps.tolist() == [0, 50, 100]
    (descent,) = [trial for trial in live.results if trial.method == "gd"]
    assert curve.generalization_loss[-1] == descent.generalization_loss
    assert curve.training_loss[-1] == descent.training_loss
    raw = np.frombuffer((path / LOSSES[number]).read_bytes(), "<f8").reshape(3, -1)[:, :-1]
    reader = run.reader()
    assert reader.rows("gd").tobytes() == raw.tobytes()
    assert live.guesses[0, "prior", 0].draws > 0
    assert reader.damaged == {}


def test_a_run_of_format_1_is_not_gone_on_with(tmp_path: Path) -> None:
    shutil.copytree(DATA / "run-format-1", tmp_path / "old")
    before = sorted(path.name for path in (tmp_path / "old").iterdir())
    with pytest.raises(RunError, match=r"^old: was made by an earlier version and can be looked at, not gone on with"):
        start_worker(RunDirectory.open(tmp_path / "old"))
    assert sorted(path.name for path in (tmp_path / "old").iterdir()) == before


# --- a million rows --------------------------------------------------------------------------------------------------

COLUMNS = ["point", "seed", "step", "training_loss", "generalization_loss", *(f"s{index}" for index in range(5))]
STRIDE = 8 * len(COLUMNS) + 8
MILLION = 1_000_000


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("million")
    rest = [0.0] * (len(COLUMNS) - 3)
    with Writer(folder, {"gd": COLUMNS}, 0) as writer:
        for start in range(0, MILLION, 10_000):
            writer.rows("gd", [(0, 0, step, *rest) for step in range(start, start + 10_000)])
    return folder


@pytest.mark.slow
def test_of_a_million_rows_a_reader_gets_a_few_thousand_and_then_only_what_is_new(
    long_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    real = store._read_from

    def counting(path: Path, offset: int, length: int = -1) -> bytes:
        data = real(path, offset, length)
        read.append(len(data))
        return data

    monkeypatch.setattr(store, "_read_from", counting)
    reader = Reader(long_log, {"gd": COLUMNS})
    rows = reader.rows("gd", most=2_000)
    assert 1_900 <= len(rows) <= 4_100
    assert (rows[0, 2], rows[-1, 2]) == (0, MILLION - 1)
    assert sum(read) < 10_000
    assert len(reader.rows("gd", most=2_000)) == 0
    with Writer(long_log, {"gd": COLUMNS}, 0, {"gd": MILLION}) as writer:
        for step in range(MILLION, MILLION + 30):
            read.clear()
            writer.rows("gd", [(0, 0, step, *[0.0] * 7)])
            assert reader.rows("gd", most=2_000)[:, 2].tolist() == [step]
            assert sum(read) == STRIDE


def test_a_damaged_row_among_many_is_named_also_where_rows_are_thinned(tmp_path: Path) -> None:
    with Writer(tmp_path, {"gd": COLUMNS}, 0) as writer:
        writer.rows("gd", [(0, 0, step, *[0.5] * 7) for step in range(5_000)])
    path = tmp_path / "gd-0000-0001.rec"
    content = bytearray(path.read_bytes())
    content[-STRIDE + 40] ^= 1
    path.write_bytes(content)
    reader = Reader(tmp_path, {"gd": COLUMNS})
    assert len(reader.rows("gd", most=100)) == 4_999
    assert reader.damaged == {path.name: 4_999 * STRIDE}
