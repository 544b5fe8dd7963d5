"""What figures need of a run: trials, the last log point and the course of gradient descent, what is known of W*."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.analysis import laws
from engine.events import GRADIENT_SIZES
from engine.results import TrialResult, effective_rank, fits
from engine.runs.directory import RunDirectory
from engine.spec.experiment import Experiment
from engine.spec.settings import METHODS, Method
from mftui.export.contents import Contents, without_folders
from mftui.figures.definition import OF_LAST_ROW, OF_LAWS, OF_ONE_MATRIX, OF_SOLUTION
from mftui.figures.places import places_in

Floats = NDArray[np.float64]
Quartiles = tuple[tuple[float, float, float], int]
"""25 %, median, 75 %, and of how many data sets; NaN without any"""
_NOTHING = (np.nan, np.nan, np.nan)


class RunData:
    """One run, as far as it has come, or a part of it."""

    def __init__(self, contents: Contents, experiment: Experiment, places: Sequence[int]) -> None:
        """`experiment` may have fewer seeds, methods and sweep points than the run, where they are at `places`."""
        self._contents = contents
        self._places = places
        self.run = contents.run
        self.experiment = experiment
        points = {place: point for point, place in enumerate(places)}
        found = [replace(trial, point=points[trial.point]) for trial in contents.trials if trial.point in points]
        self.trials: Sequence[TrialResult] = [
            trial
            for trial in found
            if trial.method in experiment.methods and 0 <= trial.seed - self.first_seed(trial.point) < experiment.seeds
        ]

    @staticmethod
    def read(run: RunDirectory, wanted: Experiment | None = None) -> RunData:
        """`wanted` is served by the run (`mftui.figures.collect.stored`). Raises ValueError if it is not."""
        contents = Contents(run)
        if wanted is None:
            return RunData(contents, contents.experiment, range(len(contents.experiment.points)))
        if (places := places_in(run.experiment, wanted)) is None:
            raise ValueError(f"{run.name} has other sweep points")
        return RunData(contents, without_folders(wanted), places)

    def origin(self, trial: TrialResult) -> tuple[Path, int, Method, int]:
        """What tells a trial from those of all runs: the run, and sweep point, method and seed there."""
        return self.run.path, self._places[trial.point], trial.method, trial.seed

    def first_seed(self, point: int) -> int:
        return self.experiment.points[point].problem.seed

    @cached_property
    def gaps(self) -> tuple[str, ...]:
        """What is missing of it."""
        experiment = self.experiment
        wanted = len(experiment.points) * len(experiment.methods) * experiment.seeds
        if len(self.trials) == wanted:
            return ()
        return (
            f"{experiment.name}: the run is {self._contents.state}, {len(self.trials)} of {wanted} trials are done",
        )

    @property
    def environments(self) -> Sequence[Mapping[str, Any]]:
        return self._contents.environments

    def troubles(self, point: int, method: Method) -> list[str]:
        """What went wrong at a sweep point."""
        return [
            f"seed {trial.seed}: {trial.message}"
            for trial in self.trials
            if (trial.point, trial.method) == (point, method) and trial.outcome != "finished"
        ]

    def truth(self, point: int, seed: int | None = None) -> list[float]:
        """Singular values of W*; of the first data set unless one is named. Empty where W* is unknown."""
        values = self._truths.get((self._places[point], self.first_seed(point) if seed is None else seed), {})
        return [float(value) for value in values.get("singular_values") or ()]

    @cached_property
    def _truths(self) -> dict[tuple[int, int], Mapping[str, Any]]:
        events = [event for event in self._contents.events if event.get("event") == "truth"]
        return {(event["point"], event["seed"]): event for event in events}

    def curve(self, point: int) -> Floats:
        """Gradient descent on the first data set: step, training and generalization loss, singular values."""
        return self._rows("gd", point, 5)

    def predicted(self, point: int) -> Floats:
        """The singular values' course that theory predicts: step, singular values."""
        return self._rows("trajectory", point, 1)

    def _rows(self, table: str, point: int, fewest: int) -> Floats:
        """The rows of the first data set at a point, without point and seed, and without columns that it has not."""
        mine = self._stored(table, point)[:, 2:]
        return mine[:, ~np.isnan(mine).all(axis=0)] if len(mine) else np.empty((0, fewest))

    def _stored(self, table: str, point: int) -> Floats:
        """The rows of the first data set at a point."""
        if table not in self.run.tables:
            return np.empty((0, 3))
        rows = self._contents.table(table)
        found: Floats = rows[(rows[:, 0] == self._places[point]) & (rows[:, 1] == self.first_seed(point))]
        return found

    @cached_property
    def last_rows(self) -> dict[tuple[int, int], dict[str, float]]:
        """Gradient descent's last log point, by sweep point and seed: step and diagnostics."""
        columns = self.run.tables.get("diagnostics")
        if not columns:
            return {}
        points = {place: point for point, place in enumerate(self._places)}
        return {
            (points[int(row[0])], int(row[1])): {"steps": row[2], **dict(zip(columns[3:], row[3:], strict=True))}
            for row in self._contents.table("diagnostics").tolist()
            if int(row[0]) in points
        }

    def alignment(self, point: int) -> tuple[Floats, Floats, Floats, str]:
        """Steps, mean size of Uᵀ∇L_train(W)V on its diagonal and off it; and why there are none, if there are none."""
        columns = self.run.tables.get("theory", [])
        rows = self._stored("theory", point)
        if not len(rows) or not set(GRADIENT_SIZES) <= set(columns):
            nothing = np.empty(0)
            why = "needs linear σ, plain gradient descent and gd.predict_from; runs of earlier versions lack it"
            return nothing, nothing, nothing, f"{self.experiment.label(point)}: {why}"
        diagonal, rest = (rows[:, columns.index(name)] for name in GRADIENT_SIZES)
        return rows[:, 2], diagonal, rest, ""


