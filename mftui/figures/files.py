"""A figure as files: its numbers as CSV and JSON, drawings where matplotlib is there, a gallery of several."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from engine.analysis.verdicts import Verdict, verdicts
from engine.results import summarize
from engine.runs.files import SHARED, to_json, write_atomically
from engine.spec.experiment import Experiment
from engine.spec.preset import dump
from engine.spec.settings import METHOD_LABELS
from mftui.export.tables import results as results_of
from mftui.figures import drawing
from mftui.figures.chart import Chart
from mftui.figures.collect import Needed
from mftui.figures.data import RunData
from mftui.figures.definition import Definition, PanelRun
from mftui.formatting import format_acceptance, format_loss, format_quartiles

DRAWN = ("png", "svg", "pdf")
_VERSIONS = ("mftui", "python", "torch", "numpy", "scipy", "device_name")
GALLERY = "gallery.md"


@dataclass(frozen=True, eq=False)
class Statement:
    """A verdict, and what it is on."""

    about: str
    """preset and overrides of the run"""
    run: str
    verdict: Verdict


@dataclass(frozen=True, eq=False)
class Made:
    """A figure with all it shows."""

    figure: Definition
    parts: Sequence[tuple[Needed, RunData]]
    charts: Sequence[Chart]
    label: str = ""
    """what is to be said of all its numbers, such as that they are quick ones"""

    @property
    def title(self) -> str:
        return f"{self.figure.title} ({self.label})" if self.label else self.figure.title

    @cached_property
    def runs(self) -> Sequence[tuple[str, RunData]]:
        """With preset and overrides, each once, however many panels show it or a part of it."""
        found: list[tuple[str, RunData]] = []
        shown: set[tuple[Any, ...]] = set()
        for needed, data in self.parts:
            trials = set(map(data.origin, data.trials))
            if not trials or not trials <= shown:
                found.append((_called(needed.run), data))
            shown |= trials
        return found

    @cached_property
    def statements(self) -> Sequence[Statement]:
        """What its runs say of the theorems."""
        return [
            Statement(about, data.run.name, verdict)
            for about, data in self.runs
            for verdict in verdicts(data.experiment, data.trials)
        ]

    def titled(self, about: str, experiment: Experiment) -> Experiment:
        """An experiment with its table's title: where there are several runs, with preset and overrides."""
        return replace(experiment, title=f"{experiment.title} ({about})") if len(self.runs) > 1 else experiment


def _called(run: PanelRun) -> str:
    """Preset and overrides: width-linear, seeds=2."""
    return ", ".join([run.preset.rsplit("/", 1)[-1].removesuffix(".toml"), *run.overrides])


def write(made: Made, folder: Path) -> list[Path]:
    """Write all files of a figure; replaces what is there. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    name = made.figure.name
    texts = {
        f"{name}.csv": series_csv(made),
        f"{name}-trials.csv": trials_csv(made),
        f"{name}.json": to_json(document(made), indent=2) + "\n",
    }
    for file, text in texts.items():
        write_atomically(folder / file, text.encode(errors="backslashreplace"), SHARED)
    paths = [folder / file for file in texts]
    if drawing.available():
        picture = drawing.draw(made.charts, made.title)
        for kind in DRAWN:
            path = folder / f"{name}.{kind}"
            drawing.save(picture, path, metadata(made))
            paths.append(path)
    return paths


def versions(made: Made) -> dict[str, str]:
    """What the runs were computed with; several where they differ."""
    found: dict[str, list[str]] = {}
    for _, run in made.parts:
        for environment in run.environments:
            for key in _VERSIONS:
                if key in environment:
                    found.setdefault(key, []).append(str(environment[key]))
    told = {key: ", ".join(dict.fromkeys(values)) for key, values in found.items()}
    if drawing.available():
        told["matplotlib"] = version("matplotlib")
    return told


def metadata(made: Made) -> dict[str, str]:
    """Settings and versions for the drawings themselves."""
    commands = [
        shlex.join(["mftui", "run", needed.run.preset, *(f"--set={each}" for each in needed.overrides)])
        for needed, _ in made.parts
    ]
    seeds = sorted({run.experiment.seeds for _, run in made.parts})
    told = {
        "Title": made.title,
        "Source": made.figure.source,
        "Settings": "\n".join(dict.fromkeys(dump(needed.experiment) for needed, _ in made.parts)),
        "Runs": "; ".join(dict.fromkeys(commands)),
        "Data sets": ", ".join(map(str, seeds)),
        "Versions": ", ".join(f"{key} {value}" for key, value in versions(made).items()),
    }
    return {key: value for key, value in told.items() if value}


def document(made: Made) -> dict[str, Any]:
    """Everything, for other programs: settings, versions, seeds, series and trials."""
    return {
        "figure": made.figure.name,
        "title": made.title,
        "source": made.figure.source,
        "about": made.figure.about,
        "label": made.label,
        "versions": versions(made),
        "verdicts": [{"about": each.about, "run": each.run, **asdict(each.verdict)} for each in made.statements],
        "charts": [_chart(chart) for chart in made.charts],
        "runs": [_run(needed, run) for needed, run in made.parts],
    }


def _chart(chart: Chart) -> dict[str, Any]:
    about: dict[str, Any] = {
        "kind": chart.kind,
        "title": chart.title,
        "x_label": chart.x_label,
        "y_label": chart.y_label,
        "x_scale": chart.x_scale,
        "y_scale": chart.y_scale,
        "x_ticks": [list(tick) for tick in chart.x_ticks],
        "bars": chart.bars,
        "notes": list(chart.notes),
        "series": [
            {"name": one.name, "role": one.role, "stroke": one.stroke}
            | {key: None if (part := getattr(one, key)) is None else part.tolist() for key in _PARTS}
            for one in chart.series
        ],
    }
    if (heat := chart.heat) is not None:
        about["heat"] = {
            "label": heat.label,
            "columns": list(heat.columns),
            "rows": list(heat.rows),
            "values": heat.values.tolist(),
        }
    return about


_PARTS = ("x", "y", "low", "high", "count")


def _run(needed: Needed, run: RunData) -> dict[str, Any]:
    experiment = run.experiment
    return {
        "run": run.run.name,
        "preset": needed.run.preset,
        "overrides": list(needed.overrides),
        "settings": dump(needed.experiment),
        "methods": list(experiment.methods),
        "over": experiment.over,
        "values": list(experiment.values),
        "seeds": [
            [run.first_seed(point) + index for index in range(experiment.seeds)]
            for point in range(len(experiment.points))
        ],
        "environments": [dict(environment) for environment in run.environments],
        "summary": [
            {
                "point": row.label,
                "method": row.method,
                "quartiles": row.generalization_loss,
                "training_loss": row.training_loss,
                "data_sets": row.trials,
            }
            for row in summarize(experiment, run.trials)
        ],
        "trials": [trial.to_json() for trial in run.trials],
    }


def series_csv(made: Made) -> str:
    """A line a point of a series, or a cell of a heatmap; empty where there is no number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["chart", "kind", "series", "x_label", "x", "y_label", "y", "low", "high", "data_sets"])
    for chart in made.charts:
        for one in chart.series:
            nothing = [None] * len(one.x)
            columns = [nothing if part is None else part.tolist() for part in (one.low, one.high, one.count)]
            for x, y, *rest in zip(one.x.tolist(), one.y.tolist(), *columns, strict=True):
                numbers = [_number(value) for value in (y, *rest)]
                writer.writerow([chart.title, chart.kind, one.name, chart.x_label, _number(x), chart.y_label, *numbers])
        if (heat := chart.heat) is not None:
            for row, values in zip(heat.rows, heat.values.tolist(), strict=True):
                for column, value in zip(heat.columns, values, strict=True):
                    named = f"{chart.y_label} {row}"
                    writer.writerow(
                        [chart.title, chart.kind, named, chart.x_label, column, heat.label, _number(value), "", "", ""]
                    )
    return text.getvalue()


