"""A run is a directory: its spec, environment, store, checkpoints, lock and results. Never imports torch.

spec.toml                    the preset as run, parents and overrides merged
run.json                     format version, name, device asked for, workers, tables and their columns
events-run-0001.jsonl        what happened to the run as a whole in each attempt, one JSON object a line
environment-0001.json        versions, device, threads of each attempt
events-0000-0001.jsonl       what happened in each attempt at each unit of work
gd-0000-0001.rec …           the tables of each attempt at each unit (see `engine.runs.store`)
checkpoint-0000-000001.json  where each unit was (see `engine.runs.checkpoints`)
results.json                 every trial's result and the summary, written when the run stops
run.log                      the worker's output
requests.jsonl               requests of front ends on other hosts (see `engine.runs.control`)
lock                         held by the worker for as long as it lives (see `engine.runs.lock`)
note.json                    what the user wrote down about the run
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from engine import results
from engine.events import Schema, schema
from engine.results import TrialResult
from engine.runs import catalog, lock, store
from engine.runs.catalog import FORMAT, READABLE, RunError, runs_directory
from engine.runs.files import from_json, to_json, write_atomically
from engine.spec import preset
from engine.spec.experiment import Experiment
from engine.spec.settings import METHODS


@dataclass(frozen=True)
class RunDirectory:
    """Paths and small files of one run."""

    path: Path
    experiment: Experiment
    device: str
    workers: int = 1
    """processes that share the work, at most; 0: as many as there are cores or GPUs"""
    urgent: bool = False
    """begins at once, whoever else is at work on the device: somebody is waiting at the screen"""
    format: int = FORMAT
    tables: Schema = field(default_factory=dict, compare=False)

    @staticmethod
    def create(
        experiment: Experiment, device: str, out: Path | None = None, *, workers: int = 1, urgent: bool = False
    ) -> RunDirectory:
        """Make the directory and write the spec. Raises `RunError` if `out` holds something or can't be written."""
        tables = schema(experiment)
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        path = out or runs_directory() / f"{experiment.name}-{stamp}-{secrets.token_hex(2)}"
        spec = path / "spec.toml"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
            if any(path.iterdir()):
                raise RunError(f"{path}: expected an empty or new directory for the run, it holds files")
            path.chmod(0o700)  # it may have been there before
            alone, copies = with_own_files(experiment)  # a run holds all it depends on
            for copy, source in copies.items():
                write_atomically(path / copy, Path(source).read_bytes())
            write_atomically(spec, preset.dump(alone).encode())
            about = {
                "format": FORMAT,
                "name": experiment.name,
                "title": experiment.title,
                "created": time.time(),
                "device": device,
                "workers": workers,
                "urgent": urgent,
                "trials": len(experiment.points) * len(experiment.methods) * experiment.seeds,
                "tables": tables,
            }
            write_atomically(path / "run.json", to_json(about, indent=2).encode() + b"\n")
        except OSError as error:
            with suppress(OSError):  # a directory that was never a run must not be in the way of the next try
                for copied in [spec, *path.glob("problem-*"), *path.glob("test-*")]:
                    copied.unlink(missing_ok=True)
                path.rmdir()
            raise RunError(f"{path}: can't make the run directory: {error.strerror or error}") from None
        return RunDirectory(path.absolute(), experiment, device, workers, urgent, tables=tables)

    @staticmethod
    def open(path: Path) -> RunDirectory:
        """Read an existing run. Raises `RunError` if it is none, or of a format this version can't read."""
        try:
            about = from_json((path / "run.json").read_bytes())
            if about["format"] not in READABLE:
                raise RunError(f"{path}: run format {about['format']}, this version reads up to {FORMAT}")
            experiment = preset.load(path / "spec.toml", name=str(about["name"]))
            return RunDirectory(
                path=path.absolute(),
                experiment=experiment,
                device=str(about["device"]),
                workers=int(about.get("workers", 1)),
                urgent=about.get("urgent", False) is True,
                format=about["format"],
                tables={str(table): [str(column) for column in about["tables"][table]] for table in about["tables"]},
            )
        except OSError as error:
            raise RunError(f"{path}: no run here: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
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

    def reader(self) -> store.Reader:
        return store.Reader(self.path, self.tables)

    def worker(self) -> int | None:
        """Process id of the live worker, None if there is none on this host. Takes no lock and never blocks."""
        return lock.holder(self.path / "lock", lock.LEADER)

    def is_alive(self) -> bool:
        """Whether any process, on any host, is at work on the run."""
        return catalog.is_alive(self.path)

    def write_results(self, trials: list[TrialResult]) -> None:
        """(Re)write results.json from the trials finished so far."""
        write_atomically(self.path / "results.json", to_json(self.results(trials), indent=2).encode() + b"\n")

    def results(self, trials: list[TrialResult]) -> dict[str, Any]:
        """The document that `mftui run --json` prints; trials by sweep point, method and seed, however they came."""
        in_order = sorted(trials, key=lambda trial: (trial.point, METHODS.index(trial.method), trial.seed))
        summary = results.summarize(self.experiment, in_order)
        from engine.analysis.verdicts import verdicts  # here: a list of runs needs none of it

        return {
            "format": FORMAT,
            "run": str(self.path),
            "preset": self.experiment.name,
            "title": self.experiment.title,
            "over": self.experiment.over,
            "points": [
                {"label": self.experiment.label(index), **point.model_dump()}
                for index, point in enumerate(self.experiment.points)
            ],
            "summary": [results.to_plain(row) for row in summary],
            "verdicts": [asdict(verdict) for verdict in verdicts(self.experiment, in_order)],
            "trials": [trial.to_json() for trial in in_order],
        }


def with_own_files(experiment: Experiment, prefix: str = "") -> tuple[Experiment, dict[str, str]]:
    """The experiment with the data files that it needs beside it, and what to copy there: new names → paths.

    The names begin with `prefix`.
    """
    document, copies = deepcopy(dict(experiment.document)), dict[str, str]()
    for key, stem in (("path", "problem"), ("test_path", "test")):
        given = [getattr(point.problem, key) for point in experiment.points]
        own = {path: f"{prefix}{stem}-{index}{_suffix(path)}" for index, path in enumerate(sorted(set(given) - {""}))}
        copies |= {name: path for path, name in own.items()}
        names = [own.get(path, "") for path in given]
        if experiment.over == f"problem.{key}":
            document["sweep"]["values"] = names
        elif own:
            document["problem"][key] = names[0] if len(set(names)) == 1 else names
    return replace(experiment, document=document), copies


def _suffix(path: str) -> str:
    """What a copy's name ends in: .npz, .csv, .csv.gz."""
    return "".join(Path(path).suffixes[-2:]) if path.endswith(".gz") else Path(path).suffix
