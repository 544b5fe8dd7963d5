from __future__ import annotations

import dataclasses
import math
import os
import pickletools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.descent.descent import DescentState
from engine.descent.learning_rate import LearningRates
from engine.descent.observer import Mark, Observed
from engine.descent.prediction import Course
from engine.descent.theory import Comparison
from engine.problems.problem import make_problem
from engine.runs import files, lock
from engine.runs.checkpoints import Checkpoint, Checkpoints
from engine.runs.control import Control
from engine.runs.directory import RunDirectory
from engine.runs.files import StoreFullError, to_json
from engine.runs.lane import STATES, Lane
from engine.runs.run import Loop
from engine.runs.units import units
from engine.samplers.auto import AutoState
from engine.samplers.interface import GuessState
from engine.samplers.splitting import SplittingState
from tests.runs import disk_with, make_run, small_blocks, tables_of

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Leaf:
    number: float
    tensor: Tensor


@dataclass(frozen=True)
class Tree:
    name: str
    count: int
    flag: bool
    nothing: None
    leaves: tuple[Leaf, ...]
    array: np.ndarray[Any, Any]


def _checkpoints(folder: Path, *classes: type) -> Checkpoints:
    return Checkpoints(folder, 0, classes or STATES, CPU)


def _never(message: str) -> None:
    raise AssertionError(message)


def _again(folder: Path, state: object, *classes: type) -> Any:
    """The state as another process would read it."""
    _checkpoints(folder, *classes).save(Checkpoint(1, state, {"gd": 3}))
    found = _checkpoints(folder, *classes).load(_never)
    assert found is not None
    assert (found.procedure, dict(found.rows)) == (1, {"gd": 3})
    return found.state


def same(one: object, other: object) -> bool:
    """Equal to the bit, types and shapes included; NaN equals NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        assert isinstance(other, Tensor)
        alike = (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device)
        return alike and one.contiguous().numpy().tobytes() == other.contiguous().numpy().tobytes()
    if isinstance(one, np.ndarray):
        assert isinstance(other, np.ndarray)
        return (one.shape, one.dtype, one.tobytes()) == (other.shape, other.dtype, other.tobytes())
    if isinstance(one, tuple):
        assert isinstance(other, tuple)
        return len(one) == len(other) and all(map(same, one, other))
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, each.name), getattr(other, each.name)) for each in dataclasses.fields(one))
    if isinstance(one, float):
        assert isinstance(other, float)
        return one.hex() == other.hex()
    return one == other


# --- round trips -----------------------------------------------------------------------------------------------------

ODD = torch.tensor([math.nan, math.inf, -math.inf, -0.0, 5e-324, 0.1], dtype=torch.float64)
TENSORS = {
    "odd numbers": ODD,
    "float32": ODD.float(),
    "0-d": torch.tensor(math.pi, dtype=torch.float64),
    "empty": torch.empty(0, dtype=torch.float64),
    "empty in one direction": torch.empty(0, 7, dtype=torch.float64),
    "int64": torch.tensor([2**63 - 1, -(2**63)]),
    "bool": torch.tensor([True, False]),
    "transposed": torch.arange(6.0).view(2, 3).mT,
    "part of a larger one": torch.arange(10.0)[3:5],
}


@pytest.mark.parametrize("name", TENSORS)
def test_every_tensor_comes_back_to_the_bit(name: str, tmp_path: Path) -> None:
    assert same(_again(tmp_path, Leaf(0.0, TENSORS[name]), Leaf), Leaf(0.0, TENSORS[name]))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -0.0, 0.1, 5e-324, 1.7976931348623157e308])
def test_every_number_comes_back_to_the_bit(number: float, tmp_path: Path) -> None:
    assert same(_again(tmp_path, (number, 7, "σ\n\ud800".encode(errors="replace").decode())), (number, 7, "σ\n?"))


def test_nested_states_come_back_with_their_classes(tmp_path: Path) -> None:
    leaves = tuple(Leaf(index / 3, ODD * index) for index in range(3))
    tree = Tree("a tree", 2**70, True, None, (*leaves, *leaves), np.array([[1.5, math.nan]]))
    assert same(_again(tmp_path, tree, Tree, Leaf), tree)


def test_tensors_that_share_memory_come_back_apart(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    back = _again(tmp_path, (shared, shared[1:], shared), Leaf)
    assert same(back, (shared, shared[1:].clone(), shared))
    back[0].zero_()
    assert same(back[2], shared)


RATES = LearningRates(ODD, ODD * 2, 17)
GUESS = GuessState(
    step=3,
    draws=1 << 40,
    training_loss=ODD,
    generalization_loss=ODD * 2,
    log_weight=-ODD,
    cluster=torch.arange(6),
    matrices=torch.arange(6.0, dtype=torch.float64).view(2, 3),
    matrix_log_weight=torch.zeros(2, dtype=torch.float64),
)
STATES_OF_PROCEDURES = {
    "rates": RATES,
    "mark": Mark(5, ODD[None], RATES),
    "nothing guessed yet": GuessState(),
    "guesses": GUESS,
    "auto": AutoState(sampler="splitting", inner=GUESS, choice="σ: why", spent=9),
}


@pytest.mark.parametrize("name", STATES_OF_PROCEDURES)
def test_states_of_the_procedures_come_back_to_the_bit(name: str, tmp_path: Path) -> None:
    assert same(_again(tmp_path, STATES_OF_PROCEDURES[name]), STATES_OF_PROCEDURES[name])


PROCEDURES: dict[str, list[str]] = {
    "descent": ["methods=['gd']", "gd.steps=4_000", "gd.init='balanced'"],
    "rejection": ["methods=['gnc']", "gnc.sampler='rejection'", "gnc.draws=10_000_000"],
    "conditional": ["methods=['gnc']", "gnc.sampler='conditional'", "gnc.eps_train=1e-3", "gnc.draws=10_000_000"],
    "splitting": ["methods=['gnc']", "gnc.sampler='splitting'", "gnc.eps_train=3e-2", "gnc.effective_samples=100"],
    "auto": ["methods=['gnc']", "gnc.sampler='auto'", "gnc.eps_train=1e-3", "gnc.effective_samples=2_000"],
}


def _after_steps(folder: Path, overrides: list[str], steps: int) -> list[Any]:
    """The states of a run's first procedure as they come."""
    run = make_run(folder / "run", "model.width=3", *overrides)
    unit = units(run.experiment)[0]
    lane = Lane(run, unit, CPU, _never, [])
    states = []
    for _ in range(steps):
        lane.step()
        if lane._state is None:
            break
        states.append(lane._state)
    lane.close()
    return states


