from __future__ import annotations

import errno
import json
import math
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.runs import files, store
from engine.runs.files import StoreFullError, from_json, to_json, write_atomically
from engine.runs.store import EventLog, Reader, Writer, events_of_unit
from tests.runs import disk_with

SCHEMA = {"points": ["x", "y"], "other": ["z"]}
STRIDE = 2 * 8 + 8
"""bytes of a row of `points`: two values, checksum, padding"""


def _write(folder: Path, rows: list[tuple[float, float]], before: int = 0) -> Path:
    """One more attempt at unit 0, which goes on after row `before`."""
    with Writer(folder, SCHEMA, 0, {"points": before}) as writer:
        writer.rows("points", rows)
    return sorted(folder.glob("points-0000-*.rec"))[-1]


def _rows(folder: Path) -> list[tuple[float, ...]]:
    return [tuple(row) for row in Reader(folder, SCHEMA).rows("points").tolist()]


def test_rows_come_back_bit_for_bit(tmp_path: Path) -> None:
    rows = [(0.1, 1 / 3), (math.inf, -math.inf), (-0.0, 5e-324), (math.nan, 2.0**53)]
    _write(tmp_path, rows)
    assert Reader(tmp_path, SCHEMA).rows("points").tobytes() == np.array(rows).tobytes()


def test_events_come_back_with_the_time_of_day(tmp_path: Path) -> None:
    with Writer(tmp_path, SCHEMA, 0) as writer:
        writer.event("truth", values=[1.5, math.inf], text="σ\n")
    begun, event = Reader(tmp_path, SCHEMA).events()
    assert (begun["event"], begun["unit"], begun["rows"]) == ("attempt", 0, {"points": 0, "other": 0})
    assert event.pop("time") > 1.7e9
    assert event == {"event": "truth", "values": [1.5, math.inf], "text": "σ\n"}


def test_an_empty_store_has_no_rows_and_no_events(tmp_path: Path) -> None:
    reader = Reader(tmp_path, SCHEMA)
    assert reader.rows("points").shape == (0, 2)
    assert reader.events() == []


def test_a_reader_gets_each_row_and_event_once_while_the_store_grows(tmp_path: Path) -> None:
    reader = Reader(tmp_path, SCHEMA)
    with Writer(tmp_path, SCHEMA, 0) as writer:
        for index in range(3):
            writer.rows("points", [(index, 0), (index, 1)])
            writer.rows("other", [(index,)])
            writer.event("step", index=index)
            assert reader.rows("points").tolist() == [[index, 0], [index, 1]]
            assert reader.rows("other").tolist() == [[index]]
            assert [event["index"] for event in reader.events() if event["event"] == "step"] == [index]
        assert len(reader.rows("points")) == 0
        assert reader.events() == []


def test_units_have_files_of_their_own_and_come_in_order(tmp_path: Path) -> None:
    reader = Reader(tmp_path, SCHEMA)
    with Writer(tmp_path, SCHEMA, 1) as second, Writer(tmp_path, SCHEMA, 0) as first:
        second.rows("points", [(1, 0)])
        second.event("second")
        first.rows("points", [(0, 0)])
        first.event("first")
        assert reader.rows("points").tolist() == [[0, 0], [1, 0]]
        second.rows("points", [(1, 1)])
        assert reader.rows("points").tolist() == [[1, 1]]
    assert [event["event"] for event in reader.events()] == ["attempt", "attempt", "second", "first"]
    assert [event["event"] for event in events_of_unit(tmp_path, 1)] == ["attempt", "second"]


TEN_ROWS = [(float(index), index / 7) for index in range(10)]


@pytest.mark.parametrize("seen", [0, 1, 3])
def test_rows_that_an_attempt_repeats_are_served_once_whoever_reads_when(seen: int, tmp_path: Path) -> None:
    reader = Reader(tmp_path, SCHEMA)
    served: list[list[float]] = []
    for attempt, (begin, end) in enumerate([(0, 6), (4, 5), (3, 8), (8, 10)]):
        _write(tmp_path, TEN_ROWS[begin:end], before=begin)
        if attempt >= seen:
            served += reader.rows("points").tolist()
    assert served == [list(row) for row in TEN_ROWS]
    assert _rows(tmp_path) == TEN_ROWS


def test_a_repetition_to_the_same_bits_is_told_from_another(tmp_path: Path) -> None:
    _write(tmp_path, TEN_ROWS[:6])
    with Writer(tmp_path, SCHEMA, 0, {"points": 2}) as same:
        same.rows("points", TEN_ROWS[2:4])
        same.rows("points", TEN_ROWS[4:8])
        assert same.repeated
    with Writer(tmp_path, SCHEMA, 0, {"points": 2}) as other:
        other.rows("points", TEN_ROWS[2:4])
        assert other.repeated
        other.rows("points", [(4.0, np.nextafter(4 / 7, 1))])
        assert not other.repeated


