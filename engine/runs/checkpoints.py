"""Checkpoints of a unit: a procedure's state as safetensors and JSON, never pickle, written atomically.

A checkpoint is two files: `checkpoint-UNIT-NUMBER.safetensors` with the state's tensors, and, written after it,
`checkpoint-UNIT-NUMBER.json` with everything else and the checksums of both. The last two are kept: where one is
damaged, the one before it serves.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from engine.runs.files import from_json, to_json, write_atomically

KEPT = 2
_NAME = re.compile(r"checkpoint-(\d{4,})-(\d{6,})\.(json|safetensors)")


_UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


class CheckpointError(Exception):
    """A checkpoint that can't be used; the message names the file and says why."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a unit was."""

    procedure: int
    """procedures of the unit that had ended"""
    state: Any
    """of the next one; None where it had not begun"""
    rows: Mapping[str, int]
    """rows of each table so far"""


class Checkpoints:
    """The checkpoints of one unit."""

    def __init__(self, directory: Path, unit: int, classes: Iterable[type], device: torch.device) -> None:
        """`classes`: the dataclasses that states are made of; nothing else is ever made of what a file says."""
        self._directory = directory
        self._unit = unit
        self._classes = {each.__name__: each for each in classes}
        self._device = device
        self._next = max(self._numbers(), default=0) + 1

    def save(self, checkpoint: Checkpoint) -> None:
        """Write it, and delete all but the last ones. Raises `StoreFullError`, the earlier ones being as they were."""
        tensors: dict[str, Tensor] = {}
        content = {
            "procedure": checkpoint.procedure,
            "state": _plain(checkpoint.state, tensors),
            "rows": dict(checkpoint.rows),
        }
        data = safetensors.torch.save(tensors)
        text = to_json({"tensors": zlib.crc32(data), "content": content})
        write_atomically(self._path(self._next, "safetensors"), data)
        write_atomically(self._path(self._next, "json"), f"{zlib.crc32(text.encode())}\n{text}\n".encode())
        self._next += 1
        self._delete(self._next - KEPT)

    def load(
        self, complain: Callable[[str], None], in_store: Mapping[str, tuple[int, str]] | None = None
    ) -> Checkpoint | None:
        """The latest one that is whole; None if none is. Each one passed over is complained of.

        `in_store`: how many rows of each table there are, and the file they end in. One that counts on more is no use.
        """
        numbers = sorted(self._numbers(), reverse=True)
        if numbers and not os.path.lexists(self._path(numbers[0], "json")):
            numbers.pop(0)  # the process died between the two files: it is not damaged, it never was one
        for number in numbers:
            try:
                found = self._read(number)
                for table, count in found.rows.items() if in_store is not None else ():
                    there, file = (in_store or {}).get(table, (0, ""))
                    if there < count:
                        raise CheckpointError(
                            f"{file or table}: damaged, only {there} of {table}'s first {count} rows can be read; "
                            f"{self._path(number, 'json').name} is passed over"
                        )
                return found
            except CheckpointError as error:
                complain(str(error))
        return None

    def clear(self) -> None:
        """Delete them all: the unit is done."""
        self._delete(self._next)

    def _read(self, number: int) -> Checkpoint:
        path = self._path(number, "json")
        try:
            check, text = path.read_bytes().split(b"\n", 1)
            if zlib.crc32(text.rstrip(b"\n")) != int(check):
                raise CheckpointError(f"{path.name}: its checksum doesn't match")
            document = from_json(text)
            data = self._path(number, "safetensors").read_bytes()
            if zlib.crc32(data) != document["tensors"]:
                raise CheckpointError(f"{self._path(number, 'safetensors').name}: its checksum doesn't match")
            content, tensors = document["content"], safetensors.torch.load(data)
            return Checkpoint(
                procedure=content["procedure"],
                state=_state(content["state"], tensors, self._classes, self._device),
                rows=content["rows"],
            )
        except (*_UNREADABLE, safetensors.SafetensorError) as error:
            raise CheckpointError(f"{path.name}: can't be read: {error}") from error

    def _path(self, number: int, kind: str) -> Path:
        return self._directory / f"checkpoint-{self._unit:04d}-{number:06d}.{kind}"

    def _numbers(self) -> set[int]:
        return {number for number, _ in self._files()}

    def _files(self) -> Iterator[tuple[int, Path]]:
        for path in self._directory.glob(f"checkpoint-{self._unit:04d}-*"):
            if match := _NAME.fullmatch(path.name):
                yield int(match[2]), path

    def _delete(self, before: int) -> None:
        for number, path in list(self._files()):
            if number < before:
                path.unlink(missing_ok=True)


def _plain(value: Any, tensors: dict[str, Tensor]) -> Any:
    """A state as JSON; its tensors and arrays go into `tensors`, under numbers."""
    if isinstance(value, Tensor | np.ndarray):
        name = str(len(tensors))
        tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        tensors[name] = tensor.detach().cpu().contiguous().clone()  # safetensors wants no two that share memory
        kind = "array" if isinstance(value, np.ndarray) else tensor.device.type
        return {"tensor": name, "on": kind}
    if isinstance(value, tuple):
        return {"tuple": [_plain(item, tensors) for item in value]}
    if is_dataclass(value):
        content = {each.name: _plain(getattr(value, each.name), tensors) for each in fields(value)}
        return {"class": type(value).__name__, "fields": content}
    if isinstance(value, float):
        return {"float": value.hex()}  # NaN and the infinities included
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"a state can't hold a {type(value).__name__}")


def _state(value: Any, tensors: Mapping[str, Tensor], classes: Mapping[str, type], device: torch.device) -> Any:
    """Inverse of `_plain`; tensors that were on a GPU go to `device`."""
    match value:
        case {"tensor": name, "on": kind}:
            tensor = tensors[name]
            if kind == "array":
                return tensor.numpy()
            return tensor if kind == "cpu" else tensor.to(device)
        case {"tuple": items}:
            return tuple(_state(item, tensors, classes, device) for item in items)
        case {"class": name, "fields": content}:
            return classes[name](**{key: _state(item, tensors, classes, device) for key, item in content.items()})
        case {"float": text}:
            return float.fromhex(text)
    return value
