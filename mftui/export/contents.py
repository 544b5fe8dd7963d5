"""What a run's directory holds, as far as it can be read: finished or not, of any format, damaged or whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.analysis.laws import QUANTITIES
from engine.events import Recovered
from engine.results import HISTOGRAM_EDGES, QUANTILES, TrialResult, trial_of
from engine.runs import catalog
from engine.runs.catalog import FORMAT, State
from engine.runs.directory import RunDirectory
from engine.runs.files import from_json
from engine.spec.experiment import Experiment
from engine.spec.settings import METHODS

Environment = Mapping[str, Any]
SAME_NUMBERS = ("python", "torch", "numpy", "scipy", "device_name", "cpu_capability")
"""of an environment, what tells whether two attempts give the same bits"""

_TOO_LARGE = 2**63
"""for an integer of an array"""


class Contents:
    """Reads a run once; what is written later is not in it."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.experiment = without_folders(run.experiment)
        """the run's; where data files are swept over, the values are their names only"""
        self.state: State = catalog.state(run.path)
        self._reader = run.reader()
        self._damaged_events = 0
        self.events: Sequence[Mapping[str, Any]] = self._events()
        self.trials: Sequence[TrialResult] = self._trials()
        self.table = cache(self._table)

    def _events(self) -> list[dict[str, Any]]:
        """By time, without true matrices that are none."""
        found = []
        for event in self._reader.events():
            try:
                if event.get("event") == "truth":
                    _check_truth(event, len(self.experiment.points))
            except (KeyError, TypeError, ValueError, OverflowError):
                self._damaged_events += 1
            else:
                found.append(event)
        return found

    def _trials(self) -> list[TrialResult]:
        """By sweep point, method and seed; in format 1 a resumed run has made some of them again."""
        found: dict[tuple[int, int, int], TrialResult] = {}
        for event in self.events:
            if event.get("event") != "trial":
                continue
            try:
                trial = trial_of(dict(event))
                _check(trial, len(self.experiment.points))
            except (KeyError, TypeError, ValueError, AttributeError):
                self._damaged_events += 1
            else:
                found[trial.point, METHODS.index(trial.method), trial.seed] = trial
        return [found[key] for key in sorted(found)]

    def _table(self, name: str) -> NDArray[np.float64]:
        """The rows of one of the run's tables, columns as `run.tables` names them."""
        return self._reader.rows(name)

    @cached_property
    def environments(self) -> Sequence[Environment]:
        """Versions and device of each attempt that told them."""
        found = []
        for path in sorted(self.run.path.glob("environment-*.json")):
            with suppress(OSError, ValueError, RecursionError):
                if isinstance(content := from_json(path.read_bytes()), dict):
                    found.append(content)
        return found

    def samples(self) -> Iterator[tuple[str, Mapping[str, NDArray[np.generic]]]]:
        """The stored end-to-end matrices that passed, by point, method and seed ("0000-gnc-0"), with their weights."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        for path in sorted(self.run.path.glob("sample-*.safetensors")):
            name = path.stem.removeprefix("sample-")
            try:
                yield name, load(path.read_bytes())
            except (OSError, SafetensorError, ValueError, KeyError, TypeError):
                self._reader.damaged[path.name] = 0

    def truths(self) -> Iterator[tuple[str, Mapping[str, NDArray[np.float64]]]]:
        """W* and its singular values, by point and seed ("0000-0"); a large W* is not stored."""
        for event in self.events:
            if event.get("event") == "truth":
                arrays = {
                    key: np.array(event[key], dtype=np.float64)
                    for key in ("singular_values", "matrix")
                    if event.get(key) is not None
                }
                yield f"{event['point']:04d}-{event['seed']}", arrays

    def recovered(self) -> list[Recovered]:
        """Small ratings matrices as they were filled in, by sweep point, method and seed."""
        found = {}
        for event in self.events:
            if event.get("event") == "recovered":
                with suppress(KeyError, TypeError, ValueError):
                    point, seed, method = int(event["point"]), int(event["seed"]), event.get("method", "gd")
                    observed = [[None if value is None else float(value) for value in row] for row in event["observed"]]
                    matrix = [[float(value) for value in row] for row in event["recovered"]]
                    if [len(row) for row in matrix] == [len(row) for row in observed] and matrix:
                        key = point, METHODS.index(method), seed
                        found[key] = Recovered(point, seed, observed, matrix, method)
        return [found[key] for key in sorted(found) if key[0] < len(self.experiment.points)]

    def gaps(self) -> list[str]:
        """What is missing of the run, a sentence each; of the tables, as far as they have been read."""
        experiment, found = self.experiment, []
        wanted = len(experiment.points) * len(experiment.methods) * experiment.seeds
        if len(self.trials) < wanted or self.state != "finished":
            found.append(f"the run is {self.state}: {len(self.trials)} of {wanted} trials are done")
        if self._damaged_events:
            found.append(f"damaged events: {self._damaged_events} left out")
        for file, offset in sorted(self._reader.damaged.items()):
            found.append(f"{file} is damaged at byte {offset:,}: what can't be read is left out")
        if self.run.format != FORMAT and sum(event.get("event") == "started" for event in self.events) > 1:
            found.append(f"format {self.run.format}: trials that were begun anew have their rows twice in the tables")
        return found

    def departures(self) -> list[str]:
        """What the numbers depend on beside the preset, a sentence each."""
        found = []
        for event in self.events:
            with suppress(KeyError, TypeError, ValueError):
                if event["event"] == "learning_rate":
                    rate, step = float(event["value"]), int(event["step"])
                    found.append(
                        f"the learning rate was set to {rate:g} in flight, from step {step:,} on: "
                        "the preset alone gives other numbers"
                    )
        for key in SAME_NUMBERS:
            told = {str(environment[key]) for environment in self.environments if key in environment}
            if len(told) > 1:
                found.append(f"attempts differ in {key.replace('_', ' ')}: {', '.join(sorted(told))}")
        return list(dict.fromkeys(found))


def without_folders(experiment: Experiment) -> Experiment:
    """The same, where data files are swept over with their names only as values."""
    if experiment.over not in ("problem.path", "problem.test_path"):
        return experiment
    return replace(experiment, values=tuple(Path(str(value)).name for value in experiment.values))


def _check_truth(event: Mapping[str, Any], points: int) -> None:
    """Raises KeyError, TypeError or ValueError unless an event holds what is known of a W*."""
    if not 0 <= _whole(event["point"]) < points:
        raise ValueError
    _whole(event["seed"])
    _numbers(event["singular_values"])
    if (matrix := event.get("matrix")) is None:
        return
    size = sum(len(row) for row in matrix)
    for row in matrix:
        _numbers(row)
    if len({len(row) for row in matrix}) != 1 or any(_whole(entry) >= size for entry in event["observed"] or ()):
        raise ValueError


def _check(trial: TrialResult, points: int) -> None:
    """Raises TypeError or ValueError unless a trial holds what its type says: events carry no checksum."""
    if not 0 <= _whole(trial.point) < points:
        raise ValueError
    METHODS.index(trial.method)
    _whole(trial.seed)
    losses = (trial.generalization_loss, trial.training_loss, trial.held_out_rmse)
    errors = (trial.theory_error, trial.trajectory_error, trial.distance_to_truth)
    _numbers([each for each in (*losses, *errors, trial.nuclear_norm, trial.effective_rank) if each is not None])
    for count in filter(None, (trial.theory_judged, trial.theory_passed_over)):
        _whole(count)
    _texts(trial.outcome, trial.message)
    if trial.laws is not None:
        estimates = [of(trial.laws) for of in QUANTITIES.values()]
        _numbers([number for each in estimates if each is not None for number in (each.value, each.standard_error)])
    if (guesses := trial.guesses) is None:
        return
    loss = guesses.generalization_loss
    may_be_nan = (guesses.best_training_loss, *((loss.mean, loss.standard_error) if loss else ()))
    _numbers([each for each in may_be_nan if each is not None])  # NaN is stored as null
    _whole(guesses.draws)
    _whole(guesses.hits)
    acceptance = guesses.log10_acceptance
    value = 0.0 if acceptance.value is None else acceptance.value
    k = 0.0 if guesses.pareto_k is None else guesses.pareto_k
    _numbers((guesses.effective_sample_size, acceptance.low, acceptance.high, value, k))
    _texts(guesses.sampler, guesses.advice, guesses.choice)
    if not isinstance(guesses.reliable, bool):
        raise TypeError
    if loss is not None:
        _numbers((*loss.quantiles, *loss.histogram))
        if len(loss.quantiles) != len(QUANTILES) or len(loss.histogram) != len(HISTOGRAM_EDGES) - 1:
            raise ValueError


def _whole(value: object) -> int:
    """A number that counts or names something."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _TOO_LARGE:
        raise TypeError
    return value


def _numbers(values: Iterable[object]) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError
        if isinstance(value, int) and abs(value) >= _TOO_LARGE:
            raise TypeError


def _texts(*values: object) -> None:
    if not all(isinstance(value, str) for value in values):
        raise TypeError
