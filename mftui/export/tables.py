"""A run as tables of named columns: its results, a row a trial, and what was logged while it ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.analysis.laws import QUANTITIES
from engine.results import GuessRecord, TrialResult
from engine.spec.experiment import Experiment
from engine.spec.settings import METHODS
from mftui.export.contents import Contents

RESULTS = "results"
_WHOLE = ("point", "seed", "step", "draws", "hits", "stage", "done")
"""columns of the stored tables that count; they are stored as floats"""

Kind = Literal["int", "float", "bool", "str"]


@dataclass(frozen=True, eq=False)
class Column:
    """One column; None and NaN stand for what is not there."""

    kind: Kind
    values: Sequence[Any] | NDArray[np.generic]

    def cells(self) -> list[Any]:
        """As Python's own numbers and texts; None for what is not there."""
        values = self.values.tolist() if isinstance(self.values, np.ndarray) else self.values
        return [None if value is None or value != value else value for value in values]

    def array(self) -> NDArray[np.generic]:
        """As int64, float64 or text, which need no pickle; what is not there is NaN or an empty text."""
        if isinstance(self.values, np.ndarray):
            return self.values
        if self.kind == "str":
            return np.array(["" if value is None else str(value) for value in self.values], dtype=np.str_)
        if self.kind == "int" and None not in self.values:
            return np.array(self.values, dtype=np.int64)
        return np.array([np.nan if value is None else float(value) for value in self.values], dtype=np.float64)


Table = Mapping[str, Column]


def names(contents: Contents) -> list[str]:
    """The tables there are: the results, then those of the run."""
    return [RESULTS, *(name for name in contents.run.tables if name != RESULTS)]


def table(contents: Contents, name: str) -> Table:
    """One of `names`."""
    if name == RESULTS:
        return results(contents.experiment, contents.trials)
    rows = contents.table(name)
    return {column: _stored(column, rows[:, index]) for index, column in enumerate(contents.run.tables[name])}


def _stored(name: str, values: NDArray[np.float64]) -> Column:
    if name == "method":
        labels = [METHODS[int(value)] if value in range(len(METHODS)) else f"{value:g}" for value in values.tolist()]
        return Column("str", np.array(labels, dtype=np.str_))
    if name in _WHOLE and np.isfinite(values).all():
        return Column("int", values.astype(np.int64))
    return Column("float", values)


def results(experiment: Experiment, trials: Sequence[TrialResult]) -> Table:
    """A row a trial, in the order they come."""
    found = {name: Column(kind, [of(trial) for trial in trials]) for name, (kind, of) in _OF_TRIAL.items()}
    values = [experiment.values[trial.point] for trial in trials]
    kind = _kind(experiment.values)
    texts = [str(value).lower() if isinstance(value, bool) else str(value) for value in values]
    known = {
        "point": found.pop("point"),
        "over": Column("str", [experiment.over] * len(trials)),
        "value": Column(kind, texts if kind == "str" and experiment.over else values),
    }
    guesses = {name: Column(kind, [_of(trial, of) for trial in trials]) for name, (kind, of) in _OF_GUESSES.items()}
    message = found.pop("message")
    return {**known, **found, **guesses, **_laws(trials), "message": message}


def _laws(trials: Sequence[TrialResult]) -> Table:
    """What the prior's weights show of the theorems' reasons, each with its standard error; where it was measured."""
    if not any(trial.laws for trial in trials):
        return {}
    found = {}
    for name, of in QUANTITIES.items():
        estimates = [trial.laws and of(trial.laws) for trial in trials]
        found[name] = Column("float", [each and each.value for each in estimates])
        found[f"{name}_standard_error"] = Column("float", [each and each.standard_error for each in estimates])
    return found


def _kind(values: Sequence[Any]) -> Kind:
    """Of a sweep's values, what they all are."""
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return "int"
    return "float" if all(type(value) in (int, float) for value in values) else "str"


def _of(trial: TrialResult, of: Callable[[GuessRecord], Any]) -> Any:
    return None if trial.guesses is None else of(trial.guesses)


_OF_TRIAL: Mapping[str, tuple[Kind, Callable[[TrialResult], Any]]] = {
    "point": ("int", lambda trial: trial.point),
    "method": ("str", lambda trial: trial.method),
    "seed": ("int", lambda trial: trial.seed),
    "outcome": ("str", lambda trial: trial.outcome),
    "generalization_loss": ("float", lambda trial: trial.generalization_loss),
    "training_loss": ("float", lambda trial: trial.training_loss),
    "held_out_rmse": ("float", lambda trial: trial.held_out_rmse),
    "theory_error": ("float", lambda trial: trial.theory_error),
    "theory_judged": ("int", lambda trial: trial.theory_judged),
    "theory_passed_over": ("int", lambda trial: trial.theory_passed_over),
    "trajectory_error": ("float", lambda trial: trial.trajectory_error),
    "nuclear_norm": ("float", lambda trial: trial.nuclear_norm),
    "effective_rank": ("float", lambda trial: trial.effective_rank),
    "distance_to_truth": ("float", lambda trial: trial.distance_to_truth),
    "message": ("str", lambda trial: trial.message),
}
_OF_GUESSES: Mapping[str, tuple[Kind, Callable[[GuessRecord], Any]]] = {
    "sampler": ("str", lambda guesses: guesses.sampler),
    "draws": ("int", lambda guesses: guesses.draws),
    "hits": ("int", lambda guesses: guesses.hits),
    "effective_sample_size": ("float", lambda guesses: guesses.effective_sample_size),
    "pareto_k": ("float", lambda guesses: guesses.pareto_k),
    "best_training_loss": ("float", lambda guesses: guesses.best_training_loss),
    "log10_acceptance": ("float", lambda guesses: guesses.log10_acceptance.value),
    "log10_acceptance_low": ("float", lambda guesses: guesses.log10_acceptance.low),
    "log10_acceptance_high": ("float", lambda guesses: guesses.log10_acceptance.high),
    "generalization_loss_standard_error": (
        "float",
        lambda guesses: guesses.generalization_loss and guesses.generalization_loss.standard_error,
    ),
    "reliable": ("bool", lambda guesses: guesses.reliable),
}
