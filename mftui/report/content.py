"""What a report of a run says, whatever it is written in."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

from engine.analysis.verdicts import Verdict, verdicts
from engine.results import TrialResult, summarize
from engine.runs import catalog
from engine.runs.directory import with_own_files
from engine.spec.experiment import Experiment
from engine.spec.preset import dump, shipped
from engine.spec.settings import METHOD_LABELS, fields, meaning
from mftui.command import command_line
from mftui.draft import to_text
from mftui.export.contents import Contents
from mftui.export.formats import has_data_files
from mftui.formatting import (
    NOTHING,
    format_acceptance,
    format_count,
    format_loss,
    notes,
    observed_table,
    recovered_table,
    results_table,
)
from mftui.plain import paragraphs, printable
from mftui.report.figures import Figure, figures_of
from mftui.report.grid import Cell, Grid, Heading, grid_of
from mftui.report.history import computing_seconds
from mftui.report.reliability import Remark, judge

_ENVIRONMENT = (
    "mftui",
    "python",
    "torch",
    "numpy",
    "scipy",
    "system",
    "device",
    "device_name",
    "cpu_capability",
    "cores",
)
"""what is told of it: all but the name of the machine"""


@dataclass(frozen=True)
class Setting:
    """A setting that is not at its default."""

    key: str
    value: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Command:
    """A command line, and when it serves."""

    line: str
    when: str


@dataclass(frozen=True)
class Report:
    """Texts as they are: whoever writes them escapes them."""

    title: str
    facts: Sequence[tuple[str, str]]
    about: Sequence[str]
    """paragraphs"""
    settings: Sequence[Setting]
    spec: str
    """the complete preset"""
    figures: Sequence[Figure]
    results: Sequence[Grid]
    notes: Sequence[str]
    """further results"""
    verdicts: Sequence[Verdict]
    reliability: Sequence[Remark]
    data_sets: Grid
    environment: Sequence[tuple[str, str]]
    commands: Sequence[Command]
    data_files: Sequence[str]
    """names of files that the preset needs beside it"""
    made_with: str


def report(contents: Contents) -> Report:
    """Of a run as far as it has come."""
    run, experiment = contents.run, contents.experiment
    stem = printable(run.name)
    alone, copies = with_own_files(experiment, f"{stem}-")
    environment = contents.environments[-1] if contents.environments else {}
    summaries = summarize(experiment, contents.trials)
    return Report(
        title=experiment.title,
        facts=list(_facts(contents)),
        about=paragraphs(experiment.about),
        settings=list(_settings(experiment)),
        spec=dump(alone),
        figures=figures_of(run),
        results=list(_results(contents)),
        notes=[note.plain for note in notes(summaries)],
        verdicts=verdicts(experiment, contents.trials),
        reliability=judge(contents),
        data_sets=_data_sets(experiment, contents.trials),
        environment=[(key.replace("_", " "), str(environment[key])) for key in _ENVIRONMENT if key in environment],
        commands=list(_commands(contents, f"{stem}.toml", str(environment.get("device", "")))),
        data_files=list(copies),
        made_with=f"mftui {version('mftui')}",
    )


def _facts(contents: Contents) -> Iterator[tuple[str, str]]:
    run, experiment = contents.run, contents.experiment
    wanted = len(experiment.points) * len(experiment.methods) * experiment.seeds
    yield "run", run.name
    yield "preset", experiment.name
    if note := catalog.note(run.path):
        yield "note", note
    yield "methods", ", ".join(METHOD_LABELS[method] for method in experiment.methods)
    if experiment.over:
        yield "sweep", f"{experiment.over} = {to_text(experiment.values)}"
    first = experiment.points[0].problem.seed
    last = first + experiment.seeds - 1
    yield "data sets", f"{experiment.seeds} (seeds {first} to {last})" if last > first else f"1 (seed {first})"
    yield "state", f"{contents.state}, {len(contents.trials)} of {wanted} trials"
    starts = [event["time"] for event in contents.events if event.get("event") == "started" and "time" in event]
    if starts and isinstance(starts[0], int | float):
        yield "started", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(starts[0]))
    signs = contents.table("progress")[:, 0].tolist() if "progress" in run.tables else []
    if seconds := computing_seconds(contents.events, signs):
        workers = f", {run.workers} worker{'s' if run.workers > 1 else ''} at most" if run.workers else ""
        yield "computed for", f"{_in_words(seconds)}{workers}"


def _in_words(seconds: float) -> str:
    """31 s, 12 min 05 s, 3 h 02 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.2g} s" if seconds < 10 else f"{rest} s"