@dataclass(frozen=True)
class Quantity:
    """A number that each trial of some methods has."""

    label: str
    of: Callable[[RunData, TrialResult], float | None]
    scale: Literal["linear", "log"] = "linear"
    only: tuple[Method, ...] = METHODS
    """the methods that have it"""
    of_truth: Callable[[Floats], float] | None = None
    """of singular values of W*, where it is something that W* has as well"""

    def methods(self, offered: Sequence[Method]) -> tuple[Method, ...]:
        return tuple(method for method in METHODS if method in offered and method in self.only)

    def quartiles(self, run: RunData, point: int, method: Method) -> Quartiles:
        """Over the data sets."""
        values = [self.of(run, trial) for trial in run.trials if (trial.point, trial.method) == (point, method)]
        known = [value for value in values if value is not None and np.isfinite(value)]
        if not known:
            return _NOTHING, 0
        low, median, high = np.quantile(known, (0.25, 0.5, 0.75)).tolist()
        return (low, median, high), len(known)

    def true_value(self, run: RunData, point: int) -> float | None:
        """Median over the data sets."""
        first = run.first_seed(point)
        spectra = [run.truth(point, seed) for seed in range(first, first + run.experiment.seeds)]
        if self.of_truth is None or not all(spectra):
            return None
        return float(np.median([self.of_truth(np.array(spectrum)) for spectrum in spectra]))


def quantity_of(name: str) -> Quantity:
    """By the name that a definition uses."""
    return _QUANTITIES[name]


def _last(name: str) -> Callable[[RunData, TrialResult], float | None]:
    """Of gradient descent's last log point; of the minimum nuclear norm, what its result tells."""

    def value(run: RunData, trial: TrialResult) -> float | None:
        if trial.method == "gd":
            return run.last_rows.get((trial.point, trial.seed), {}).get(name)
        found: float | None = getattr(trial, name)
        return found

    return value


def _law(name: str) -> Callable[[RunData, TrialResult], float | None]:
    def value(_: RunData, trial: TrialResult) -> float | None:
        estimate = laws.QUANTITIES[name](trial.laws) if trial.laws is not None else None
        return None if estimate is None else estimate.value

    return value


def _over_descent(run: RunData, trial: TrialResult) -> float | None:
    """None unless gradient descent fit the same data set."""
    descents = [each for each in run.trials if (each.method, each.point, each.seed) == ("gd", trial.point, trial.seed)]
    loss = next((each.generalization_loss for each in descents if fits(run.experiment, each)), None)
    return trial.generalization_loss / loss if loss and trial.generalization_loss is not None else None


def _acceptance(_: RunData, trial: TrialResult) -> float | None:
    return trial.guesses.log10_acceptance.value if trial.guesses else None


def _mean_squared_error(run: RunData, trial: TrialResult) -> float | None:
    distance = _last("distance_to_truth")(run, trial)
    problem = run.experiment.points[trial.point].problem
    return None if distance is None else distance**2 / (problem.rows * problem.columns)


_LAWS = {
    "excess_kurtosis": "excess kurtosis of an entry of W",
    "kolmogorov": "Kolmogorov distance from the normal",
    "row_dependence": "correlation of squares within a row",
    "column_dependence": "correlation of squares within a column",
    "log_ratio": "mean of log(σ₂/σ₁)",
    "far_from_rank_one": "P(σ₂/σ₁ > ½)",
}
_QUANTITIES = {
    "generalization_loss": Quantity("generalization loss L_gen", lambda _, trial: trial.generalization_loss, "log"),
    "gnc_over_gd": Quantity("L_gen, G&C over GD", _over_descent, "log", only=("gnc",)),
    "training_loss": Quantity("training loss L_train", lambda _, trial: trial.training_loss, "log"),
    "held_out_rmse": Quantity("held-out RMSE (units of the ratings)", lambda _, trial: trial.held_out_rmse),
    "log10_acceptance": Quantity("log10 P(L_train < ε_train)", _acceptance, only=("gnc",)),
    "steps": Quantity("steps of gradient descent", _last("steps"), "log", only=("gd",)),
    "mean_squared_error": Quantity("mean squared error of the entries", _mean_squared_error, "log", OF_ONE_MATRIX),
    "nuclear_norm": Quantity(
        "nuclear norm of W", _last("nuclear_norm"), only=OF_ONE_MATRIX, of_truth=lambda values: values.sum()
    ),
    "effective_rank": Quantity(
        "effective rank of W", _last("effective_rank"), only=OF_ONE_MATRIX, of_truth=effective_rank
    ),
    "distance_to_truth": Quantity("distance to truth", _last("distance_to_truth"), only=OF_ONE_MATRIX),
    **{
        name: Quantity(_LAWS[name], _law(name), "linear" if name == "log_ratio" else "log", ("prior",))
        for name in OF_LAWS
    },
    **{
        name: Quantity(name.replace("_", " "), _last(name), only=("gd",))
        for name in OF_LAST_ROW
        if name != "steps" and name not in OF_SOLUTION
    },
}
