"""The progress display of `mftui run`, on stderr: live on a terminal, else a line per finished trial."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from engine.spec.settings import METHOD_LABELS, Method
from mftui.formatting import format_count, format_duration, format_loss
from mftui.live import LiveRun

BAR_CELLS = 20
COLUMNS = 8


class ProgressDisplay:
    """Shows a `LiveRun`; `update` after each poll."""

    def __init__(self, live: LiveRun, *, quiet: bool) -> None:
        self._live = live
        self._quiet = quiet
        self._console = Console(stderr=True)
        self._display: Live | None = None
        self._reported = 0

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal:
            self._display = Live(console=self._console, auto_refresh=False, transient=True)
            self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display is not None:
            self._display.stop()

    def update(self) -> None:
        if self._quiet:
            return
        if self._display is not None:
            self._display.update(_table(self._live), refresh=True)
            return
        for trial in self._live.results[self._reported :]:
            what = f"{self._live.experiment.label(trial.point)}, {METHOD_LABELS[trial.method]}, seed {trial.seed}"
            loss = trial.generalization_loss
            told = trial.message if loss is None else f"L_gen {format_loss(loss)}"
            self._console.print(f"{what}: {told}", highlight=False, soft_wrap=True)
        self._reported = len(self._live.results)


def _table(live: LiveRun) -> Table:
    """A line per method: sweep point, bar, done, rate, time left at this sweep point, losses or hits."""
    table = Table.grid(padding=(0, 2))
    for _ in range(COLUMNS):
        table.add_column(no_wrap=True)  # a wrapped line would be left behind when the display is erased
    if not live.progress:
        table.add_row(Text("starting the engine …" if live.state == "starting" else live.state, style="dim"))
    for method in live.experiment.methods:
        progress = live.progress.get(method)
        if progress is None:
            continue
        fraction = progress.fraction
        filled = round(fraction * BAR_CELLS)
        unit = "steps" if method == "gd" else "draws"
        rate = f"{format_count(progress.rate)} {unit}/s" if progress.rate else ""
        left = f"ETA {format_duration(_seconds_left(live, method))}" if progress.rate else ""
        table.add_row(
            Text(METHOD_LABELS[method], style="bold"),
            live.experiment.label(progress.point),
            f"seed {progress.seed}" if method != "gd" else f"{live.experiment.seeds} seeds",
            Text.assemble(("━" * filled, "green"), ("─" * (BAR_CELLS - filled), "dim")),
            format_count(progress.done),
            rate,
            left,
            _what_it_sees(live, method),
        )
    table.add_row(Text(f"{len(live.results)} trials finished · {live.state}", style="dim"))
    return table


def _seconds_left(live: LiveRun, method: Method) -> float:
    """At the present rate, until this method is done with the present sweep point."""
    progress = live.progress[method]
    first = live.experiment.points[progress.point].problem.seed
    later_trials = 0 if method == "gd" else first + live.experiment.seeds - 1 - progress.seed
    return (progress.total - progress.done + later_trials * progress.total) / progress.rate


def _what_it_sees(live: LiveRun, method: Method) -> str:
    progress = live.progress[method]
    if method == "gd":
        curve = live.curves.get((progress.point, progress.seed))
        if curve is None:
            return ""
        return (
            f"training {format_loss(curve.training_loss[-1])}, "
            f"generalization {format_loss(curve.generalization_loss[-1])}"
        )
    guesses = live.guesses.get((progress.point, method, progress.seed))
    if guesses is None or method == "prior":
        return ""
    return f"{format_count(guesses.hits)} hits, best training loss {format_loss(guesses.best_training_loss)}"
