"""Runs and presets as files for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.results import TrialResult, trial_of
from engine.runs.directory import RunDirectory
from engine.runs.files import write_atomically
from engine.spec.preset import Experiment, dump
from engine.spec.settings import METHODS

RESULTS = "results.csv"


def run_files(run: RunDirectory, folder: Path) -> tuple[Path, Path]:
    """Where `export_run` writes."""
    return folder / f"{run.name}.toml", folder / RESULTS


def export_run(run: RunDirectory, folder: Path) -> tuple[Path, Path]:
    """Write a run's preset, parents and overrides merged, and the results so far; replaces what is there.

    Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spec, results = run_files(run, folder)
    write_atomically(spec, dump(run.experiment).encode())
    write_atomically(results, results_csv(run.experiment, _trials(run)).encode())
    return spec, results


def _trials(run: RunDirectory) -> list[TrialResult]:
    """Those that are done; in format 1 a resumed run has made some of them again."""
    found: dict[object, TrialResult] = {}
    for event in run.reader().events():
        if event.get("event") == "trial":
            with suppress(KeyError, TypeError):  # a damaged line
                trial = trial_of(event)
                found[trial.point, trial.method, trial.seed] = trial
    return list(found.values())


def results_csv(experiment: Experiment, trials: Sequence[TrialResult]) -> str:
    """A line a trial, by sweep point, method and seed; empty where there is no number."""
    rows = [
        _row(experiment, trial)
        for trial in sorted(trials, key=lambda trial: (trial.point, METHODS.index(trial.method), trial.seed))
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


_COLUMNS = (
    "point", "over", "value", "method", "seed", "outcome", "generalization_loss", "training_loss", "held_out_rmse",
    "theory_error", "trajectory_error", "sampler", "draws", "hits", "effective_sample_size", "log10_acceptance",
    "log10_acceptance_low", "log10_acceptance_high", "generalization_loss_standard_error", "reliable", "message",
)  # fmt: skip


def _row(experiment: Experiment, trial: TrialResult) -> Mapping[str, Any]:
    row: dict[str, Any] = {
        **{name: value for name, value in trial.to_json().items() if name in _COLUMNS},
        "over": experiment.over or "",
        "value": experiment.values[trial.point],
    }
    if (guesses := trial.guesses) is not None:
        acceptance, loss = guesses.log10_acceptance, guesses.generalization_loss
        row |= {
            "sampler": guesses.sampler,
            "draws": guesses.draws,
            "hits": guesses.hits,
            "effective_sample_size": guesses.effective_sample_size,
            "log10_acceptance": acceptance.value,
            "log10_acceptance_low": acceptance.low,
            "log10_acceptance_high": acceptance.high,
            "generalization_loss_standard_error": loss.standard_error if loss else None,
            "reliable": guesses.reliable,
        }
    return row
