"""How numbers are written, and the results table: the same in the terminal, the screens and the docs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from engine.preset import Experiment
from engine.results import Interval, PointSummary, TrialResult, summarize
from engine.settings import METHOD_LABELS

NOTHING = "–"
"""where there is no number to show"""


def format_loss(value: float | None) -> str:
    """Three significant digits: 0.226, 3.4e-08."""
    if value is None:
        return NOTHING
    return f"{value:.3g}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.1e}"


def format_quartiles(quartiles: tuple[float, float, float] | None) -> tuple[str, str]:
    """Median, and "25 % – 75 %"."""
    if quartiles is None:
        return NOTHING, NOTHING
    low, median, high = quartiles
    return format_loss(median), f"{format_loss(low)} – {format_loss(high)}"


def format_acceptance(acceptance: Interval | None) -> str:
    """A probability with its 95 % interval, as powers of ten: 10^-4.21 [-4.25, -4.18]; "< 10^-5.9" without a hit."""
    if acceptance is None:
        return NOTHING
    if acceptance.value is None:
        return f"< 10^{acceptance.high:.1f}"
    return f"10^{acceptance.value:.2f} [{acceptance.low:.2f}, {acceptance.high:.2f}]"


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
    """Per sweep point and method: quartiles of the generalization loss over data sets, training loss, acceptance."""
    table = Table(title=experiment.title, title_style="bold", title_justify="left")
    table.add_column(experiment.over.split(".")[-1] if experiment.over else "")
    table.add_column("method")
    table.add_column("L_gen\nmedian", justify="right")
    table.add_column("L_gen\n25 % – 75 %", justify="right")
    table.add_column("L_train\nmedian", justify="right")
    guessing = "gnc" in experiment.methods
    if guessing:
        table.add_column("P(L_train < ε)\nmedian data set, 95 %", justify="right")
    table.add_column("data\nsets", justify="right")
    rows = summarize(experiment, trials)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        median, spread = format_quartiles(row.generalization_loss)
        table.add_row(
            str(experiment.values[row.point]) if experiment.over else "",
            METHOD_LABELS[row.method],
            median,
            spread,
            format_loss(row.training_loss),
            *([format_acceptance(row.acceptance)] if guessing else []),
            f"{row.trials}",
            end_section=following is None or following.point != row.point,
        )
    return table


def remarks(summaries: Sequence[PointSummary]) -> list[Text]:
    """What went wrong, a line each, led by where."""
    return [
        Text.assemble((f"{row.label}, {METHOD_LABELS[row.method]}: ", "bold"), remark)
        for row in summaries
        for remark in row.remarks
    ]
