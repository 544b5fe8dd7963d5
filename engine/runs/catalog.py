"""The runs there are: names, states, sizes, notes. Imports nothing slow, so that a list comes at once."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.home import home_directory
from engine.runs import jobs, lock
from engine.runs.files import from_json, to_json, write_atomically

FORMAT = 2
READABLE = (1, 2)
"""format 1: no units, no checkpoints; it can be looked at, not gone on with"""
HEARTBEAT_SECONDS = 5.0
DEAD_AFTER_SECONDS = 30.0
"""a worker on another host whose last sign of life is older is taken for dead; on this host its lock tells"""
_LONGEST_NAME = 200
"""bytes; file systems take 255"""
_LAST_EVENTS = 1 << 16
"""bytes from the end of a file in which its last event is looked for"""

State = Literal["starting", "queued", "running", "paused", "stopped", "finished", "failed", "interrupted"]
OVER: frozenset[State] = frozenset({"stopped", "finished", "failed", "interrupted"})
STATE_AFTER: dict[str, State] = {
    "started": "starting",
    "queued": "queued",
    "device": "running",
    "paused": "paused",
    "continued": "running",
    "stopped": "stopped",
    "finished": "finished",
    "failed": "failed",
}
"""the run's state after an event of the run as a whole"""


class RunError(Exception):
    """A run that can't be made, found, read or started; the message says which and why."""


@dataclass(frozen=True)
class Entry:
    """One run, as far as a list tells."""

    path: Path
    preset: str
    title: str
    device: str
    state: State
    started: float
    """seconds since 1970"""
    trials: int
    finished: int
    """trials that are done"""
    size: int
    """bytes on disk"""
    note: str

    @property
    def name(self) -> str:
        return self.path.name


def runs_directory() -> Path:
    """Where runs go unless --out says otherwise."""
    return home_directory() / "runs"


def find(name: str) -> Path:
    """The directory of a run given by its name, a part of it that no other shares, or a path. Raises `RunError`."""
    try:
        return _find(name)
    except OSError as error:
        raise RunError(f"{name}: {error.strerror}") from None


def _find(name: str) -> Path:
    given = Path(name)
    if not name:
        raise RunError("expected a run's name, got an empty one")
    if given.name != name or name in (".", ".."):
        if (given / "run.json").is_file():
            return given.absolute()
        raise RunError(f"{name}: no run here")
    folder = runs_directory()
    if (folder / name / "run.json").is_file():
        return (folder / name).absolute()
    if (given / "run.json").is_file():
        return given.absolute()
    alike = [path for path in _folders(folder) if name in path.name]
    if len(alike) == 1:
        return alike[0].absolute()
    if alike:
        names = ", ".join(path.name for path in alike[:5]) + (" …" if len(alike) > 5 else "")
        raise RunError(f"{name}: expected one run, {len(alike)} have this in their names: {names}")
    raise RunError(f"{name}: no such run; `mftui runs` lists those there are")


def latest() -> Path:
    """The run that was started last, a live one if there is one. Raises `RunError` if there is none."""
    found = [entry.path for entry in entries()]
    if not found:
        raise RunError("no runs yet; `mftui run quick-start` makes one")
    live = (path for path in found if is_alive(path))
    return next(live, found[0]).absolute()


def entries(folder: Path | None = None) -> list[Entry]:
    """The runs in a folder (by default, where runs go), the latest first; what is no run is left out."""
    found = [entry for path in _folders(folder or runs_directory()) if (entry := look(path)) is not None]
    return sorted(found, key=lambda entry: entry.started, reverse=True)


class History:
    """The same, again and again: a run that is over is read once more only when its folder has changed."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._known: dict[Path, tuple[int, Entry]] = {}
        """entries of runs that are over, with the folders' times of change in nanoseconds"""

    def entries(self) -> list[Entry]:
        """As the function of that name."""
        before, self._known = self._known, {}
        found = []
        for path in _folders(self._folder or runs_directory()):
            with suppress(OSError):
                changed = path.stat().st_mtime_ns  # first: what changes while it is read is read again
                known = before.get(path)
                entry = known[1] if known and known[0] == changed else look(path)
                if entry is None:
                    continue
                found.append(entry)
                if entry.state in OVER and not is_alive(path):
                    self._known[path] = changed, entry
        return sorted(found, key=lambda entry: entry.started, reverse=True)


def look(path: Path) -> Entry | None:
    """One run's entry; None if its run.json can't be read."""
    try:
        about = from_json((path / "run.json").read_bytes())
        events = _last_events(path)
        created = about.get("created")
        if not isinstance(created, int | float):
            created = (path / "run.json").stat().st_mtime
        return Entry(
            path=path,
            preset=str(about["name"]),
            title=str(about.get("title", "")),
            device=_device(events) or str(about["device"]),
            state=_state(path, events),
            started=float(created),
            trials=int(about.get("trials", 0)),
            finished=sum(file.read_bytes().count(b'"event": "trial"') for file in path.glob("events-*.jsonl")),
            size=sum(file.st_size for file in _files(path)),
            note=note(path),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError, AttributeError, OverflowError):
        return None


def state(path: Path) -> State:
    """What a run is doing; "interrupted" if it was at work and its worker is gone."""
    return _state(path, _last_events(path))