def test_tables_with_times_of_day_are_never_taken_for_repetitions(tmp_path: Path) -> None:
    schema = {"progress": ["time"]}
    for moment in (1.0, 2.0):
        with Writer(tmp_path, schema, 0) as writer:
            writer.rows("progress", [(moment,)])
            assert writer.repeated
            assert writer.rows_written == {}
    assert Reader(tmp_path, schema).rows("progress").tolist() == [[1.0], [2.0]]


def test_a_store_of_format_1_is_read_attempt_by_attempt(tmp_path: Path) -> None:
    path = _write(tmp_path, TEN_ROWS[:3])
    again = _write(tmp_path, TEN_ROWS[:4])
    path.rename(tmp_path / "points-0001.rec")
    again.rename(tmp_path / "points-0002.rec")
    assert _rows(tmp_path) == TEN_ROWS[:3] + TEN_ROWS[:4]


CURVES = {"gd": ["point", "seed", "step", "loss"]}


def test_a_long_table_is_thinned_evenly_in_whole_log_points_with_the_last_one(tmp_path: Path) -> None:
    rows = [(0, seed, step, seed + 1 / (1 + step)) for step in range(0, 50_000, 5) for seed in range(3)]
    with Writer(tmp_path, CURVES, 0) as writer:
        writer.rows("gd", rows)
        reader = Reader(tmp_path, CURVES)
        thinned = reader.rows("gd", most=600)
        assert set(map(tuple, thinned.tolist())) <= set(rows)
        steps = thinned[thinned[:, 1] == 2][:, 2]
        assert 190 <= len(steps) <= 220
        assert len(thinned) == 3 * len(steps)
        assert (steps[0], steps[-1]) == (0, 49_995)
        assert len(np.unique(np.diff(steps)[:-1])) == 1
        writer.rows("gd", [(0, 0, 50_000, 0.5)])
        assert reader.rows("gd", most=600).tolist() == [[0, 0, 50_000, 0.5]]


def test_thinning_keeps_the_last_row_of_every_trial(tmp_path: Path) -> None:
    schema = {"guesses": ["point", "method", "seed", "draws"]}
    rows = [(0, 2, seed, draws) for seed in range(4) for draws in range(1, 1001)]
    with Writer(tmp_path, schema, 0) as writer:
        writer.rows("guesses", rows)
    thinned = Reader(tmp_path, schema).rows("guesses", most=50)
    assert len(thinned) < 70
    assert {(0, 2, seed, 1000) for seed in range(4)} <= set(map(tuple, thinned.tolist()))


@pytest.mark.parametrize("kept", range(STRIDE))
def test_a_torn_row_is_not_served_until_the_rest_of_it_came(kept: int, tmp_path: Path) -> None:
    path = _write(tmp_path, [(1, 2), (3, 4)])
    whole = path.read_bytes()
    path.write_bytes(whole[: STRIDE + kept])
    reader = Reader(tmp_path, SCHEMA)
    assert reader.rows("points").tolist() == [[1, 2]]
    assert reader.damaged == {}
    with path.open("ab") as file:
        file.write(whole[STRIDE + kept :])
    assert reader.rows("points").tolist() == [[3, 4]]


def test_a_torn_event_is_not_served_until_the_rest_of_it_came(tmp_path: Path) -> None:
    path = tmp_path / "events-0000-0001.jsonl"
    path.write_bytes(b'{"event": "a"}\n{"event": ')
    reader = Reader(tmp_path, SCHEMA)
    assert [event["event"] for event in reader.events()] == ["a"]
    with path.open("ab") as file:
        file.write(b'"b"}\n')
    assert [event["event"] for event in reader.events()] == ["b"]
    assert reader.damaged == {}


def test_a_corrupt_row_is_named_and_nothing_after_it_is_served(tmp_path: Path) -> None:
    path = _write(tmp_path, [(index, 0) for index in range(5)])
    _write(tmp_path, [(9, 9)], before=5)
    content = bytearray(path.read_bytes())
    content[2 * STRIDE + 3] ^= 1
    path.write_bytes(content)
    reader = Reader(tmp_path, SCHEMA)
    assert reader.rows("points").tolist() == [[0, 0], [1, 0], [9, 9]]
    assert reader.damaged == {path.name: 2 * STRIDE}
    with path.open("ab") as file:
        file.write(content[:STRIDE])
    assert len(reader.rows("points")) == 0