def _settings(experiment: Experiment) -> Iterator[Setting]:
    """Those that differ from the defaults, in the preset file's order; a value a sweep point where they vary."""
    for key, field in fields().items():
        section, name = key.split(".")
        values = [getattr(getattr(point, section), name) for point in experiment.points]
        if all(value == field.default for value in values):
            continue
        path = name in ("path", "test_path")
        shown = [_base(str(value)) if path else to_text(value) for value in values]
        shown = shown if len(set(shown)) > 1 else shown[:1]
        yield Setting(key, ", ".join(shown), to_text(field.default), meaning(key, *shown))


def _base(path: str) -> str:
    """A file without the folders it lies in, which are nobody else's."""
    return path.rsplit("/", 1)[-1]


def _results(contents: Contents) -> Iterator[Grid]:
    """The table that `mftui run` prints; small ratings as they were seen and as they came out."""
    if contents.trials:
        yield replace(grid_of(results_table(contents.experiment, contents.trials)), title="")
    recovered = contents.recovered()
    first = [matrix for matrix in recovered if matrix.seed == recovered[0].seed]
    for matrix in first[:1]:
        yield grid_of(observed_table(matrix.observed))
    for matrix in first:
        yield grid_of(recovered_table(matrix, contents.experiment.label(matrix.point)))


_COLUMNS: Mapping[str, bool] = {
    "method": False, "seed": True, "L_gen": True, "L_train": True, "outcome": False, "sampler": False, "draws": True,
    "hits": True, "ESS": True, "k̂": True, "log10 P(L_train < ε)\n95 %": True, "message": False,
}  # fmt: skip
"""of the table of data sets; whether they hold numbers"""


def _data_sets(experiment: Experiment, trials: Sequence[TrialResult]) -> Grid:
    """A row a trial, a group a sweep point."""
    names = [experiment.over.split(".")[-1].replace("_", " ")] if experiment.over else []
    groups: list[list[list[Cell]]] = []
    for point in range(len(experiment.points)):
        rows = [_trial(trial) for trial in trials if trial.point == point]
        lead = [Cell(to_text(experiment.values[point]))] if experiment.over else []
        groups.append([[*lead, *row] for row in rows])
    headings = [
        *(Heading((name,)) for name in names),
        *(Heading(tuple(name.split("\n")), right) for name, right in _COLUMNS.items()),
    ]
    kept = [
        column
        for column in range(len(headings))
        if any(row[column].text not in ("", NOTHING) for group in groups for row in group)
    ]
    return Grid(
        "",
        [headings[column] for column in kept],
        [[[row[column] for column in kept] for row in group] for group in groups if group],
    )


def _trial(trial: TrialResult) -> list[Cell]:
    guesses = trial.guesses
    wrong = trial.outcome != "finished"
    loss = format_loss(trial.generalization_loss)
    if guesses and guesses.generalization_loss and guesses.generalization_loss.standard_error is not None:
        loss += f" ± {format_loss(guesses.generalization_loss.standard_error)}"
    cells = [METHOD_LABELS[trial.method], str(trial.seed), loss, format_loss(trial.training_loss)]
    sampled = [NOTHING] * 6
    if guesses is not None:
        k = NOTHING if guesses.pareto_k is None else f"{guesses.pareto_k:.2f}"
        sampled = [guesses.sampler, format_count(guesses.draws), format_count(guesses.hits)]
        sampled += [format_count(guesses.effective_sample_size), k]
        sampled.append(format_acceptance(guesses.log10_acceptance) if trial.method == "gnc" else NOTHING)
    return [*map(Cell, cells), Cell(trial.outcome, strong=wrong), *map(Cell, [*sampled, trial.message])]


def _commands(contents: Contents, file: str, device: str) -> Iterator[Command]:
    """What gives the same numbers; by the preset's name where it comes with mftui."""
    run = contents.run
    words = command_line(run)
    on_device = [] if "--device" in words or not device else ["--device", device]
    by_name = run.experiment.name in shipped() and words[2] == run.experiment.name
    if by_name and not has_data_files(run.experiment):  # these are named by where they lie here
        yield Command(shlex.join([*words, *on_device]), "the preset comes with mftui")
    chosen = words[-2:] if "--device" in words else on_device
    yield Command(shlex.join(["mftui", "run", file, *chosen]), f"with the complete preset above, saved as {file}")