def _state(path: Path, events: Sequence[Mapping[str, Any]]) -> State:
    last: State = "interrupted"
    for event in events:
        last = STATE_AFTER.get(str(event.get("event")), last)
    if last in OVER:
        return last if last != "interrupted" or not is_alive(path) else "starting"
    return last if is_alive(path) or (last == "queued" and _waits_for_job(path, events)) else "interrupted"


def waits_for_job(path: Path) -> bool:
    """Whether a run was given to a cluster, whose scheduler still has its job."""
    return _waits_for_job(path, _last_events(path))


def _waits_for_job(path: Path, events: Sequence[Mapping[str, Any]]) -> bool:
    return bool(events) and events[-1].get("event") == "queued" and jobs.has_job(path, events[-1])


def _device(events: Sequence[Mapping[str, Any]]) -> str:
    """Where the last attempt computes, or did; empty before it has said so."""
    told = [str(event["device"]) for event in events if event.get("event") == "device" and "device" in event]
    return told[-1] if told else ""


def is_alive(path: Path) -> bool:
    """Whether a worker holds the run: by its lock, and for a worker on another host by its last sign of life."""
    if lock.holder(path / "lock") is not None:
        return True
    events = _last_events(path, everything=True)
    started = [event for event in events if event.get("event") == "started"]
    if not started or started[-1].get("host") in (None, platform.node()):
        return False
    if STATE_AFTER.get(str(events[-1].get("event"))) in OVER:
        return False
    try:
        return time.time() - (path / "lock").stat().st_mtime < DEAD_AFTER_SECONDS
    except OSError:
        return False


def hold(path: Path) -> lock.Lock:
    """Lead a run until this process ends. Raises `RunError` if it is none, or naming the holder if another leads it."""
    if not (path / "run.json").is_file():
        raise RunError(f"{path}: no run here")
    try:
        held = lock.Lock(path / "lock")
    except OSError as error:
        raise RunError(f"{path.name}: can't be locked: {error.strerror}") from None
    if not held.acquire(lock.LEADER):
        holder = lock.holder(path / "lock", lock.LEADER)
        held.close()
        raise RunError(f"{path.name}: already running, held by process {holder}")
    return held


def last_sign(path: Path) -> float:
    """When a run was last heard of, in seconds since 1970."""
    return max((file.st_mtime for file in _files(path, (".rec", ".jsonl"))), default=0.0)


def note(path: Path) -> str:
    """What the user wrote down about a run."""
    try:
        content = from_json((path / "note.json").read_bytes())
        return str(content["note"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def write_note(path: Path, text: str) -> None:
    """Replace a run's note; an empty one removes it. Raises `StoreFullError`."""
    if text:
        write_atomically(path / "note.json", to_json({"note": text}).encode() + b"\n")
    else:
        (path / "note.json").unlink(missing_ok=True)


def rename(path: Path, name: str) -> Path:
    """Give a run that is not at work another name; its new path. Raises `RunError`."""
    if not name or not name.isprintable() or name.startswith(".") or Path(name).name != name:
        raise RunError(f"{name!r}: expected a name without / and control characters, not beginning with a dot")
    if len(os.fsencode(name)) > _LONGEST_NAME:
        raise RunError(f"{name[:20]}…: expected a name of at most {_LONGEST_NAME} bytes")
    _refuse_to_change(path)
    target = path.parent / name
    if target.exists():
        raise RunError(f"{name}: there is a run of that name")
    try:
        path.rename(target)
    except OSError as error:
        raise RunError(f"{path.name}: can't be renamed: {error.strerror}") from None
    return target


def remove(path: Path) -> None:
    """Delete a run that is not at work, and all it holds. Raises `RunError`."""
    _refuse_to_change(path)
    try:
        (path / "run.json").unlink()  # first: half a run is no run
        shutil.rmtree(path)
    except OSError as error:
        raise RunError(f"{path.name}: can't be deleted: {error.strerror}") from None


def _refuse_to_change(path: Path) -> None:
    """Raises `RunError` unless this is a run of its own, and nobody is at work on it."""
    if not (path / "run.json").is_file():
        raise RunError(f"{path}: no run here")
    if path.is_symlink():
        raise RunError(f"{path}: is a link to a run, which stays as it is")
    if path.parent != runs_directory().absolute() and look(path) is None:
        raise RunError(f"{path}: has a run.json, but not one that mftui wrote; left as it is")
    if is_alive(path):
        raise RunError(f"{path.name}: is at work; stop it first")


def _files(path: Path, suffixes: tuple[str, ...] = ("",)) -> Iterator[os.stat_result]:
    """What is known of a folder's files; one that goes away meanwhile, as checkpoints do, is left out."""
    for file in path.iterdir():
        if file.name.endswith(suffixes):
            with suppress(OSError):
                yield file.stat()


def _folders(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if (path / "run.json").is_file() and not path.is_symlink():
                yield path


def _last_events(path: Path, *, everything: bool = False) -> list[Mapping[str, Any]]:
    """The last events of the run as a whole: of its last attempt, or, from the ends of their files, of all."""
    files = sorted(path.glob("events-run-*.jsonl")) or sorted(path.glob("events-[0-9][0-9][0-9][0-9].jsonl"))
    found: list[Mapping[str, Any]] = []
    for file in files if everything else files[-1:]:
        with suppress(OSError), file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - _LAST_EVENTS))
            for line in opened.read().splitlines():
                with suppress(ValueError, RecursionError):
                    event = from_json(line)
                    if isinstance(event, dict):
                        found.append(event)
    return found
