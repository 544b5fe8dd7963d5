"""The figure in numbers: a row for each sweep point and method, and the chosen point in full."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from rich.style import Style
from rich.table import Table
from rich.text import Text

from engine.analysis.theorems import Measured
from engine.results import Interval, PointSummary
from engine.spec.settings import METHOD_LABELS, Method
from mftui.canvas.numbers import write_value
from mftui.formatting import NOTHING, format_acceptance, format_loss, format_quartiles
from mftui.views.roles import color
from mftui.views.sweep_view import SweepView

HEADING_LINES = 1
MOST_SEEDS_LISTED = 8
CSV_COLUMNS = (
    "method",
    "trials_done",
    "trials",
    "with_a_loss",
    "generalization_loss_median",
    "generalization_loss_25",
    "generalization_loss_75",
    "training_loss_median",
    "log10_acceptance",
    "log10_acceptance_low",
    "log10_acceptance_high",
    "remarks",
)


def table_line(view: SweepView, point: int) -> int:
    """The line of the table, counted from 0, at which a sweep point begins."""
    return HEADING_LINES + point * len(view.experiment.methods)


def results_table(view: SweepView, selected: int, dark: bool) -> Table:
    """One line each; the selected point's are marked."""
    guessing = "gnc" in view.experiment.methods
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim", expand=True)
    table.add_column(" ", no_wrap=True)
    table.add_column(view.swept, no_wrap=True, min_width=5, overflow="ellipsis")
    table.add_column("method", no_wrap=True)
    for name in ("L_gen", "25–75 %", "trials", "L_train", *(["log10 P"] if guessing else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for point in range(len(view.experiment.points)):
        for place, method in enumerate(view.experiment.methods):
            chosen = point == selected and view.is_sweep
            table.add_row(
                Text("▸" if chosen and not place else "", style="bold"),
                Text("" if place else view.name(point) if view.is_sweep else view.experiment.name, style="bold"),
                Text(METHOD_LABELS[method], style=Style(color=color(method, dark))),
                *_numbers(view, point, method, dark, guessing),
                style="bold" if chosen else "",
            )
    return table


def _numbers(view: SweepView, point: int, method: Method, dark: bool, guessing: bool) -> Iterable[Text]:
    summary = view.summaries.get((point, method))
    done, of = view.done[point, method], view.experiment.seeds
    median, spread = format_quartiles(summary.generalization_loss if summary else None)
    yield Text(median)
    yield Text(spread)
    yield Text.assemble(
        ("! " if view.worrying(point, method) else "", Style(color=color("bad", dark), bold=True)),
        (f"{done}/{of}", "" if done == of else "dim"),
    )
    yield Text(format_loss(summary.training_loss if summary else None))
    if guessing:
        yield Text(_brief(summary.acceptance) if summary and summary.acceptance else "")


def _brief(acceptance: Interval) -> str:
    """Without its interval, but for a bound."""
    return format_acceptance(acceptance) if acceptance.value is None else f"{acceptance.value:.2f}"


def readout(view: SweepView, selected: int, dark: bool, measured: Measured | None, roomy: bool) -> Text:
    """Every series' exact values at a sweep point, what the theorem measures there, and what went wrong."""
    lines, warnings = [], []
    for method in view.experiment.methods:
        name = METHOD_LABELS[method]
        heading = (f"{name:<12}", Style(color=color(method, dark), bold=True))
        summary = view.summaries.get((selected, method))
        if summary is None:
            lines.append(Text.assemble(heading, ("not done yet", "dim")))
            continue
        lines.append(Text.assemble(heading, _exact(summary)))
        trials = view.trials(selected, method)
        if roomy and 1 < len(trials) <= MOST_SEEDS_LISTED:
            losses = " ".join(format_loss(trial.generalization_loss) for trial in trials)
            lines.append(Text(f" {losses}", style="dim"))
        bad = Style(color=color("bad", dark))
        warnings += [Text(f"! {name}: {remark}", bad) for remark in summary.remarks]
        warnings += [Text(f"{name}: {note}") for note in summary.notes]
    if measured is not None:
        lines.append(_of_theorem(measured, selected))
    return Text("\n").join([*lines, *warnings])


def _exact(summary: PointSummary) -> str:
    quartiles = summary.generalization_loss
    low, median, high = map(write_value, quartiles) if quartiles else (NOTHING,) * 3
    text = f"{median:<9} {f'[{low}, {high}]':<22} train {format_loss(summary.training_loss)}"
    if summary.acceptance is not None:
        text += f"\n{'':12}log10 P(fit) {format_acceptance(summary.acceptance)}"
    return text


def _of_theorem(measured: Measured, selected: int) -> Text:
    means = measured.means
    name = "P(·|fit) − P(·)" if measured.theorem == "width" else "1 − P(·|fit)"
    if not means.count[selected]:
        return Text(f"{name}: not done yet", style="dim")
    error = means.standard_error[selected]
    spread = f" ± {error:.2g}" if error == error else ""
    return Text(f"{name} = {means.mean[selected]:.4g}{spread} (standard error, {means.count[selected]} data sets)")


def as_csv(view: SweepView) -> str:
    """The table in full precision; empty where there is no number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([view.experiment.over or "preset", *CSV_COLUMNS])
    for point, value in enumerate(view.experiment.values):
        for method in view.experiment.methods:
            summary = view.summaries.get((point, method))
            low, median, high = (summary and summary.generalization_loss) or ("", "", "")
            acceptance = (summary and summary.acceptance) or Interval(None, float("nan"), float("nan"))
            known = bool(summary and summary.acceptance)
            writer.writerow(
                [
                    value if view.is_sweep else view.experiment.name,
                    method,
                    view.done[point, method],
                    view.experiment.seeds,
                    summary.trials if summary else 0,
                    median,
                    low,
                    high,
                    _or_nothing(summary.training_loss if summary else None),
                    _or_nothing(acceptance.value),
                    acceptance.low if known else "",
                    acceptance.high if known else "",
                    " ".join((*summary.remarks, *summary.notes)) if summary else "",
                ]
            )
    return text.getvalue()


def _or_nothing(value: float | None) -> float | str:
    return "" if value is None else value
