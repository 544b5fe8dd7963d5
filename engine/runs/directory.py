"""A run is a directory: its spec, environment, store, control request, lock and results. Never imports torch.

spec.toml               the preset as run, parents and overrides merged
run.json                format version, name, device asked for, tables and their columns
environment-0001.json   versions, device, threads of each attempt
events-0001.jsonl       what happened, one JSON object a line
gd-0001.rec …           the tables (see `engine.runs.store`)
results.json            every trial's result and the summary, written when the run stops
run.log                 the worker's output
control.json            the latest request of a front end
lock                    held by the worker for as long as it lives
"""

from __future__ import annotations

import fcntl
import os
import secrets
import struct
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import platformdirs

from engine import results
from engine.events import schema
from engine.results import TrialResult
from engine.runs import store
from engine.spec import preset
from engine.spec.preset import Experiment
from engine.spec.settings import METHODS

Request = Literal["pause", "continue", "stop"]


class RunError(Exception):
    """A run that can't be made, found, read or started; the message says which and why."""


def runs_directory() -> Path:
    """Where runs go unless --out says otherwise: `$MFTUI_HOME/runs`, else the user's data directory."""
    home = os.environ.get("MFTUI_HOME")
    return (Path(home) if home else platformdirs.user_data_path("mftui", appauthor=False)) / "runs"


@dataclass(frozen=True)
class RunDirectory:
    """Paths and small files of one run."""

    path: Path
    experiment: Experiment
    device: str

    @staticmethod
    def create(experiment: Experiment, device: str, out: Path | None = None) -> RunDirectory:
        """Make the directory and write the spec. Raises `RunError` if `out` holds something or can't be written."""
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        path = out or runs_directory() / f"{experiment.name}-{stamp}-{secrets.token_hex(2)}"
        spec = path / "spec.toml"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
            if any(path.iterdir()):
                raise RunError(f"{path}: expected an empty or new directory for the run, it holds files")
            store.write_atomically(spec, preset.dump(_with_own_files(experiment, path)).encode())
            about = {
                "format": store.SCHEMA_VERSION,
                "name": experiment.name,
                "device": device,
                "tables": schema(experiment),
            }
            store.write_atomically(path / "run.json", store.to_json(about, indent=2).encode() + b"\n")
        except OSError as error:
            with suppress(OSError):  # a directory that was never a run must not be in the way of the next try
                for copied in [spec, *path.glob("problem-*")]:
                    copied.unlink(missing_ok=True)
                path.rmdir()
            raise RunError(f"{path}: can't make the run directory: {error.strerror or error}") from None
        return RunDirectory(path=path.absolute(), experiment=experiment, device=device)

    @staticmethod
    def open(path: Path) -> RunDirectory:
        """Read an existing run. Raises `RunError` if it is none, or of a format this version can't read."""
        try:
            about = store.from_json((path / "run.json").read_bytes())
            if about["format"] != store.SCHEMA_VERSION:
                raise RunError(f"{path}: run format {about['format']}, this version reads {store.SCHEMA_VERSION}")
            experiment = preset.load(path / "spec.toml", name=str(about["name"]))
            return RunDirectory(path=path.absolute(), experiment=experiment, device=str(about["device"]))
        except OSError as error:
            raise RunError(f"{path}: no run here: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RunError(f"{path}: the run's spec is damaged: {error}") from None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def location(self) -> str:
        """What names the run on a command line: its name if it lies where runs go, else its path."""
        return self.name if self.path.parent == runs_directory().absolute() else str(self.path)

    @property
    def log(self) -> Path:
        return self.path / "run.log"

    @property
    def control(self) -> Path:
        return self.path / "control.json"

    def reader(self) -> store.Reader:
        return store.Reader(self.path, schema(self.experiment))

    def request(self, request: Request) -> None:
        """Ask the worker for something; it looks between any two steps. Raises `StoreFullError`."""
        store.write_atomically(self.control, store.to_json({"request": request}).encode())

    def worker(self) -> int | None:
        """Process id of the live worker, None if there is none. Takes no lock and never blocks."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR)
        except OSError:
            return None
        try:
            probe = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack("hhqqi", fcntl.fcntl(descriptor, fcntl.F_GETLK, probe)[:28])
            return int(pid) if kind != fcntl.F_UNLCK else None
        finally:
            os.close(descriptor)

    def lock(self) -> int:
        """Hold the run until this process ends. Raises `RunError` naming the holder if another process does.

        A POSIX record lock: children don't inherit it, and closing *any* descriptor of the file would drop it, so the
        holder must never call `worker`.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise RunError(f"{self.name}: already running, held by process {self.worker()}") from None
        return descriptor

    def write_results(self, trials: list[TrialResult]) -> None:
        """(Re)write results.json from the trials finished so far."""
        store.write_atomically(
            self.path / "results.json", store.to_json(self.results(trials), indent=2).encode() + b"\n"
        )

    def results(self, trials: list[TrialResult]) -> dict[str, Any]:
        """The document that `mftui run --json` prints; trials by sweep point, method and seed, however they came."""
        in_order = sorted(trials, key=lambda trial: (trial.point, METHODS.index(trial.method), trial.seed))
        summary = results.summarize(self.experiment, in_order)
        return {
            "format": store.SCHEMA_VERSION,
            "run": str(self.path),
            "preset": self.experiment.name,
            "title": self.experiment.title,
            "over": self.experiment.over,
            "points": [
                {"label": self.experiment.label(index), **point.model_dump()}
                for index, point in enumerate(self.experiment.points)
            ],
            "summary": [results.to_plain(row) for row in summary],
            "trials": [trial.to_json() for trial in in_order],
        }


def _with_own_files(experiment: Experiment, folder: Path) -> Experiment:
    """The experiment with its problem files copied into the run's folder: a run holds all it depends on."""
    document = deepcopy(dict(experiment.document))
    for key, stem in (("path", "problem"), ("test_path", "test")):
        given = [getattr(point.problem, key) for point in experiment.points]
        own = {path: f"{stem}-{index}{_suffix(path)}" for index, path in enumerate(sorted(set(given) - {""}))}
        for path, name in own.items():
            store.write_atomically(folder / name, Path(path).read_bytes())
        names = [own.get(path, "") for path in given]
        if experiment.over == f"problem.{key}":
            document["sweep"]["values"] = names
        elif own:
            document["problem"][key] = names[0] if len(set(names)) == 1 else names
    return replace(experiment, document=document)


def _suffix(path: str) -> str:
    """What a copy's name ends in: .npz, .csv, .csv.gz."""
    return "".join(Path(path).suffixes[-2:]) if path.endswith(".gz") else Path(path).suffix
