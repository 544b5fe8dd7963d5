"""A run's append-only store: fixed-stride records with a checksum each, and JSON lines. Never imports torch.

A run's work is divided into units; each attempt at a unit writes files of its own, `TABLE-UNIT-ATTEMPT.rec` and
`events-UNIT-ATTEMPT.jsonl`, only ever appended to, so that any number of readers may read while they grow, on local
disks and on network file systems alike, and a torn tail is never appended to. A record is its values as little-endian
float64, then their CRC-32 and 4 zero bytes; a reader stops at the first record that is incomplete or does not check.

An attempt that goes on from a checkpoint says in its first event how many rows of each table came before it. What an
earlier attempt wrote beyond that is written again, to the same bits: the writer checks it, readers skip it.

Format 1 had no units: one attempt, one file `TABLE-ATTEMPT.rec`. It is still read.
"""

from __future__ import annotations

import os
import re
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.events import Schema
from engine.runs.files import StoreFullError, from_json, sync_folder, to_json, write_all, write_atomically

SYNC_SECONDS = 1.0
"""at most this much data is at risk in a power cut"""
NEVER_REPEATED = ("progress",)
"""tables that hold wall-clock times: an attempt's rows follow those of earlier ones, all of them"""
ATTEMPT = "attempt"
"""the first event of a unit's file"""

_FILE = re.compile(r"(?P<table>[a-z]+)-(?:(?P<unit>\d{4,}|run)-)?(?P<attempt>\d{4,})\.(?:rec|jsonl)")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC


def sample_file(point: int, method: str, seed: int) -> str:
    """Name of the file with a trial's sample of end-to-end matrices."""
    return f"sample-{point:04d}-{method}-{seed}.safetensors"


class EventLog:
    """Appends the events of one attempt, as JSON lines; the only writer of its file."""

    def __init__(self, directory: Path, unit: str = "run") -> None:
        """Opens a new file: the attempt after the last one there is. Raises `StoreFullError` if it can't."""
        self.attempt = 1 + max((name.attempt for name in _names(directory, "events") if name.unit == unit), default=0)
        self._directory = directory
        self._last_sync = time.monotonic()
        try:
            self._descriptor = os.open(directory / f"events-{unit}-{self.attempt:04d}.jsonl", _CREATE, 0o600)
        except OSError as error:
            raise _full(error) from error

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def event(self, kind: str, **content: Any) -> None:
        """Append one event, stamped with the time of day (seconds since 1970). Raises `StoreFullError`."""
        line = to_json({"event": kind, "time": time.time(), **content})
        try:
            write_all(self._descriptor, line.encode() + b"\n")
        except OSError as error:
            raise _full(error) from error
        if time.monotonic() - self._last_sync > SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Force everything to the disk. Raises `StoreFullError`."""
        try:
            os.fdatasync(self._descriptor)
            sync_folder(self._directory)
        except OSError as error:
            raise _full(error) from error
        self._last_sync = time.monotonic()

    def close(self) -> None:
        os.close(self._descriptor)


class Writer:
    """Appends the rows and events of one attempt at one unit; the only writer of its files."""

    def __init__(self, directory: Path, schema: Schema, unit: int, before: Mapping[str, int] | None = None) -> None:
        """`before`: how many rows of each table precede this attempt's (none where it isn't named).

        Raises `StoreFullError` when the disk is full.
        """
        self._directory = directory
        self._columns = {table: len(columns) for table, columns in schema.items()}
        self._unit = unit
        self._rows = dict.fromkeys(schema, 0) | dict(before or {})
        self._again = _beyond(directory, schema, unit, self._rows)
        self.repeated = True
        """whether all rows that an earlier attempt had written came out again to the same bits, so far"""
        self._descriptors: dict[str, int] = {}
        self._last_sync = time.monotonic()
        self._log = EventLog(directory, f"{unit:04d}")
        self._log.event(ATTEMPT, unit=unit, rows=self.rows_written)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def rows_written(self) -> dict[str, int]:
        """Rows of each table so far, those of earlier attempts included."""
        return {table: count for table, count in self._rows.items() if table not in NEVER_REPEATED}

    def rows(self, table: str, rows: Sequence[Sequence[int | float]] | NDArray[np.float64]) -> None:
        """Append rows of `table`. Raises `StoreFullError` when the disk is full."""
        if not len(rows):
            return
        records = np.zeros((len(rows), self._columns[table] + 1), "<f8")
        records[:, :-1] = rows
        checks = [zlib.crc32(record) for record in records[:, :-1].copy()]
        records[:, -1] = np.array(checks, "<u8").view("<f8")
        packed = records.tobytes()
        try:
            if table not in self._descriptors:
                path = self._directory / f"{table}-{self._unit:04d}-{self._log.attempt:04d}.rec"
                self._descriptors[table] = os.open(path, _CREATE, 0o600)
            write_all(self._descriptors[table], packed)
        except OSError as error:
            raise _full(error) from error
        self._rows[table] += len(rows)
        self._compare(table, packed)
        if time.monotonic() - self._last_sync > SYNC_SECONDS:
            self.sync()

    def event(self, kind: str, **content: Any) -> None:
        """Append one event, stamped with the time of day. Raises `StoreFullError`."""
        self._log.event(kind, **content)

    def sample(self, point: int, method: str, seed: int, arrays: Mapping[str, NDArray[np.float64]]) -> None:
        """Write (or, in a further attempt, replace) a trial's sample."""
        import safetensors.numpy

        try:
            write_atomically(self._directory / sample_file(point, method, seed), safetensors.numpy.save(dict(arrays)))
        except OSError as error:
            raise _full(error) from error

    def sync(self) -> None:
        """Force everything to the disk. Raises `StoreFullError`."""
        try:
            for descriptor in self._descriptors.values():
                os.fdatasync(descriptor)
        except OSError as error:
            raise _full(error) from error
        self._log.sync()
        self._last_sync = time.monotonic()

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()
        self._log.close()

    def _compare(self, table: str, packed: bytes) -> None:
        """With what an earlier attempt wrote in the same place."""
        if (expected := self._again.get(table)) is None:
            return
        overlap = min(len(expected), len(packed))
        if expected[:overlap] != packed[:overlap]:
            self.repeated = False
        self._again[table] = expected[overlap:]
        if not self._again[table]:
            del self._again[table]