@pytest.mark.parametrize("name", PROCEDURES)
def test_every_state_that_a_procedure_goes_through_comes_back_to_the_bit(name: str, tmp_path: Path) -> None:
    states = _after_steps(tmp_path, PROCEDURES[name], 6)
    assert states
    for index, state in enumerate(states):
        (tmp_path / f"{index}").mkdir()
        assert same(_again(tmp_path / f"{index}", state), state)


def test_the_classes_that_states_are_made_of_are_all_known() -> None:
    expected = {
        DescentState, LearningRates, Mark, Observed, Comparison, Course, GuessState, SplittingState, AutoState,
    }  # fmt: skip
    assert set(STATES) == expected
    assert len({each.__name__ for each in STATES}) == len(STATES)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [[1], {"a": 1}, {1}, b"x", object(), 1j, np.float32(1)])
def test_what_a_state_cannot_hold_is_refused_by_its_name_and_nothing_is_written(value: object, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=f"a state can't hold a {type(value).__name__}"):
        _checkpoints(tmp_path).save(Checkpoint(0, (value,), {}))
    assert list(tmp_path.iterdir()) == []


def _forge(folder: Path, state: object, tensors: dict[str, Tensor] | None = None) -> None:
    """A checkpoint whose checksums are right, whatever it says."""
    data = safetensors.torch.save(tensors or {})
    text = to_json({"tensors": zlib.crc32(data), "content": {"procedure": 0, "state": state, "rows": {}}})
    (folder / "checkpoint-0000-000001.safetensors").write_bytes(data)
    (folder / "checkpoint-0000-000001.json").write_bytes(f"{zlib.crc32(text.encode())}\n{text}\n".encode())


@pytest.mark.parametrize(
    "state",
    [
        {"class": "Popen", "fields": {"args": "touch harm"}},
        {"class": "subprocess.Popen", "fields": {}},
        {"class": "Checkpoints", "fields": {}},
        {"class": "object", "fields": {}},
        {"class": ["GuessState"], "fields": {}},
        {"class": "GuessState", "fields": {"unknown": 1}},
        {"class": "GuessState", "fields": [1]},
        {"tensor": "0", "on": "cpu"},
        {"tensor": "../../0", "on": "cpu"},
        {"tensor": ["0"], "on": "cpu"},
        {"tuple": 5},
        {"float": "0x1p99999"},
        {"float": 5},
        {"float": "number"},
    ],
)
def test_a_forged_state_is_complained_of_and_nothing_is_made_of_it(state: object, tmp_path: Path) -> None:
    _forge(tmp_path, state)
    complaints: list[str] = []
    assert _checkpoints(tmp_path).load(complaints.append) is None
    assert len(complaints) == 1
    assert complaints[0].startswith("checkpoint-0000-000001.json: can't be read: ")
    assert not Path("harm").exists()


