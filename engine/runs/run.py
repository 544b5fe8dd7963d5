"""The one loop: step → events → store, with pause and stop between any two steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import torch

from engine.descent.descent import Descent
from engine.descent.grouping import groups
from engine.events import Event, Finished, PosteriorSample, Recovered, Rows, schema
from engine.nuclear import MinimumNuclearNorm
from engine.problems.problem import Problem, make_problem
from engine.results import TrialResult
from engine.runs.directory import Request
from engine.runs.store import Schema, Writer
from engine.samplers.guessing import Guessing
from engine.spec.preset import Experiment
from engine.spec.settings import METHODS, Method

PROGRESS_SECONDS = 0.2
PAUSE_POLL_SECONDS = 0.01


@runtime_checkable
class Procedure(Protocol):
    """One method at work on one or more trials: `init`, `step` until `fraction` is 1, `finish`."""

    index: int
    method: Method
    seeds: tuple[int, ...]

    def init(self) -> tuple[Any, list[Event]]: ...
    def step(self, state: Any) -> tuple[Any, list[Event]]: ...

    def done(self, state: Any) -> int:
        """Steps or draws made."""
        ...

    def fraction(self, state: Any) -> float: ...
    def finish(self, state: Any) -> list[Event]: ...


def execute(
    experiment: Experiment,
    device: torch.device,
    writer: Writer,
    request: Callable[[], Request | None],
    finished: list[TrialResult],
) -> Literal["finished", "stopped"]:
    """Run every trial that is not in `finished`, and append the new results to it.

    `request` returns what a front end last asked for. Raises `StoreFullError` when the disk is full.
    """
    recorder = _Recorder(writer, finished, schema(experiment))
    for indices in groups(experiment.points, experiment.seeds):
        lanes = _lanes(experiment, indices, device, recorder)
        active = [_advance(procedures, recorder) for procedures in lanes]
        while active:
            for lane in list(active):
                if _stop_requested(request, writer):
                    return "stopped"
                if next(lane, None) is None:
                    active.remove(lane)
    return "finished"


def _lanes(
    experiment: Experiment, indices: Sequence[int], device: torch.device, recorder: _Recorder
) -> list[Iterator[Procedure]]:
    """The procedures of some sweep points on the same data that remain to be run, one queue a method: methods advance
    side by side."""
    points = {index: experiment.points[index] for index in indices}
    settings = points[indices[0]].problem
    seeds = range(settings.seed, settings.seed + experiment.seeds)
    remaining = {
        method: [(index, seed) for index in indices for seed in seeds if not recorder.is_finished(index, method, seed)]
        for method in experiment.methods
    }
    if not any(remaining.values()):
        return []
    problem = make_problem(settings, seeds)
    recorder.truths(indices, seeds, problem)

    def descents() -> Iterator[Procedure]:
        if remaining["gd"]:  # all data sets are one batch, so that a resumed run repeats the same arithmetic
            yield Descent(points, seeds, problem, device)

    def guessings(method: Method) -> Iterator[Procedure]:
        for index, seed in remaining[method]:
            yield Guessing(index, points[index], seed, problem.one(seed - seeds[0]), device, method)

    def nuclear_norms() -> Iterator[Procedure]:
        for index, seed in remaining["nuclear"]:
            yield MinimumNuclearNorm(index, points[index], seed, problem.one(seed - seeds[0]))

    lanes = {"gd": descents, "nuclear": nuclear_norms}
    return [lanes[method]() if method in lanes else guessings(method) for method in experiment.methods]


def _advance(procedures: Iterator[Procedure], recorder: _Recorder) -> Iterator[Literal[True]]:
    """Run a queue of procedures, yielding after each step."""
    for procedure in procedures:
        state, events = procedure.init()
        recorder.record(events)
        while procedure.fraction(state) < 1:
            recorder.progress(procedure, state)
            yield True
            state, events = procedure.step(state)
            recorder.record(events)
        recorder.progress(procedure, state, force=True)
        recorder.record(procedure.finish(state))
        yield True


class _Recorder:
    """Puts events into the store."""

    def __init__(self, writer: Writer, finished: list[TrialResult], tables: Schema) -> None:
        self._writer = writer
        self._schema = tables
        self._finished = finished
        self._keys = {(result.point, result.method, result.seed) for result in finished}
        self._last_progress: dict[Method, float] = {}

    def is_finished(self, point: int, method: Method, seed: int) -> bool:
        return (point, method, seed) in self._keys

    def record(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Rows(table, rows, columns):
                    if rows:
                        self._writer.rows(table, _in_full(rows, columns, self._schema[table]))
                case PosteriorSample(point, method, seed, matrices, log_weight):
                    self._writer.sample(point, method, seed, {"matrices": matrices, "log_weight": log_weight})
                case Recovered(point, seed, observed, recovered):
                    self._writer.event("recovered", point=point, seed=seed, observed=observed, recovered=recovered)
                case Finished(result):
                    if not self.is_finished(result.point, result.method, result.seed):
                        self._keys.add((result.point, result.method, result.seed))
                        self._finished.append(result)
                        self._writer.event("trial", **result.to_json())

    def truths(self, indices: Sequence[int], seeds: Sequence[int], problem: Problem) -> None:
        """The singular values of every W*, if known."""
        if problem.truth is None:
            return
        for seed, truth in zip(seeds, problem.truth, strict=True):
            values = torch.linalg.svdvals(truth).tolist()
            for index in indices:
                self._writer.event("truth", point=index, seed=seed, singular_values=values)

    def progress(self, procedure: Procedure, state: Any, *, force: bool = False) -> None:
        now = time.time()
        if not force and now - self._last_progress.get(procedure.method, 0.0) < PROGRESS_SECONDS:
            return
        self._last_progress[procedure.method] = now
        place = [procedure.index, METHODS.index(procedure.method), procedure.seeds[0]]
        self._writer.rows("progress", [[now, *place, procedure.done(state), procedure.fraction(state)]])


def _in_full(
    rows: Sequence[Sequence[int | float]], given: Sequence[str] | None, columns: Sequence[str]
) -> list[list[int | float]]:
    """Rows with a value for each of a table's columns, NaN where a smaller sweep point has none."""
    if given is None:
        given = columns[: len(rows[0])]
    if len(given) == len(columns):
        return [list(row) for row in rows]
    place = {name: index for index, name in enumerate(given)}
    return [[row[place[name]] if name in place else math.nan for name in columns] for row in rows]


def _stop_requested(request: Callable[[], Request | None], writer: Writer) -> bool:
    """Wait for as long as a pause lasts; True if the run is to stop."""
    asked = request()
    if asked == "pause":
        writer.event("paused")
        while (asked := request()) == "pause":
            time.sleep(PAUSE_POLL_SECONDS)
        if asked != "stop":
            writer.event("continued")
    return asked == "stop"
