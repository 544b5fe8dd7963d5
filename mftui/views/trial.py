"""What the panes show: one trial's numbers, taken out of a followed run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from engine.events import shown_entries
from engine.results import TrialResult
from engine.spec.settings import METHODS, Method, PointSettings
from mftui.live import Curve, Entries, Guesses, LiveRun, Progress

Floats = NDArray[np.float64]

LEAST_SINGULAR_VALUE = 1e-12
"""as a fraction of the largest true one: those under it are rounding"""


@dataclass(frozen=True)
class TrialView:
    """One data set at one sweep point, as far as it has come. Tables have a row per log point, its step first."""

    key: tuple[str, int, int]
    """run, sweep point, seed: axes start anew when it changes"""
    settings: PointSettings
    truth: tuple[float, ...]
    """singular values of W*"""
    entries: Entries | None
    """W* and what is observed of it, where that is small enough to show"""
    curve: Floats
    """step, training loss, generalization loss, singular values"""
    diagnostics: Floats
    """step, and `diagnostic_columns`"""
    diagnostic_columns: Sequence[str]
    matrices: Floats
    """step, and W row by row"""
    predicted: Floats
    """theory: step, singular values"""
    prediction_error: float | None
    """largest |σ_r − predicted| so far over the largest σ_r since the prediction began; None if there is none"""
    guesses: dict[Method, Guesses]
    progress: dict[Method, Progress]
    """of the methods that are at this trial now"""
    results: dict[Method, TrialResult]
    methods: Sequence[Method] = METHODS
    """those of the run"""
    log: Sequence[tuple[float, str]] = ()
    """what happened to the whole run: when, and a line of it"""

    @property
    def shape(self) -> tuple[int, int]:
        """Of W."""
        return self.settings.problem.rows, self.settings.problem.columns

    @property
    def moments(self) -> Floats:
        """What the cursor goes through: log points; without gradient descent, hundredths of the draws."""
        if "gd" in self.methods or len(self.curve):
            return self.curve[:, 0]
        draws = max((guesses.draws for guesses in self.guesses.values()), default=0)
        return np.linspace(0, draws, 101) if draws else np.empty(0)

    @property
    def run_has_matrices(self) -> bool:
        """Whether W is kept at log points."""
        return shown_entries(self.settings) > 0

    def moment(self, look: Look) -> str:
        """The cursor in words."""
        return f"{'step' if len(self.curve) else 'draw'} {look.cursor or 0.0:,.0f}"

    def at(self, look: Look) -> TrialView:
        """As it was at the cursor; Guess & Check at the same share of its draws as gradient descent of its steps."""
        moments = self.moments
        if look.cursor is None or not len(moments):
            return self
        row = look.row(moments)
        share = float(moments[row]) / max(float(moments[-1]), 1.0)
        return replace(
            self,
            curve=self.curve[: row + 1],
            guesses={method: guesses.at(share) for method, guesses in self.guesses.items()},
            progress={},
            results={method: result for method, result in self.results.items() if method == "nuclear"},
        )

    def diagnostic(self, name: str) -> Floats:
        """One diagnostic at each of its log points; all NaN where the run has none such."""
        if name not in self.diagnostic_columns or not len(self.diagnostics):
            return np.full(len(self.diagnostics), np.nan)
        column: Floats = self.diagnostics[:, 1 + self.diagnostic_columns.index(name)]
        return column


@dataclass(frozen=True)
class Look:
    """How the panes look at a trial, all of them alike."""

    cursor: float | None = None
    """a step, None for the latest"""
    window: tuple[float, float] | None = None
    """steps shown, None for all"""
    log_x: bool = False
    theory: bool = False
    smoothed: bool = False
    pinned: TrialView | None = field(default=None, compare=False)
    """another trial to compare with"""
    colored: bool = True
    """False: series are told apart by marks"""

    @property
    def pinned_curve(self) -> Floats:
        """As `TrialView.curve`; without rows if nothing is pinned."""
        return self.pinned.curve if self.pinned else _table(None, 3)

    def row(self, steps: Floats) -> int:
        """The log point nearest to the cursor; −1, the last, without one."""
        if self.cursor is None or not len(steps):
            return -1
        return int(np.abs(steps - self.cursor).argmin())


def trial_view(live: LiveRun, point: int, seed: int) -> TrialView:
    """The trial of data set `seed` at sweep point `point`."""
    at_point = {method: progress for method, progress in live.progress.items() if progress.point == point}
    curve, predicted = live.curves.get((point, seed)), live.observations["trajectory"].get((point, seed))
    return TrialView(
        key=(live.run.name, point, seed),
        settings=live.experiment.points[point],
        truth=tuple(live.truth.get((point, seed), ())),
        entries=live.entries.get((point, seed)),
        curve=_table(curve, 3),
        diagnostics=_table(live.observations["diagnostics"].get((point, seed)), 1),
        diagnostic_columns=live.run.tables.get("diagnostics", ())[3:],
        matrices=_table(live.observations["matrices"].get((point, seed)), 1),
        predicted=_table(predicted, 1),
        prediction_error=_prediction_error(curve.table, predicted.table) if curve and predicted else None,
        guesses={m: g for m in METHODS if (g := live.guesses.get((point, m, seed)))},
        progress={m: p for m, p in at_point.items() if m == "gd" or p.seed == seed},
        results={r.method: r for r in live.results if (r.point, r.seed) == (point, seed)},
        methods=live.experiment.methods,
        log=live.log,
    )


def running_trial(live: LiveRun) -> tuple[int, int]:
    """Sweep point and seed the engine is at: of the methods with trials to come Guess & Check's, as the slowest."""
    done = live.done
    at_work = {method: at for method, at in live.progress.items() if method not in done} or live.progress
    for method in ("gnc", "prior", "nuclear", "gd"):
        if (progress := at_work.get(method)) is not None:
            return progress.point, progress.seed
    return 0, live.experiment.points[0].problem.seed


SMOOTHED_POINTS = 15
"""log points whose median a smoothed value is"""


def smooth(values: Floats) -> Floats:
    """Running medians: they follow a level, and leave out single jumps."""
    if len(values) < SMOOTHED_POINTS:
        return values
    half = SMOOTHED_POINTS // 2
    padded = np.pad(values, half, mode="edge")
    medians: Floats = np.median(np.lib.stride_tricks.sliding_window_view(padded, SMOOTHED_POINTS), axis=1)
    return medians


def _table(curve: Curve | None, columns: int) -> Floats:
    return np.empty((0, columns)) if curve is None else curve.table


def _prediction_error(curve: Floats, predicted: Floats) -> float | None:
    _, at, at_predicted = np.intersect1d(curve[:, 0], predicted[:, 0], assume_unique=True, return_indices=True)
    measured = curve[at, 3:]
    if not measured.size or not np.isfinite(measured).all():
        return None
    off = np.abs(measured - predicted[at_predicted, 1:])
    return float(np.nan_to_num(off, nan=np.inf).max() / max(measured.max(), 1e-300))
