"""The progress display of `mftui run` and `attach`, on stderr: live on a terminal, else a line per finished trial."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from engine.spec.settings import METHOD_LABELS, Method
from mftui.formatting import format_count, format_duration, format_loss
from mftui.live import LiveRun

BAR_CELLS = 20
ROOMY_CELLS = 100
"""on narrower terminals bars are half as long, or there would be no room for the rate"""


class TerminalLostError(Exception):
    """Nobody reads stderr any more: the terminal was closed, or the pipe."""


class _Stderr(Console):
    """Leaves a closed pipe to the caller; rich would end the process with status 1."""

    def on_broken_pipe(self) -> None:
        raise  # rich calls this while it handles the error


class ProgressDisplay:
    """Shows a `LiveRun`; `update` after each poll. Raises `TerminalLostError` when it can't any more."""

    def __init__(self, live: LiveRun, *, quiet: bool, hint: str = "") -> None:
        """`hint`: what to tell beside the progress on a terminal."""
        self._live = live
        self._quiet = quiet
        self._hint = hint
        self._console = _Stderr(stderr=True)
        self._display: Live | None = None
        self._reported = 0
        self._state = ""

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal:
            self._display = Live(
                console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            with _writing():
                self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display is not None:
            with suppress(OSError):
                self._display.stop()

    def update(self) -> None:
        if self._quiet:
            return
        with _writing():
            if self._display is not None:
                if not self._console.is_terminal:  # rich writes nothing then, so that nothing fails
                    raise TerminalLostError
                self._display.update(_picture(self._live, self._hint, self._console.width), refresh=True)
            else:
                self._report()

    def _report(self) -> None:
        """What is new, a line each."""
        if self._state != self._live.state in ("queued", "paused"):
            self._console.print(f"{self._live.run.name}: {self._live.state}", highlight=False, soft_wrap=True)
        self._state = self._live.state
        for trial in self._live.results[self._reported :]:
            what = f"{self._live.experiment.label(trial.point)}, {METHOD_LABELS[trial.method]}, seed {trial.seed}"
            loss = trial.generalization_loss
            told = trial.message if loss is None else f"L_gen {format_loss(loss)}"
            self._console.print(f"{what}: {told}", highlight=False, soft_wrap=True)
        self._reported = len(self._live.results)


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TerminalLostError from error


def _picture(live: LiveRun, hint: str, width: int) -> Text:
    """A line per method: sweep point, bar, done, rate, time left at this sweep point, losses or hits; then the run."""
    bar_cells = BAR_CELLS if width >= ROOMY_CELLS else BAR_CELLS // 2
    rows = [_row(live, method, bar_cells) for method in live.experiment.methods if method in live.progress]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    text = Text(no_wrap=True, overflow="ellipsis")  # a wrapped line would be left behind when the display is erased
    for row in rows:
        for cell, cells in zip(row[:-1], widths, strict=False):
            text.append_text(cell).append(" " * (cells - len(cell) + 2))
        text.append_text(row[-1]).append("\n")
    if not rows:
        text.append("starting the engine …\n" if live.state == "starting" else f"{live.state}\n", style="dim")
    experiment = live.experiment
    trials = len(experiment.points) * len(experiment.methods) * experiment.seeds
    told = f"{len(live.results)} of {trials} trials · {live.state} · {live.run.name}"
    return text.append(f"{told}\n{hint}", style="dim")


def _row(live: LiveRun, method: Method, bar_cells: int) -> list[Text]:
    progress = live.progress[method]
    filled = round(progress.fraction * bar_cells)
    unit = "steps" if method == "gd" else "draws"
    cells: list[str | Text] = [
        live.experiment.label(progress.point),
        f"seed {progress.seed}" if method != "gd" else f"{live.experiment.seeds} seeds",
        Text.assemble(("━" * filled, "green"), ("─" * (bar_cells - filled), "dim")),
        format_count(progress.done),
        f"{format_count(progress.rate)} {unit}/s" if progress.rate else "",
        f"ETA {format_duration(_seconds_left(live, method))}" if progress.rate else "",
        _what_it_sees(live, method),
    ]
    return [
        Text(METHOD_LABELS[method], style="bold"),
        *(Text(cell) if isinstance(cell, str) else cell for cell in cells),
    ]


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
