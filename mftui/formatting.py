"""How numbers are written, and the results table: the same in the terminal, the screens and the docs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from engine.analysis.verdict import Verdict
from engine.events import Recovered
from engine.results import Interval, PointSummary, TrialResult, summarize
from engine.spec.experiment import Experiment
from engine.spec.settings import METHOD_LABELS

NOTHING = "–"
"""where there is no number to show"""


def format_loss(value: float | None) -> str:
    """Three significant digits: 0.226, 3.4e-08."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:.3g}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.1e}"


def format_quartiles(quartiles: tuple[float, float, float] | None) -> tuple[str, str]:
    """Median, and the range from the lower to the upper quartile."""
    if quartiles is None:
        return NOTHING, NOTHING
    low, median, high = quartiles
    return format_loss(median), f"{format_loss(low)}–{format_loss(high)}"


def format_acceptance(acceptance: Interval | None) -> str:
    """log10 of a probability with its 95 % interval: -4.21 [-4.25, -4.18]; "< -5.9" without a hit."""
    if acceptance is None:
        return NOTHING
    if acceptance.value is None:
        return f"< {acceptance.high:.1f}"
    return f"{acceptance.value:.2f} [{acceptance.low:.2f}, {acceptance.high:.2f}]"


def format_count(value: float) -> str:
    """1.2 k, 3.4 M, 5.6 G."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.0f}"


def format_duration(seconds: float) -> str:
    """0:07, 12:34, 3:02:01."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def results_table(experiment: Experiment, trials: Sequence[TrialResult]) -> Table:
    """Per sweep point and method: quartiles of the generalization loss over data sets, training loss, acceptance.

    At most 80 cells wide for numbers of ordinary length.
    """
    guessing = "gnc" in experiment.methods
    table = Table(
        title=escape(experiment.title),
        title_style="bold",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    if experiment.over:
        table.add_column(experiment.over.split(".")[-1].replace("_", "\n"))
    table.add_column("method")
    table.add_column("L_gen\nmedian", justify="right")
    table.add_column("L_gen\n25 % – 75 %", justify="right")
    table.add_column("L_train\nmedian", justify="right")
    if guessing:
        table.add_column("log10 P(L_train < ε)\nmedian data set, 95 %", justify="right")
    table.add_column("data\nsets", justify="right")
    rows = summarize(experiment, trials)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        median, spread = format_quartiles(row.generalization_loss)
        table.add_row(
            *([str(experiment.values[row.point])] if experiment.over else []),
            METHOD_LABELS[row.method],
            median,
            spread,
            format_loss(row.training_loss),
            *([format_acceptance(row.acceptance)] if guessing else []),
            f"{row.trials}",
            end_section=following is None or following.point != row.point,
        )
    return table


def observed_table(observed: Sequence[Sequence[float | None]]) -> Table:
    """A ratings matrix as it is known: "?" where there is no training rating."""
    return _matrix_table("training ratings", [[(value, False) for value in row] for row in observed])


def recovered_table(recovered: Recovered, label: str) -> Table:
    """The same matrix as a method fills it in, what was "?" in bold."""
    return _matrix_table(
        f"recovered by {METHOD_LABELS[recovered.method]}, {label}",
        [
            [(value, seen is None) for value, seen in zip(*rows, strict=True)]
            for rows in zip(recovered.recovered, recovered.observed, strict=True)
        ],
    )


def _matrix_table(title: str, rows: Sequence[Sequence[tuple[float | None, bool]]]) -> Table:
    """Values to two decimals, each with whether it is to stand out."""
    table = Table(title=title, title_style="bold", title_justify="left", show_header=False)
    for _ in rows[0]:
        table.add_column(justify="right")
    for row in rows:
        texts = ("?" if value is None else f"{value:.2f}" for value, _ in row)
        table.add_row(*(Text(text, style="bold" if bold else "") for text, (_, bold) in zip(texts, row, strict=True)))
    return table


def notes(summaries: Sequence[PointSummary]) -> list[Text]:
    """Further results, a line each, led by where."""
    return [
        Text.assemble((f"{row.label}, {METHOD_LABELS[row.method]}: ", "bold"), note)
        for row in summaries
        for note in row.notes
    ]


def verdict_lines(verdicts: Sequence[Verdict]) -> list[Text]:
    """What was measured of the paper's statements, a line each."""
    return [Text.assemble((f"{verdict.name}: ", "bold"), verdict.text) for verdict in verdicts]


def remarks(summaries: Sequence[PointSummary]) -> list[Text]:
    """What went wrong, a line each, led by where."""
    return [
        Text.assemble((f"{row.label}, {METHOD_LABELS[row.method]}: ", "bold"), remark)
        for row in summaries
        for remark in row.remarks
    ]