class Reader:
    """Follows a growing store: each call returns only what is new since the last one."""

    def __init__(self, directory: Path, schema: Schema) -> None:
        self.schema = schema
        self._directory = directory
        self._columns = {table: len(columns) for table, columns in schema.items()}
        self._offsets: dict[str, int] = {}
        self._served: dict[tuple[str, str], int] = {}
        """rows of each table and unit, all attempts together"""
        self._begins: dict[tuple[str, int], Mapping[str, int]] = {}
        self.damaged: dict[str, int] = {}
        """files with a record that does not check although more follows it: name → byte offset"""

    def rows(self, table: str, most: int | None = None) -> NDArray[np.float64]:
        """New complete rows of `table`, unit by unit, attempts in order; shape (rows, columns).

        Where a file has many more than `most` new ones, about `most` of them, evenly spaced: whole blocks of rows of
        equal step, the last one among them.
        """
        count = self._columns[table]
        parts = [np.empty((0, count))]
        names = _names(self._directory, table)
        for index, name in enumerate(names):
            if name.file not in self.damaged:
                try:
                    parts.extend(self._rows_of(name, 8 * count + 8, most, names[index + 1 :]))
                except OSError:
                    self.damaged[name.file] = self._offsets.get(name.file, 0)
        return np.concatenate(parts)

    def events(self) -> list[dict[str, Any]]:
        """New complete events by time; a line that is no JSON object is skipped and noted as damaged."""
        found = []
        for name in _names(self._directory, "events"):
            offset = self._offsets.get(name.file, 0)
            try:
                data = _read_from(self._directory / name.file, offset)
            except OSError:
                self.damaged.setdefault(name.file, offset)
                continue
            complete = data[: data.rfind(b"\n") + 1]
            self._offsets[name.file] = offset + len(complete)
            for line in complete.splitlines():
                if (event := _event(line)) is not None:
                    found.append(event)
                else:
                    self.damaged.setdefault(name.file, offset)
        return sorted(found, key=_time)

    def _rows_of(
        self, name: _Name, stride: int, most: int | None, later: Sequence[_Name]
    ) -> Iterator[NDArray[np.float64]]:
        """What is new in one file, without what was served from an earlier attempt."""
        path, key = self._directory / name.file, (name.table, name.unit)
        offset, served = self._offsets.get(name.file, 0), self._served.get(key, 0)
        available = (path.stat().st_size - offset) // stride
        if available <= 0:
            return
        first = served
        if name.table not in NEVER_REPEATED:
            first = self.begin(name).get(name.table, first - offset // stride) + offset // stride
        if first > served and any(
            other.unit == name.unit and self.begin(other).get(name.table, 0) <= served for other in later
        ):
            return  # what comes before it is damaged, and a later attempt wrote it all again
        again = min(max(0, served - first), available)
        if again:
            offset += again * stride
            available -= again
        if most is not None and available > 2 * most:
            rows, good = _thinned(path, offset, stride, available, most, self.schema[name.table])
        else:
            rows, good = _checked(_read_from(path, offset, available * stride), stride)
        if good < available:
            self.damaged[name.file] = offset + good * stride
        self._offsets[name.file] = offset + good * stride
        self._served[key] = max(served, first + again + good)
        if len(rows):
            yield rows

    def begin(self, name: _Name) -> Mapping[str, int]:
        """Rows that precede an attempt's in each table; nothing where the attempt doesn't say."""
        key = name.unit, name.attempt
        if key not in self._begins and name.unit:
            try:
                with (self._directory / f"events-{name.unit}-{name.attempt:04d}.jsonl").open("rb") as file:
                    event = _event(file.readline()) or {}
            except OSError:
                event = {}
            rows = event.get("rows")
            rows = rows if isinstance(rows, dict) else {}
            if not event:  # not there yet, or not seen yet on a network file system
                return {}
            self._begins[key] = {table: count for table, count in rows.items() if isinstance(count, int) and count >= 0}
        return self._begins.get(key, {})


@dataclass(frozen=True, order=True)
class _Name:
    """A file's name, taken apart; they sort by unit, then attempt."""

    unit: str
    """"run" for events of the run as a whole, "" in format 1"""
    attempt: int
    table: str
    file: str


def _names(directory: Path, table: str) -> list[_Name]:
    try:
        entries = os.listdir(directory)
    except FileNotFoundError:  # deleted, or renamed, while somebody watches
        return []
    found = [_FILE.fullmatch(entry) for entry in entries if entry.startswith(f"{table}-")]
    return sorted(_Name(m["unit"] or "", int(m["attempt"]), m["table"], m.string) for m in found if m)


def events_of_unit(directory: Path, unit: int) -> list[dict[str, Any]]:
    """The events of all attempts at a unit so far."""
    found = []
    for name in _names(directory, "events"):
        if name.unit == f"{unit:04d}":
            with suppress(OSError):
                found += [_event(line) for line in (directory / name.file).read_bytes().splitlines()]
    return [event for event in found if event is not None]


def rows_in_store(directory: Path, schema: Schema, unit: int) -> dict[str, tuple[int, str]]:
    """How many rows of each table of a unit can be read, without a gap from the first on; and the file they end in."""
    reader, found = Reader(directory, schema), dict[str, tuple[int, str]]()
    for table in set(schema) - set(NEVER_REPEATED):
        stride, count, file = 8 * len(schema[table]) + 8, 0, ""
        for name in _names(directory, table):
            begin = reader.begin(name).get(table, 0)
            if name.unit == f"{unit:04d}" and begin <= count:
                with suppress(OSError):
                    end = begin + _checked(_read_from(directory / name.file, 0), stride)[1]
                    count, file = max((count, file), (end, name.file))
        found[table] = count, file
    return found


def _full(error: OSError) -> StoreFullError:
    return StoreFullError(error.errno, f"can't store the run: {error.strerror}")


def _beyond(directory: Path, schema: Schema, unit: int, before: Mapping[str, int]) -> dict[str, bytes]:
    """Records of each table that an earlier attempt at a unit wrote after row `before`, as far as the furthest got."""
    reader, found = Reader(directory, schema), dict[str, bytes]()
    for table in set(schema) - set(NEVER_REPEATED):
        stride = 8 * len(schema[table]) + 8
        for name in _names(directory, table):
            begin = reader.begin(name).get(table, 0)
            if name.unit == f"{unit:04d}" and begin <= before[table]:
                data = _read_from(directory / name.file, (before[table] - begin) * stride)
                good = _checked(data, stride)[1] * stride
                found[table] = max(found.get(table, b""), data[:good], key=len)
    return {table: data for table, data in found.items() if data}


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = from_json(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def _time(event: Mapping[str, Any]) -> float:
    moment = event.get("time")
    return float(moment) if isinstance(moment, int | float) else 0.0


def _read_from(path: Path, offset: int, length: int = -1) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _checked(data: bytes, stride: int) -> tuple[NDArray[np.float64], int]:
    """The leading records of `data` that carry the right checksum, and how many they are."""
    view = memoryview(data)
    good = len(data) // stride
    for start in range(0, good * stride, stride):
        end = start + stride - 8
        if zlib.crc32(view[start:end]) != int.from_bytes(view[end : end + 4], "little"):
            good = start // stride
            break
    records = np.frombuffer(data, np.uint8, good * stride).reshape(good, stride)
    return records[:, : stride - 8].copy().view("<f8"), good


def _thinned(
    path: Path, offset: int, stride: int, available: int, most: int, columns: Sequence[str]
) -> tuple[NDArray[np.float64], int]:
    """About `most` of the `available` records from `offset` on, those that check; and how many have been passed by."""
    records = np.memmap(path, np.uint8, "r", offset, (available, stride))
    numbers = records[:, : stride - 8].view("<f8")
    clock = numbers[:, columns.index("step" if "step" in columns else columns[3])]
    starts = np.flatnonzero(np.diff(clock, prepend=np.nan) != 0)
    ends = np.append(starts[1:], available)
    falls = np.append(clock[starts[1:]] < clock[starts[:-1]], True)  # the last block of a trial, and of the file
    chosen = falls.copy()
    blocks = max(1, most * len(starts) // available)
    chosen[:: -(-len(starts) // blocks)] = True
    picked = np.concatenate([np.arange(a, b) for a, b in zip(starts[chosen], ends[chosen], strict=True)])
    rows, good = _checked(records[picked].tobytes(), stride)
    if good < len(picked):
        return _checked(records.tobytes(), stride)  # up to the one that is damaged, which is to be named
    return rows, available