# --- damage ----------------------------------------------------------------------------------------------------------


def _three(folder: Path) -> Checkpoints:
    """Saves 1, 2 and 3."""
    checkpoints = _checkpoints(folder, Leaf)
    for number in (1, 2, 3):
        checkpoints.save(Checkpoint(number, Leaf(number, ODD * number), {"gd": number}))
    return checkpoints


def _flip(content: bytes, at: float) -> bytes:
    place = round(at * (len(content) - 1))
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "first bit": lambda path: path.write_bytes(_flip(path.read_bytes(), 0)),
    "middle bit": lambda path: path.write_bytes(_flip(path.read_bytes(), 0.5)),
    "last bit": lambda path: path.write_bytes(_flip(path.read_bytes(), 0.95)),
    "overwritten": lambda path: path.write_bytes(os.urandom(0) + b"\x80\x04\x95" + bytes(200)),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
    "a dangling link": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "a link to itself": lambda path: (path.unlink(), path.symlink_to(path.name)),
    "very deep": lambda path: path.write_bytes(b"0\n" + b"[" * 100_000),
}


@pytest.mark.parametrize("kind", ["json", "safetensors"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_serves(damage: str, kind: str, tmp_path: Path) -> None:
    _three(tmp_path)
    DAMAGES[damage](tmp_path / f"checkpoint-0000-000003.{kind}")
    complaints: list[str] = []
    found = _checkpoints(tmp_path, Leaf).load(complaints.append)
    assert found is not None
    assert same(found.state, Leaf(2, ODD * 2))
    if (damage, kind) == ("removed", "json"):
        assert complaints == []  # the same as death before it was written
    else:
        assert len(complaints) == 1
        assert complaints[0].startswith("checkpoint-0000-000003.")


def test_where_all_are_damaged_each_is_named_and_there_is_none(tmp_path: Path) -> None:
    _three(tmp_path)
    for number in (2, 3):
        DAMAGES["middle bit"](tmp_path / f"checkpoint-0000-00000{number}.json")
    complaints: list[str] = []
    assert _checkpoints(tmp_path, Leaf).load(complaints.append) is None
    assert [complaint.split(".")[0][-1] for complaint in complaints] == ["3", "2"]


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["000002.json", "000002.safetensors", "000003.json", "000003.safetensors"]),
    keep=st.floats(0, 1),
    flips=st.lists(st.floats(0, 1), max_size=3),
    tail=st.binary(max_size=30),
)
def test_whatever_happens_to_one_file_a_whole_checkpoint_is_loaded_as_it_was_written(
    name: str, keep: float, flips: list[float], tail: bytes, tmp_path: Path
) -> None:
    for path in tmp_path.iterdir():
        path.unlink()
    _three(tmp_path)
    path = tmp_path / f"checkpoint-0000-{name}"
    content = path.read_bytes()
    for flip in flips:
        content = _flip(content, flip)
    path.write_bytes(content[: round(keep * len(content))] + tail)
    found = _checkpoints(tmp_path, Leaf).load(lambda _: None)
    assert found is not None
    assert same(found.state, Leaf(found.procedure, ODD * found.procedure))


# --- files -----------------------------------------------------------------------------------------------------------


def test_the_last_two_are_kept_and_none_at_the_end(tmp_path: Path) -> None:
    other = Checkpoints(tmp_path, 1, (Leaf,), CPU)
    other.save(Checkpoint(0, None, {}))
    checkpoints = _three(tmp_path)
    mine = sorted(path.name for path in tmp_path.glob("checkpoint-0000-*"))
    assert mine == [f"checkpoint-0000-00000{number}.{kind}" for number in (2, 3) for kind in ("json", "safetensors")]
    checkpoints.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-0001-000001.json",
        "checkpoint-0001-000001.safetensors",
    ]


def test_a_checkpoint_is_no_pickle_and_for_its_owner_alone(tmp_path: Path) -> None:
    _three(tmp_path)
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert b"\x80" not in content[:2]
        with pytest.raises(ValueError):  # noqa: PT011 (whatever pickle says)
            list(pickletools.genops(content))
        assert path.stat().st_mode & 0o777 == 0o600


def test_numbers_go_on_after_those_of_an_earlier_process(tmp_path: Path) -> None:
    _three(tmp_path)
    _checkpoints(tmp_path, Leaf).save(Checkpoint(4, None, {}))
    found = _checkpoints(tmp_path, Leaf).load(_never)
    assert found is not None
    assert found.procedure == 4


