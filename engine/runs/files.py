"""Small files that survive crashes, and strict JSON. Imports nothing slow."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
"""flags; a run that came from elsewhere may hold links to anywhere"""


PRIVATE, SHARED = 0o600, 0o666
"""permissions of what is for the user alone, and of what the user asked for, perhaps to pass it on"""


class StoreFullError(OSError):
    """The disk (or quota) is full; everything acknowledged before is safe."""


def write_atomically(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Replace `path` by `content` in one step that survives a crash: temporary file, fsync, rename, fsync.

    The umask takes its part of `mode`. Raises `StoreFullError`, and leaves what was there, when it can't be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        try:
            write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreFullError(error.errno, error.strerror, str(path)) from error


def sync_folder(folder: Path) -> None:
    """Force the names of a folder's files to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _infinite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _infinite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_infinite(inner) for inner in value]
    return {"Infinity": math.inf, "-Infinity": -math.inf}.get(value, value) if isinstance(value, str) else value


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte: one write may store fewer than it was given, on a full disk above all."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