@pytest.mark.parametrize("line", [b"{", b"5", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"time": 1}'])
def test_a_line_that_is_no_event_is_skipped_and_its_file_named(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "events-0000-0001.jsonl").write_bytes(b'{"event": "a"}\n' + line + b'\n{"event": "b"}\n')
    reader = Reader(tmp_path, SCHEMA)
    assert [event["event"] for event in reader.events()] == ["a", "b"]
    assert list(reader.damaged) == ["events-0000-0001.jsonl"]


FIVE_ROWS = [(float(index), index / 7) for index in range(5)]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    length=st.integers(0, 5 * STRIDE),
    flips=st.lists(st.integers(0, 5 * STRIDE * 8 - 1), max_size=3, unique=True),
    tail=st.binary(max_size=2 * STRIDE),
)
def test_whatever_happens_to_a_file_the_rows_served_are_the_first_of_those_written(
    length: int, flips: list[int], tail: bytes, tmp_path: Path
) -> None:
    for path in tmp_path.iterdir():
        path.unlink()
    path = _write(tmp_path, FIVE_ROWS)
    content = bytearray(path.read_bytes())
    for flip in flips:
        content[flip // 8] ^= 1 << flip % 8
    path.write_bytes(content[:length] + tail)
    served = _rows(tmp_path)
    assert served == FIVE_ROWS[: len(served)]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), prefix=st.sampled_from([b"", b'{"event": "a"}\n', b'{"event": ']))
def test_any_bytes_in_an_events_file_are_read_without_an_error(prefix: bytes, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "events-0000-0001.jsonl").write_bytes(prefix + content)
    assert all("event" in event for event in Reader(tmp_path, SCHEMA).events())


def test_short_writes_are_gone_on_with_until_all_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:5]))
    _write(tmp_path, FIVE_ROWS)
    write_atomically(tmp_path / "file", b"0123456789")
    monkeypatch.undo()
    assert _rows(tmp_path) == FIVE_ROWS
    assert (tmp_path / "file").read_bytes() == b"0123456789"


@pytest.mark.parametrize("room", [0, 1, STRIDE, 3 * STRIDE + 7])
def test_on_a_full_disk_what_was_acknowledged_is_safe_and_the_rest_is_refused(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledged = 0

    def write_all() -> None:
        nonlocal acknowledged
        for row in FIVE_ROWS:
            writer.rows("points", [row])
            acknowledged += 1

    with Writer(tmp_path, SCHEMA, 0) as writer:
        monkeypatch.setattr(files.os, "write", disk_with(room))
        with pytest.raises(StoreFullError, match="can't store the run: No space left on device"):
            write_all()
        monkeypatch.undo()
    assert acknowledged == room // STRIDE
    assert _rows(tmp_path) == FIVE_ROWS[:acknowledged]


def test_a_failed_sync_is_reported_as_a_full_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with Writer(tmp_path, SCHEMA, 0) as writer:
        monkeypatch.setattr(store, "SYNC_SECONDS", -1.0)
        monkeypatch.setattr(store.os, "fdatasync", fail)
        with pytest.raises(StoreFullError, match="quota exceeded"):
            writer.rows("points", FIVE_ROWS)


def test_a_writer_never_appends_to_an_existing_file(tmp_path: Path) -> None:
    path = _write(tmp_path, [(1, 2)])
    before = path.read_bytes()
    assert _write(tmp_path, [(3, 4)], before=1) != path
    assert path.read_bytes() == before


def test_attempts_of_the_run_as_a_whole_are_numbered(tmp_path: Path) -> None:
    numbers = []
    for _ in range(2):
        with EventLog(tmp_path) as log:
            numbers.append(log.attempt)
    assert numbers == [1, 2]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("before", [None, b"old"])
def test_an_atomic_write_that_fails_leaves_what_was_there_and_no_litter(
    call: str, before: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "results.json"
    if before is not None:
        path.write_bytes(before)
    monkeypatch.setattr(files.os, call, disk_with(2) if call == "write" else fail)
    with pytest.raises(StoreFullError, match=r"No space left on device: .*results\.json"):
        write_atomically(path, b"new content")
    monkeypatch.undo()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == (
        {} if before is None else {path.name: before}
    )


def test_an_atomic_write_replaces_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    for content in (b"a longer content", b"new"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_only_the_owner_may_read_what_is_stored(tmp_path: Path) -> None:
    _write(tmp_path, FIVE_ROWS)
    write_atomically(tmp_path / "results.json", b"{}")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(
        ["events-0000-0001.jsonl", "points-0000-0001.rec", "results.json"], stat.S_IRUSR | stat.S_IWUSR
    )


def test_json_is_strict_and_infinities_survive_it() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    text = to_json({"a": [math.nan, math.inf, -math.inf, np.float64("inf"), 0.1], "b": (1,)})
    assert json.loads(text, parse_constant=refuse) == {"a": [None, "Infinity", "-Infinity", "Infinity", 0.1], "b": [1]}
    assert from_json(text) == {"a": [None, math.inf, -math.inf, math.inf, 0.1], "b": [1]}


def test_json_of_a_path_that_is_not_utf8_can_be_encoded_and_read_back() -> None:
    path = os.fsdecode(b"/tmp/\xff\xc3\xa9")
    assert from_json(to_json(path).encode()) == path
