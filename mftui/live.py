"""A run as its store tells it: what every front end shows, kept up to date by `poll`. Plain numbers and arrays."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.events import Recovered
from engine.results import TrialResult, trial_of
from engine.runs import control
from engine.runs.catalog import OVER, STATE_AFTER, State, waits_for_job
from engine.runs.directory import RunDirectory
from engine.runs.launch import Spare, start_worker
from engine.runs.process import EXIT_STORE_FULL
from engine.spec.experiment import Experiment
from engine.spec.settings import METHOD_LABELS, METHODS, Method

MOST_LOG_LINES = 500
_RATE_WINDOW = 10
"""progress rows a rate is averaged over, about two seconds"""

_OBSERVATIONS = ("diagnostics", "theory", "trajectory", "matrices")
"""tables with a row per log point of gradient descent, beside its own"""

Trial = tuple[int, Method, int]
"""sweep point, method, seed"""


MOST_POINTS = 2_000
"""log points a curve keeps, at least: twice as many are thinned to these, evenly"""


class Curve:
    """Gradient descent on one data set: evenly spaced log points, and the last."""

    def __init__(self) -> None:
        self._kept = np.empty((0, 0))
        """room for rows, in one piece: as an array each they took megabytes more before a thinning than after it, and
        one comes half as often each time"""
        self._count = 0
        """rows that are kept"""
        self._stride = 1
        self._seen = 0
        self._table: NDArray[np.float64] | None = None

    def extend(self, rows: NDArray[np.float64]) -> None:
        """Add rows (step, training loss, generalization loss, singular values); a repeated step replaces the old."""
        while self._count and self._kept[self._count - 1, 0] >= rows[0, 0]:  # in format 1 a resumed run began anew
            self._count -= 1
            self._seen = self._count * self._stride
        if self._count and (self._seen - 1) % self._stride:
            self._count -= 1  # was kept for being the last
        while self._count + len(rows[self._next :: self._stride]) > 2 * MOST_POINTS:
            half = self._kept[: self._count : 2]
            self._kept[: len(half)] = half
            self._count, self._stride = len(half), 2 * self._stride
        self._append(rows[self._next :: self._stride])
        self._seen += len(rows)
        if (self._seen - 1) % self._stride:
            self._append(rows[-1:])
        self._table = None

    @property
    def _next(self) -> int:
        """Rows to come until one is kept."""
        return -self._seen % self._stride

    def _append(self, rows: NDArray[np.float64]) -> None:
        end = self._count + len(rows)
        if end > len(self._kept):
            room = np.empty((min(max(end, 2 * len(self._kept)), 2 * MOST_POINTS + 1), rows.shape[1]))
            if self._count:
                room[: self._count] = self._kept[: self._count]
            self._kept = room
        self._kept[self._count : end] = rows
        self._count = end

    @property
    def table(self) -> NDArray[np.float64]:
        """Shape (rows, 3 + number of singular values); what comes later does not change it."""
        if self._table is None:
            self._table = self._kept[: self._count].copy()
        return self._table

    @property
    def steps(self) -> NDArray[np.float64]:
        return self.table[:, 0]

    @property
    def training_loss(self) -> NDArray[np.float64]:
        return self.table[:, 1]

    @property
    def generalization_loss(self) -> NDArray[np.float64]:
        return self.table[:, 2]

    @property
    def singular_values(self) -> NDArray[np.float64]:
        """Shape (rows, singular values), largest first."""
        return self.table[:, 3:]


def extend(curves: dict[tuple[int, int], Curve], rows: NDArray[np.float64]) -> None:
    """Give each row (sweep point, seed, step …) to the curve it belongs to."""
    for point, seed in np.unique(rows[:, :2], axis=0).astype(int).tolist():
        mine = rows[(rows[:, 0] == point) & (rows[:, 1] == seed)]
        curves.setdefault((point, seed), Curve()).extend(mine[:, 2:])


@dataclass(frozen=True, eq=False)
class Entries:
    """W*, or what is known of it, small enough to show."""

    matrix: NDArray[np.float64]
    """shape (m, n); NaN where an entry is unknown"""
    observed: NDArray[np.bool_] | None
    """which entries are in the training set; None where it has no entries"""
    complete: bool
    """whether all entries are known"""
    offset: float = 0.0
    """what W lacks to be in the units of `matrix`: the mean of centred ratings"""


@dataclass
class Guesses:
    """The prior or Guess & Check on one data set, so far."""

    draws: int = 0
    hits: int = 0
    best_training_loss: float = float("inf")
    stage: int = 0
    generalization_loss: list[float] = field(default_factory=list)
    """of the first draws that passed"""
    log_weight: list[float] = field(default_factory=list)
    """of the same draws"""
    course: Curve = field(default_factory=Curve)
    """draws, hits and best training loss as they came"""

    def at(self, share: float) -> Guesses:
        """As they stood when this share of the draws so far was made; hits on a line between two rows of the course.

        A fast run has one row or two in all. Rows that tell of draws alone come first where `auto` tried samplers and
        chose another: the share is of the draws since.
        """
        course = np.vstack([[0.0, 0.0, np.inf], self.course.table.reshape(-1, 3)])
        course = course[max(0, int(np.isfinite(course[:, 2]).argmax()) - 1) :]
        draws = course[0, 0] + share * (self.draws - course[0, 0])
        row = int(np.searchsorted(course[:, 0], draws, side="right")) - 1
        falls = np.flatnonzero(np.diff(course[:, 1]) < 0)  # another sampler took over: what had passed was dropped
        hits = course[row, 1] if row in falls else np.interp(draws, course[:, 0], course[:, 1])
        kept = round(hits) if row > falls.max(initial=-1) else 0
        return Guesses(
            draws=round(draws),
            hits=round(hits),
            best_training_loss=float(course[row, 2]),
            stage=self.stage,
            generalization_loss=self.generalization_loss[:kept],
            log_weight=self.log_weight[:kept],
        )


@dataclass(frozen=True)
class Progress:
    """Where a method is."""

    point: int
    seed: int
    done: int
    """steps or draws made"""
    fraction: float
    rate: float
    """steps or draws a second, lately; 0 when not known yet"""

    @property
    def total(self) -> int:
        """Steps or draws in all, judged by the fraction done; 1 while nothing is."""
        return round(self.done / self.fraction) if self.fraction else max(self.done, 1)


class LiveRun:
    """Follows one run, and asks its worker for things."""

    def __init__(self, run: RunDirectory, process: subprocess.Popen[bytes] | None = None) -> None:
        """`process` is the worker, if this front end started it: it may not hold the run's lock yet."""
        self.run = run
        self.experiment = run.experiment
        self.state: State = "starting"
        self.message = ""
        self.device = run.device
        self.results: list[TrialResult] = []
        self.truth: dict[tuple[int, int], list[float]] = {}
        """singular values of W* by sweep point and seed"""
        self.entries: dict[tuple[int, int], Entries] = {}
        """small W*, or what is known of them, by sweep point and seed"""
        self.curves: dict[tuple[int, int], Curve] = {}
        """by sweep point and seed"""
        self.observations: dict[str, dict[tuple[int, int], Curve]] = {name: {} for name in _OBSERVATIONS}
        """diagnostics, and theory against measurement, by table, then sweep point and seed; columns as in the schema"""
        self.recovered: dict[Trial, Recovered] = {}
        """small ratings matrices as they were filled in"""
        self.guesses: dict[Trial, Guesses] = {}
        self.progress: dict[Method, Progress] = {}
        self.log: deque[tuple[float, str]] = deque(maxlen=MOST_LOG_LINES)
        """what happened: seconds since 1970, and a line"""
        self.leader: int | None = None
        """process id of the worker that last said it has begun"""
        self._rate: float | None = None
        self.rate_changed_at: int | None = None
        """the step from which on gradient descent has a learning rate that was set in flight"""
        self._reader = run.reader()
        self.process = process
        self._takers: dict[str, Callable[[NDArray[np.float64]], None]] = {
            "gd": partial(extend, self.curves),
            **{name: partial(extend, curves) for name, curves in self.observations.items()},
            "guesses": self._take_guesses,
            "samples": self._take_samples,
            "progress": self._take_progress,
        }
        self._history: dict[Method, deque[tuple[float, Progress]]] = {}

    @staticmethod
    def start(run: RunDirectory, spare: Spare | None = None) -> LiveRun:
        """Start a worker on the run and follow it. Raises `RunError` if the run has one already.

        A spare worker, which is used up, begins seconds earlier.
        """
        live = LiveRun(run)
        live._read()  # now, lest the end of an earlier attempt be taken for the end of this one
        live.state, live.message = "starting", ""
        live.process = spare.start(run) if spare else start_worker(run)
        return live

    @property
    def over(self) -> bool:
        return self.state in OVER

    @property
    def done(self) -> frozenset[Method]:
        """Methods all of whose trials have their results."""
        trials = len(self.experiment.points) * self.experiment.seeds
        found = Counter(result.method for result in self.results)
        return frozenset(method for method in self.experiment.methods if found[method] >= trials)

    def poll(self) -> bool:
        """Read what is new; True if anything was."""
        alive = self._is_alive()  # before reading: what a dead worker wrote is all there
        new = self._read()
        if not alive and not self.over:
            self.state = "interrupted"
            self.message = self._why_it_died()
            return True
        return new

    def pause(self) -> None:
        self.ask("pause")

    def resume(self) -> None:
        self.ask("continue")

    def stop(self) -> None:
        if not self.over:
            self.ask("stop")

    def learning_rate(self, point: int) -> float | None:
        """Of gradient descent at a sweep point: as last set in flight, else as the preset says; None if auto."""
        given = self.experiment.points[point].gd.learning_rate
        return self._rate if self._rate is not None else given if isinstance(given, float) else None

    def ask(self, kind: control.Kind, value: float | None = None) -> None:
        """Ask the worker for something. Raises `ControlError` if it refuses, OSError if it can't be reached."""
        control.ask(self.run.path, kind, value)
        if kind == "learning_rate":
            self._rate = value  # until the worker says so too

    def wait(self, timeout: float) -> bool:
        """Wait for a worker that we started to end; False if it didn't within `timeout` seconds."""
        try:
            if self.process is not None:
                self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _is_alive(self) -> bool:
        if self.process is not None:
            return self.process.poll() is None
        return self.run.is_alive() or waits_for_job(self.run.path)

    def _why_it_died(self) -> str:
        """Why a worker is gone that said nothing in its events."""
        status = self.process.returncode if self.process is not None else None
        if not self.run.path.exists():
            return f"the run's folder {self.run.path} is gone"
        if status == EXIT_STORE_FULL:
            return f"nothing more could be stored in {self.run.path}: the disk is full, or a quota is"
        if status is not None and status < 0:
            hint = ", perhaps for want of memory" if status == -signal.SIGKILL else ""
            return f"the worker was killed by signal {-status}{hint}; see {self.run.log}"
        return f"{self._last_words()}; see {self.run.log}" if status else f"the worker died; see {self.run.log}"

    def _last_words(self) -> str:
        """The last line of the worker's log."""
        try:
            lines = self.run.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else "the worker died"

    def _read(self) -> bool:
        events = self._reader.events()
        for event in events:
            with suppress(KeyError, TypeError, ValueError, IndexError, OverflowError):  # a damaged line tells nothing
                self._take_event(event)
        return any([bool(events), *(self._take_rows(table) for table in self._takers if table in self._reader.schema)])

    def _take_event(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if line := _told(event, self.experiment):
            self.log.append((float(event["time"]), line))
        self.state = STATE_AFTER.get(kind, self.state)
        match kind:
            case "started":
                self.state, self.leader = "starting", event.get("pid")
            case "device":
                self.message = ""
                self.device = event["device"]
            case "failed" | "queued":
                self.message = event["message"]
            case "learning_rate":
                self._rate, self.rate_changed_at = float(event["value"]), int(event["step"])
            case "truth":
                self._take_truth(event)
            case "ratings":
                known = np.array(event["observed"], dtype=np.float64)
                entries = Entries(known, ~np.isnan(known), complete=False, offset=float(event["offset"]))
                self.entries[event["point"], event["seed"]] = entries
            case "recovered":
                trial = event["point"], event.get("method", "gd"), event["seed"]
                self.recovered[trial] = Recovered(
                    event["point"], event["seed"], event["observed"], event["recovered"], event.get("method", "gd")
                )
            case "trial":
                self.results.append(trial_of(event))

    def _take_truth(self, event: dict[str, Any]) -> None:
        key = event["point"], event["seed"]
        self.truth[key] = event["singular_values"]
        if event.get("matrix") is not None:
            matrix = np.array(event["matrix"], dtype=np.float64)
            seen = np.zeros(matrix.size, dtype=np.bool_)
            seen[event["observed"] or []] = True
            observed = None if event["observed"] is None else seen.reshape(matrix.shape)
            self.entries[key] = Entries(matrix, observed, complete=True)

    def _take_rows(self, table: str) -> bool:
        runs = len(self.experiment.points) * self.experiment.seeds
        rows = self._reader.rows(table, None if table == "samples" else MOST_POINTS * runs)
        if len(rows):
            self._takers[table](rows)
        return bool(len(rows))

    def _take_guesses(self, rows: NDArray[np.float64]) -> None:
        for row in rows:
            guesses = self.guesses.setdefault(_trial(row), Guesses())
            draws, hits, best = row[3:]
            if draws <= guesses.draws:  # a resumed run began this trial anew
                guesses.generalization_loss.clear()
                guesses.log_weight.clear()
            guesses.draws, guesses.hits, guesses.best_training_loss = int(draws), int(hits), float(best)
            guesses.course.extend(row[np.newaxis, 3:])

    def _take_samples(self, rows: NDArray[np.float64]) -> None:
        for row in rows:
            guesses = self.guesses.setdefault(_trial(row), Guesses())
            if row[3] != guesses.stage:  # another sampler took over: what passed before no longer counts
                guesses.stage = int(row[3])
                guesses.generalization_loss.clear()
                guesses.log_weight.clear()
            guesses.generalization_loss.append(float(row[5]))
            guesses.log_weight.append(float(row[6]))

    def _take_progress(self, rows: NDArray[np.float64]) -> None:
        for time, point, method, seed, done, fraction in rows.tolist():
            name = METHODS[int(method)]
            history = self._history.setdefault(name, deque(maxlen=_RATE_WINDOW))
            last = history[-1][1] if history else None
            if last and ((last.point, last.seed) != (int(point), int(seed)) or done < last.done):
                history.clear()
            rate = 0.0
            if history and time > history[0][0]:
                rate = (done - history[0][1].done) / (time - history[0][0])
            progress = Progress(int(point), int(seed), int(done), fraction, rate)
            history.append((time, progress))
            self.progress[name] = progress


def _told(event: dict[str, Any], experiment: Experiment) -> str:
    """An event as a line of the log; empty for those that are no news."""
    match event["event"]:
        case "started" if "host" in event:
            return f"worker {event['pid']} started on {event['host']}"
        case "device":
            return f"computing on {event['device']}"
        case "learning_rate":
            return f"learning rate {event['value']:g} from step {event['step']:,} on"
        case "trial":
            loss = event["generalization_loss"]
            outcome = f"L_gen {loss:.3g}" if loss is not None else event["outcome"]
            where = f"{experiment.label(event['point'])}, " if experiment.over else ""
            return f"{METHOD_LABELS[event['method']]}, {where}seed {event['seed']}: {outcome}"
        case "queued" | "remark" | "failed":
            return str(event["message"])
        case "paused" | "continued" | "stopped" | "finished":
            return str(event["event"])
    return ""


def _trial(row: NDArray[np.float64]) -> Trial:
    return int(row[0]), METHODS[int(row[1])], int(row[2])
