"""The run's append-only store: fixed-stride records with a checksum each, and JSON lines. Never imports torch.

One directory, many files, each written by one process and only ever appended to, so that any number of readers may read
while it grows, on local disks and on network file systems alike. Each attempt at a run writes new files (a torn tail is
never appended to). A record is its values as little-endian float64, then their CRC-32 and 4 zero bytes; a reader stops
at the first record that is incomplete or does not check.
"""

from __future__ import annotations

import json
import os
import re
import struct
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

SCHEMA_VERSION = 1
SYNC_SECONDS = 1.0
"""at most this much data is at risk in a power cut"""

Schema = Mapping[str, Sequence[str]]
"""table name → column names"""


class StoreFullError(OSError):
    """The disk (or quota) is full; everything acknowledged before is safe."""


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step that survives a crash: temporary file, fsync, rename, fsync.

    Raises `StoreFullError`, and leaves what was there, when it can't be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreFullError(error.errno, error.strerror, str(path)) from error


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Strict JSON: NaN and the infinities, which JSON lacks, become null, "Infinity" and "-Infinity".

    Always encodable: a path's undecodable bytes are escaped.
    """
    text = json.dumps(_finite(value), allow_nan=False, ensure_ascii=False, indent=indent)
    return text.encode(errors="backslashreplace").decode()


def from_json(text: str | bytes) -> Any:
    """Inverse of `to_json`, but for NaN, which stays None."""
    return _infinite(json.loads(text))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _infinite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _infinite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_infinite(inner) for inner in value]
    return {"Infinity": np.inf, "-Infinity": -np.inf}.get(value, value) if isinstance(value, str) else value


def _write_all(descriptor: int, data: bytes) -> None:
    """Write every byte: one write may store fewer than it was given, on a full disk above all."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sample_file(point: int, method: str, seed: int) -> str:
    """Name of the file with a trial's sample of end-to-end matrices."""
    return f"sample-{point:04d}-{method}-{seed}.safetensors"


class Writer:
    """Appends rows and events of one attempt; the only writer of its files."""

    def __init__(self, directory: Path, schema: Schema, attempt: int) -> None:
        self._directory = directory
        self._columns = {table: len(columns) for table, columns in schema.items()}
        files = {"events": f"events-{attempt:04d}.jsonl"} | {table: f"{table}-{attempt:04d}.rec" for table in schema}
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        try:
            self._descriptors = {name: os.open(directory / file, flags, 0o600) for name, file in files.items()}
        except OSError as error:
            raise StoreFullError(error.errno, f"can't store the run: {error.strerror}") from error
        self._last_sync = time.monotonic()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)

    def rows(self, table: str, rows: Sequence[Sequence[int | float]]) -> None:
        """Append rows of `table`. Raises `StoreFullError` when the disk is full."""
        count = self._columns[table]
        packed = bytearray()
        for row in rows:
            values = struct.pack(f"<{count}d", *row)
            packed += values + struct.pack("<II", zlib.crc32(values), 0)
        self._append(table, bytes(packed))

    def event(self, kind: str, **content: Any) -> None:
        """Append one event, stamped with the time of day (seconds since 1970)."""
        line = to_json({"event": kind, "time": time.time(), **content})
        self._append("events", line.encode() + b"\n")

    def sample(self, point: int, method: str, seed: int, arrays: Mapping[str, NDArray[np.float64]]) -> None:
        """Write (or, in a further attempt, replace) a trial's sample."""
        try:
            write_atomically(self._directory / sample_file(point, method, seed), safetensors.numpy.save(dict(arrays)))
        except OSError as error:
            raise StoreFullError(error.errno, f"can't store the run: {error.strerror}") from error

    def sync(self) -> None:
        """Force everything to the disk."""
        for descriptor in self._descriptors.values():
            os.fdatasync(descriptor)
        self._last_sync = time.monotonic()

    def _append(self, name: str, data: bytes) -> None:
        try:
            _write_all(self._descriptors[name], data)
            if time.monotonic() - self._last_sync > SYNC_SECONDS:
                self.sync()
        except OSError as error:
            raise StoreFullError(error.errno, f"can't store the run: {error.strerror}") from error


class Reader:
    """Follows a growing store: each call returns only what is new since the last one."""

    def __init__(self, directory: Path, schema: Schema) -> None:
        self.schema = schema
        self._directory = directory
        self._columns = {table: len(columns) for table, columns in schema.items()}
        self._offsets: dict[str, int] = {}
        self.damaged: dict[str, int] = {}
        """files with a record that does not check although more follows it: name → byte offset"""

    def rows(self, table: str) -> NDArray[np.float64]:
        """New complete rows of `table`, attempts in order, shape (rows, columns)."""
        count = self._columns[table]
        stride = 8 * count + 8
        parts = [np.empty((0, count))]
        for path in sorted(self._directory.glob(f"{table}-[0-9][0-9][0-9][0-9].rec")):
            if path.name in self.damaged:
                continue
            offset = self._offsets.get(path.name, 0)
            data = _read_from(path, offset)
            data = data[: len(data) // stride * stride]
            good = _checked_records(data, stride)
            if good * stride < len(data):
                self.damaged[path.name] = offset + good * stride
            self._offsets[path.name] = offset + good * stride
            if good:
                records = np.frombuffer(data, np.uint8, good * stride).reshape(good, stride)
                parts.append(records[:, : 8 * count].copy().view("<f8"))
        return np.concatenate(parts)

    def events(self) -> list[dict[str, Any]]:
        """New complete events, attempts in order; a line that is no JSON object is skipped and noted as damaged."""
        found = []
        for path in sorted(self._directory.glob("events-[0-9][0-9][0-9][0-9].jsonl")):
            offset = self._offsets.get(path.name, 0)
            data = _read_from(path, offset)
            complete = data[: data.rfind(b"\n") + 1]
            self._offsets[path.name] = offset + len(complete)
            for line in complete.splitlines():
                try:
                    event = from_json(line)
                    if not isinstance(event, dict) or "event" not in event:
                        raise ValueError
                    found.append(event)
                except (ValueError, RecursionError):
                    self.damaged.setdefault(path.name, offset)
        return found


def attempts(directory: Path) -> int:
    """How many attempts have written into the run."""
    numbers = [int(match[1]) for path in directory.iterdir() if (match := re.match(r"events-(\d{4})\.", path.name))]
    return max(numbers, default=0)


def _read_from(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read()


def _checked_records(data: bytes, stride: int) -> int:
    """How many leading records of `data` carry the right checksum."""
    view = memoryview(data)
    for start in range(0, len(data), stride):
        end = start + stride - 8
        if zlib.crc32(view[start:end]) != int.from_bytes(view[end : end + 4], "little"):
            return start // stride
    return len(data) // stride