@pytest.mark.parametrize("room", [0, 10, 200, 300])
def test_on_a_full_disk_the_earlier_checkpoints_stay_as_they_were(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = _three(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(files.os, "write", disk_with(room))
    with pytest.raises(StoreFullError, match=r"No space left on device: .*checkpoint-0000-000004"):
        checkpoints.save(Checkpoint(4, Leaf(4, torch.zeros(50)), {}))
    monkeypatch.undo()
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {name: content for name, content in after.items() if "000004" not in name} == before
    found = _checkpoints(tmp_path, Leaf).load(_never)
    assert found is not None
    assert found.procedure == 3
    checkpoints.save(Checkpoint(4, None, {}))
    found = _checkpoints(tmp_path, Leaf).load(_never)
    assert found is not None
    assert found.procedure == 4


def test_death_between_the_two_files_of_a_checkpoint_is_no_damage(tmp_path: Path) -> None:
    checkpoints = _three(tmp_path)
    (tmp_path / "checkpoint-0000-000004.safetensors").write_bytes(safetensors.torch.save({}))
    found = _checkpoints(tmp_path, Leaf).load(_never)
    assert found is not None
    assert found.procedure == 3
    del checkpoints


# --- a run whose files were damaged -----------------------------------------------------------------------------------

SHORT = ["model.width=3", "gd.steps=60", "gd.log_every=5", "gnc.draws=40_000"]


@pytest.fixture(scope="module", autouse=True)
def _small_blocks() -> Iterator[None]:
    with small_blocks():
        yield


@pytest.fixture(autouse=True)
def _short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step of descent is one step, so that an attempt has hundreds."""
    monkeypatch.setattr("engine.descent.descent.STEP_SECONDS", 0.0)


class Rounds(Control):
    """Has a loop stop after so many looks at it."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def look(self) -> None:
        self._looks -= 1
        if self._looks < 0:
            self.stop()


def work(run: RunDirectory, looks: int = 1 << 30) -> list[str]:
    """An attempt in this process, of so many steps; what was remarked."""
    told: list[str] = []
    held = lock.Lock(run.path / "lock")
    Loop(run, CPU, held, Rounds(looks), lambda kind, message: told.append(f"{kind}: {message}")).work()
    held.close()
    return told


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    run = make_run(tmp_path_factory.mktemp("alone") / "run", *SHORT)
    work(run)
    return tables_of(run)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["json", "safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "middle bit"])
@pytest.mark.parametrize("which", ["last", "all"])
def test_a_run_with_damaged_checkpoints_says_so_and_ends_to_the_bit_as_one_left_alone(
    which: str, damage: str, kind: str, tmp_path: Path, alone: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runs.lane.CHECKPOINT_SECONDS", -1.0)
    run = make_run(tmp_path / "run", *SHORT)
    work(run, 30)
    found = sorted(run.path.glob(f"checkpoint-*.{kind}"))
    assert found
    last = {path.name[:15]: path for path in found}
    harmed = list(last.values()) if which == "last" else found
    for path in harmed:
        DAMAGES[damage](path)
    remarks = work(run)
    assert sorted(remark.split(": ")[1] for remark in remarks) == sorted(
        path.with_suffix(".json" if kind == "json" else ".safetensors").name for path in harmed
    )
    assert tables_of(run) == alone
    assert list(run.path.glob("checkpoint-*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["truncated by half", "a bit"])
@pytest.mark.parametrize("table", ["gd", "diagnostics"])
def test_a_run_whose_rows_are_damaged_says_so_and_ends_to_the_bit_as_one_left_alone(
    table: str, damage: str, tmp_path: Path, alone: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runs.lane.CHECKPOINT_SECONDS", -1.0)
    run = make_run(tmp_path / "run", *SHORT)
    work(run, 30)
    work(run, 30)
    path = max(run.path.glob(f"{table}-*-0001.rec"), key=lambda path: path.stat().st_size)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if damage == "truncated by half" else _flip(content, 0.5))
    remarks = work(run)
    assert any(path.name in remark for remark in remarks)
    reader = run.reader()
    tables = {name: reader.rows(name).tobytes() for name in reader.schema if name != "progress"}
    assert tables == alone


def test_the_data_that_procedures_start_from_are_functions_of_the_seed(tmp_path: Path) -> None:
    settings_of = make_run(tmp_path / "run").experiment.points[0].problem
    one, other = make_problem(settings_of, [0]), make_problem(settings_of, [0])
    assert torch.equal(one.targets, other.targets)
