"""The runs that a figure needs: which of those there are will do, and which have to be made or gone on with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tomlkit

from engine.events import schema
from engine.runs import catalog
from engine.runs.catalog import FORMAT, RunError, State
from engine.runs.directory import RunDirectory
from engine.runs.files import from_json
from engine.spec.applicability import predicts
from engine.spec.experiment import Experiment
from engine.spec.preset import load, toml_value
from mftui.figures.definition import Definition, Panel, PanelRun
from mftui.figures.places import known_points, places_in

QUICK_SEEDS = 2
QUICK_VALUES = 4
QUICK_SHARE = 10
"""by which --quick divides effective samples and draws of the prior"""
_AT_WORK: frozenset[State] = frozenset({"starting", "queued", "running"})
_TO_GO_ON_WITH: frozenset[State] = frozenset({"stopped", "interrupted"})

Found = Literal["finished", "at work", "to go on with"]


@dataclass(frozen=True)
class Wishes:
    """What the command line asks of every run of a figure."""

    seeds: int | None = None
    quick: bool = False
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Needed:
    """One run of one panel, and the experiment it is."""

    panel: Panel
    run: PanelRun
    experiment: Experiment
    overrides: tuple[str, ...]
    """all that it differs from its preset by, also what the command line asks for"""


def needed(figure: Definition, wishes: Wishes) -> list[Needed]:
    """All runs of a figure, in its order; panels may share some. Raises `PresetError`."""
    found = []
    for panel in figure.panels:
        for run in panel.runs:
            overrides = _overrides(figure, panel, run, wishes)
            found.append(Needed(panel, run, load(run.preset, overrides), tuple(overrides)))
    return found


def _overrides(figure: Definition, panel: Panel, run: PanelRun, wishes: Wishes) -> list[str]:
    last = list(wishes.overrides)
    if wishes.seeds is not None:
        last.append(f"seeds={wishes.seeds}")
    if not wishes.quick:
        return [*run.overrides, *last]
    own = [*figure.quick, *panel.quick]
    full = load(run.preset, run.overrides)
    chosen = {override.partition("=")[0].strip() for override in (*own, *last)}
    shorter = _shorter(full, run.overrides, cut=not {full.over, "sweep.values"} & chosen)
    return [*shorter, *own, *last]


def _shorter(full: Experiment, overrides: Sequence[str], *, cut: bool) -> list[str]:
    """A run's overrides, and those that make it quick: fewer data sets and samples, and values if they are to be cut.

    Lists of one value per sweep point are cut with the values; those in the preset itself by `load`.
    """
    count, kept = len(full.points), spread(len(full.points)) if cut else list(range(len(full.points)))
    found = []
    for override in overrides:
        key, _, text = override.partition("=")
        value = toml_value(text, str)
        if len(kept) < count and isinstance(value, list) and len(value) == count and key.strip() != "methods":
            override = f"{key}={_toml([value[index] for index in kept])}"
        found.append(override)
    if len(kept) < count and full.over not in {override.partition("=")[0].strip() for override in overrides}:
        found.append(f"{full.over}={_toml([full.values[index] for index in kept])}")
    samples = min(point.gnc.effective_samples for point in full.points)
    draws = min(point.gnc.prior_draws for point in full.points)
    return [
        *found,
        f"seeds={min(QUICK_SEEDS, full.seeds)}",
        f"gnc.effective_samples={math.ceil(samples / QUICK_SHARE)}",
        f"gnc.prior_draws={math.ceil(draws / QUICK_SHARE)}",
    ]


def spread(count: int) -> list[int]:
    """At most four of `count` places: the first, the last and two between."""
    if count <= QUICK_VALUES:
        return list(range(count))
    return [round(step * (count - 1) / (QUICK_VALUES - 1)) for step in range(QUICK_VALUES)]


def _toml(value: Any) -> str:
    return str(tomlkit.item(value).as_string())


def what_is_quick(experiments: Sequence[Experiment]) -> str:
    """A label, such as: quick: 2 data sets, 4 sweep points, 200 effective samples."""

    def span(numbers: Sequence[int], what: str) -> str:
        low, high = min(numbers), max(numbers)
        return f"{low if low == high else f'{low} to {high}'} {what}{'s' * (high > 1)}"

    told = [span([each.seeds for each in experiments], "data set")]
    told.append(span([len(each.points) for each in experiments], "sweep point"))
    if guessing := [each for each in experiments if "gnc" in each.methods]:
        samples = [point.gnc.effective_samples for each in guessing for point in each.points]
        told.append(span(samples, "effective sample"))
    return "quick: " + ", ".join(told)


# --- which run will do -----------------------------------------------------------------------------------------------


def stored(experiment: Experiment) -> tuple[RunDirectory, Found] | None:
    """The run there is of an experiment: a finished one before others.

    It may have more data sets, methods and sweep points, and differ in what has no say for the methods asked for.
    """
    found: list[tuple[int, float, RunDirectory, Found]] = []
    for path in _candidates(experiment):
        with suppress(RunError):
            run = RunDirectory.open(path)
            if (kind := _serves(run, experiment)) is not None:
                rank = ("finished", "at work", "to go on with").index(kind)
                found.append((rank, -path.stat().st_mtime, run, kind))
    if not found:
        return None
    *_, run, kind = min(found, key=lambda each: each[:2])
    return run, kind


def _candidates(experiment: Experiment) -> list[Path]:
    """Runs that may be of an experiment, judged by their short descriptions alone."""
    compares = any(map(predicts, experiment.points))
    tables = {table: set(names) for table, names in schema(experiment).items() if compares or table != "theory"}
    trials = len(experiment.points) * len(experiment.methods) * experiment.seeds
    found = []
    with suppress(OSError):
        for path in sorted(catalog.runs_directory().iterdir()):
            with suppress(OSError, ValueError, KeyError, TypeError, RecursionError, AttributeError):
                about = from_json((path / "run.json").read_bytes())
                logged = all(names <= set(about["tables"].get(table, ())) for table, names in tables.items())
                if logged and about["trials"] >= trials:
                    found.append(path)
    return found


def _serves(run: RunDirectory, wanted: Experiment) -> Found | None:
    has, state = run.experiment, catalog.state(run.path)
    if state == "finished":
        enough = has.seeds >= wanted.seeds and set(has.methods) >= set(wanted.methods)
        serves = enough and places_in(has, wanted) is not None and not _was_disturbed(run)
        return "finished" if serves else None
    if (has.seeds, has.methods, has.over, run.format) != (wanted.seeds, wanted.methods, wanted.over, FORMAT):
        return None
    if known_points(has) != known_points(wanted) or _was_disturbed(run):
        return None
    if state in _AT_WORK:
        return "at work"
    return "to go on with" if state in _TO_GO_ON_WITH else None


def _was_disturbed(run: RunDirectory) -> bool:
    """Whether somebody changed the learning rate in flight: its numbers are not the preset's."""
    return any(b'"event": "learning_rate"' in path.read_bytes() for path in run.path.glob("events-*.jsonl"))
