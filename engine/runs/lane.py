"""One unit at work: procedure after procedure, step after step, into the store; with checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache, partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from engine.descent.descent import Descent, DescentState
from engine.descent.learning_rate import LearningRates
from engine.descent.observer import Mark, Observed
from engine.descent.prediction import Course
from engine.descent.spectrum import leading_spectrum
from engine.descent.theory import Comparison
from engine.events import MAX_COMPLETE_SPECTRUM, Event, Finished, PosteriorSample, Recovered, Rows, shown_entries
from engine.nuclear import MinimumNuclearNorm
from engine.problems.problem import Problem, make_problem, observed_entries, ratings_tables
from engine.results import TrialResult, trial_of
from engine.runs.checkpoints import Checkpoint, Checkpoints
from engine.runs.directory import RunDirectory
from engine.runs.store import Writer, rows_in_store
from engine.runs.units import Unit
from engine.samplers.auto import AutoState
from engine.samplers.guessing import Guessing
from engine.samplers.interface import GuessState
from engine.samplers.splitting import SplittingState
from engine.spec.settings import METHODS, Method, PointSettings, ProblemSettings

PROGRESS_SECONDS = 0.2
CHECKPOINT_SECONDS = 10.0
"""between two checkpoints of a unit: what is computed again, at most, after a death"""

STATES = (
    DescentState,
    LearningRates,
    Mark,
    Observed,
    Comparison,
    Course,
    GuessState,
    SplittingState,
    AutoState,
)
"""what the states in a checkpoint are made of"""


@runtime_checkable
class Procedure(Protocol):
    """One method at work on one or more trials: `init`, `step` until `fraction` is 1, `finish`."""

    index: int
    method: Method
    seeds: tuple[int, ...]
    resumable: bool
    """whether a state says all there is, so that another process may go on from it"""

    def init(self) -> tuple[Any, list[Event]]: ...
    def step(self, state: Any) -> tuple[Any, list[Event]]: ...

    def done(self, state: Any) -> int:
        """Steps or draws made."""
        ...

    def fraction(self, state: Any) -> float: ...
    def finish(self, state: Any) -> list[Event]: ...


class Lane:
    """A unit of a run, from its last checkpoint, if it has one, to its end."""

    def __init__(
        self,
        run: RunDirectory,
        unit: Unit,
        device: torch.device,
        complain: Callable[[str], None],
        earlier: Sequence[Mapping[str, Any]],
    ) -> None:
        """`earlier`: the events of earlier attempts. What is amiss with old files is complained of.

        Raises `StoreFullError` when the disk is full.
        """
        self.unit = unit
        self._run = run
        self._device = device
        self._ended = _keys(_trials(earlier))
        self._checkpoints = Checkpoints(run.path, unit.number, STATES, device)
        last = self._checkpoints.load(complain, rows_in_store(run.path, run.tables, unit.number)) or Checkpoint(
            0, None, {}
        )
        self._at = last.procedure
        self._state = last.state
        self._rates = _rates_set(earlier)
        self._procedures = self._all_procedures()
        self._procedure: Procedure | None = None
        self._complain = complain
        self._writer = Writer(run.path, run.tables, unit.number, last.rows)
        self._last_checkpoint = time.monotonic()
        self._last_progress = 0.0
        if unit.method == run.experiment.methods[0]:
            self._truths()

    @property
    def done(self) -> bool:
        return self._at == len(self._procedures)

    def step(self, *, finely: bool = False) -> None:
        """A few tens of milliseconds of work, or, `finely`, as little as makes a difference to see.

        Raises `StoreFullError` when nothing more can be stored.
        """
        procedure = self._procedure or self._begin()
        if isinstance(procedure, Descent):
            procedure.finely = finely
        if procedure.fraction(self._state) < 1:
            self._state, events = procedure.step(self._state)
            self._record(events)
        over = procedure.fraction(self._state) >= 1
        self._progress(procedure, force=over)
        if over:
            self._record(procedure.finish(self._state))
            self._at, self._procedure, self._state = self._at + 1, None, None
        if time.monotonic() - self._last_checkpoint > CHECKPOINT_SECONDS:
            self.checkpoint()

    def change_learning_rate(self, rate: float) -> None:
        """From the next step on, and in every repetition of this run; only gradient descent has one."""
        if self.unit.method != "gd" or self.done:
            return
        if isinstance(procedure := self._procedure or self._begin(), Descent):
            self._state = procedure.change_learning_rate(self._state, rate)
            self._writer.event("learning_rate", step=self._state.step, value=rate)

    def checkpoint(self) -> None:
        """Force all there is to the disk, and then the state. Raises `StoreFullError`."""
        self._writer.sync()
        if self._procedure is None or self._procedure.resumable:
            self._checkpoints.save(Checkpoint(self._at, self._state, self._writer.rows_written))
        self._last_checkpoint = time.monotonic()

    def close(self) -> None:
        """Put the files away; a finished unit needs no checkpoints."""
        if not self._writer.repeated:
            self._complain(
                f"unit {self.unit.number}: an earlier attempt's numbers did not come out again to the same bits; "
                "was it made on another machine, or by other versions? (environment-*.json tells)"
            )
        self._writer.sync()
        self._writer.close()
        if self.done:
            self._checkpoints.clear()

    def _begin(self) -> Procedure:
        """Set up the next procedure; its first step unless a checkpoint holds a later state."""
        self._procedure = procedure = self._procedures[self._at]()
        if isinstance(procedure, Descent) and procedure.remark:
            self._complain(procedure.remark)
        if self._state is None:
            self._state, events = procedure.init()
            self._record(events)
        return procedure

    def _all_procedures(self) -> list[Callable[[], Procedure]]:
        unit, points = self.unit, {index: self._run.experiment.points[index] for index in self.unit.points}
        first = unit.points[0]

        def problem() -> Problem:
            return _problem(points[first].problem, unit.seeds)

        if unit.method == "gd":
            return [lambda: Descent(points, unit.seeds, problem(), self._device, self._rates)]

        def nuclear_norm(seed: int) -> Procedure:
            return MinimumNuclearNorm(first, points[first], seed, problem().one(seed - unit.seeds[0]))

        def guessing(seed: int) -> Procedure:
            data = problem().one(seed - unit.seeds[0])
            return Guessing(first, points[first], seed, data, self._device, unit.method)

        one = nuclear_norm if unit.method == "nuclear" else guessing
        return [partial(one, seed) for seed in unit.seeds]

    def _record(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Rows(table, rows, columns):
                    if len(rows):
                        self._writer.rows(table, _in_full(rows, columns, self._run.tables[table]))
                case PosteriorSample(point, method, seed, matrices, log_weight):
                    self._writer.sample(point, method, seed, {"matrices": matrices, "log_weight": log_weight})
                case Recovered():
                    self._writer.event("recovered", **asdict(event))
                case Finished(result):
                    key = (result.point, result.method, result.seed)
                    if key not in self._ended:
                        self._ended.add(key)
                        self._writer.event("trial", **result.to_json())

    def _truths(self) -> None:
        """The singular values of every W*, if known."""
        point = self._run.experiment.points[self.unit.points[0]]
        problem = _problem(point.problem, self.unit.seeds)
        if problem.truth is None:
            self._known_ratings(point, problem)
            return
        for seed, truth, values in zip(self.unit.seeds, problem.truth, _values(point, problem.truth), strict=True):
            matrix = truth.tolist() if shown_entries(point) else None
            observed = observed_entries(problem.one(seed - self.unit.seeds[0])) if matrix else None
            for index in self.unit.points:
                self._writer.event(
                    "truth", point=index, seed=seed, singular_values=values, matrix=matrix, observed=observed
                )

    def _known_ratings(self, point: PointSettings, problem: Problem) -> None:
        """A small table of ratings as it is to be filled in."""
        if point.problem.kind != "ratings" or not shown_entries(point):
            return
        for seed in self.unit.seeds:
            nothing = torch.zeros(point.problem.rows, point.problem.columns, dtype=torch.float64)
            observed, offset = ratings_tables(problem.one(seed - self.unit.seeds[0]), nothing)
            for index in self.unit.points:
                self._writer.event("ratings", point=index, seed=seed, observed=observed, offset=offset[0][0])

    def _progress(self, procedure: Procedure, *, force: bool = False) -> None:
        now = time.time()
        if force or now - self._last_progress >= PROGRESS_SECONDS:
            self._last_progress = now
            place = [procedure.index, METHODS.index(procedure.method), procedure.seeds[0]]
            done, fraction = procedure.done(self._state), procedure.fraction(self._state)
            self._writer.rows("progress", [[now, *place, done, fraction]])


def _values(point: PointSettings, truths: Float[Tensor, "seed m n"]) -> list[list[float]]:
    """The singular values of every W*; of a large one that was drawn at a certain rank, as many as that."""
    if min(truths.shape[-2:]) <= MAX_COMPLETE_SPECTRUM or point.problem.kind == "file":
        values: list[list[float]] = torch.linalg.svdvals(truths).tolist()
    else:
        values = leading_spectrum([truths], point.problem.rank).values.tolist()
    return values


def _rates_set(events: Iterable[Mapping[str, Any]]) -> dict[int, float]:
    """The learning rates that were set in flight in earlier attempts, by step; the last one where there are several."""
    rates = {}
    for event in events:
        if event["event"] == "learning_rate":
            with suppress(KeyError, TypeError, ValueError):
                rates[int(event["step"])] = float(event["value"])
    return rates


@lru_cache(maxsize=2)
def _problem(settings: ProblemSettings, seeds: tuple[int, ...]) -> Problem:
    """The data sets that several units share."""
    return make_problem(settings, seeds)


def finished_trials(run: RunDirectory) -> list[TrialResult]:
    """The results so far, of all attempts; one that is damaged counts as not finished."""
    return _trials(run.reader().events())


def is_finished(unit: Unit, events: Iterable[Mapping[str, Any]]) -> bool:
    """Whether all of a unit's trials have a result, by the unit's events."""
    return set(unit.trials) <= _keys(_trials(events))


def _trials(events: Iterable[Mapping[str, Any]]) -> list[TrialResult]:
    trials = []
    for event in events:
        if event["event"] == "trial":
            with suppress(KeyError, TypeError):
                trials.append(trial_of(dict(event)))
    return trials


def _keys(trials: Iterable[TrialResult]) -> set[tuple[int, Method, int]]:
    return {(trial.point, trial.method, trial.seed) for trial in trials}


def _in_full(
    rows: Sequence[Sequence[int | float]] | NDArray[np.float64], given: Sequence[str] | None, columns: Sequence[str]
) -> NDArray[np.float64]:
    """Rows with a value for each of a table's columns, NaN where a smaller sweep point has none."""
    table = np.asarray(rows, np.float64)
    names = columns[: table.shape[1]] if given is None else given
    if len(names) == len(columns):
        return table
    full = np.full((len(table), len(columns)), math.nan)
    full[:, [columns.index(name) for name in names]] = table
    return full