def trials_csv(made: Made) -> str:
    """A line a trial of each run, once: panels may show different methods and data sets of a run.

    A column for each that any run has; empty where a run has none.
    """
    written: set[tuple[Any, ...]] = set()
    rows: list[dict[str, Any]] = []
    for _, run in made.runs:
        trials = {run.origin(each): each for each in run.trials}
        columns = results_of(run.experiment, [each for key, each in trials.items() if key not in written])
        written |= trials.keys()
        lines = zip(*(column.cells() for column in columns.values()), strict=True)
        rows += [{"run": run.run.name, **dict(zip(columns, cells, strict=True))} for cells in lines]
    text = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, list(names), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _number(value: float | None) -> float | str:
    return "" if value is None or not np.isfinite(value) else value


def gallery(all_made: Sequence[Made], failures: Mapping[str, str]) -> str:
    """All figures on one Markdown page, drawings by reference; verdicts that lack data sets are left out."""
    blocks = ["# Gallery", "Made by `mftui figure all`. Bars go from quartile to quartile over the data sets."]
    for made in all_made:
        figure = made.figure
        blocks.append(f"## {figure.title}")
        blocks.append(f"`mftui figure {figure.name}`" + (f" · {figure.source}" if figure.source else ""))
        if made.label:
            blocks.append(f"*{made.label}*")
        if figure.about:
            blocks.append(figure.about)
        if drawing.available():
            blocks.append(f"![{figure.title}]({figure.name}.svg)")
        decided = [each for each in made.statements if each.verdict.estimate is not None]
        if decided:
            blocks.append("\n".join(_told(each) for each in decided))
        blocks.append("<details><summary>Values and notes</summary>")
        notes = dict.fromkeys(note for chart in made.charts for note in chart.notes)
        if notes:
            blocks.append("\n".join(f"- {note}" for note in notes))
        blocks += [_table(made.titled(about, run.experiment), run) for about, run in made.runs]
        blocks.append("</details>")
    if failures:
        blocks.append("## Not made")
        blocks.append("\n".join(f"- {name}: {why}" for name, why in failures.items()))
    return "\n\n".join(blocks) + "\n"


def _told(statement: Statement) -> str:
    """A verdict as an item of a Markdown list."""
    return f"- `{statement.about}`: {statement.verdict.name}: {statement.verdict.text}"


def _table(experiment: Experiment, run: RunData) -> str:
    """The results table as Markdown."""
    lines = [
        experiment.title,
        "",
        "| point | method | L_gen, median | 25 % – 75 % | L_train, median | log10 P(fit) | data sets |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for row in summarize(experiment, run.trials):
        median, quartiles = format_quartiles(row.generalization_loss)
        cells = (
            row.label, METHOD_LABELS[row.method], median, quartiles, format_loss(row.training_loss),
            format_acceptance(row.acceptance), str(row.trials),
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
