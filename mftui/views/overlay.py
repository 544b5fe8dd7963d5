"""Several runs on the same plots: losses and singular values of gradient descent, a colour and a mark a run.

A run without gradient descent has level lines instead, at its other methods' medians over the data sets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from textual.containers import Grid

from engine.results import PointSummary
from engine.spec.settings import METHOD_LABELS, Method
from mftui.canvas import Axis, Line, Plot, Rule, from_zero
from mftui.canvas.glyphs import Stroke
from mftui.curves import TrialCurve
from mftui.views.canvas_view import glyphs
from mftui.views.pane import Pane
from mftui.views.roles import series
from mftui.views.trial import Floats

_STROKES: dict[Method, Stroke] = {"gnc": "dashed", "prior": "dotted"}


@dataclass(frozen=True, eq=False)
class Overlaid:
    """A run among others."""

    slot: int
    """its colour and mark for as long as it is marked"""
    name: str
    curve: TrialCurve


def mark(slot: int) -> str:
    """A run's mark in the list, ●1: the shape and the number that it has in the plots."""
    return f"{glyphs().shape(slot)}{slot + 1}"


@dataclass(frozen=True)
class OverlayLook:
    """How all plots look at the runs."""

    view: int = 0
    """0: all plots; else the one of that number"""
    point: int = 0
    seed: int = 0
    cursor: float | None = None
    """a step whose values are read"""
    log_x: bool = False
    other_y: bool = False
    """each plot's other scale: log for singular values, linear for losses"""


class OverlayPane(Pane):
    """One quantity of all runs."""

    can_log_y = True

    def __init__(
        self,
        name: str,
        values: Callable[[Floats], Floats],
        level: Callable[[PointSummary], float | None] = lambda _: None,
        *,
        log_y: bool,
    ) -> None:
        self.name_of_pane = name
        super().__init__()
        self.can_focus = False
        self.log_y = log_y
        self._values = values
        """the columns of a curve's table to draw"""
        self._level = level
        """where another method's level line lies"""

    def show_runs(self, runs: Sequence[Overlaid], look: OverlayLook) -> None:
        self.start_anew(([run.name for run in runs], look.point, look.seed, look.log_x, look.other_y))
        self.subtitle("log" if self.log_y != look.other_y else "linear")
        notes = dict.fromkeys(run.curve.note for run in runs)
        self.say("" if "" in notes else "; ".join(notes))
        self.canvas.show(self.plot(runs, look))

    def plot(self, runs: Sequence[Overlaid], look: OverlayLook) -> Plot:
        lines, rules = [], []
        for run in runs:
            steps = run.curve.table[:, 0]
            name = f"{run.slot + 1} {run.curve.label}" if len(runs) > 1 else run.curve.label
            for index, column in enumerate(self._values(run.curve.table).T):
                lines.append(
                    Line(
                        steps,
                        column,
                        name="" if index or not len(steps) else name,
                        style=series(run.slot),
                        shape=run.slot,
                        marked=len(runs) > 1,
                    )
                )
            for row in run.curve.others:
                if (at := self._level(row)) is not None:
                    named, stroke = f"{name} {METHOD_LABELS[row.method]}", _STROKES.get(row.method, "solid")
                    rules.append(Rule(at=at, stroke=stroke, name=named, style=series(run.slot)))
        top = max((float(run.curve.table[:, 0].max(initial=1.0)) for run in runs), default=1.0)
        low, high = from_zero(self._limits.get("x"), top, max((float(run.curve.steps) for run in runs), default=1.0))
        self._limits["x"] = low, high
        values = [np.asarray(line.y, np.float64) for line in lines] + [np.array([rule.at]) for rule in rules]
        return Plot(
            x=Axis(max(1.0, high / 1e4), high, "log", "count") if look.log_x else Axis(low, high, "linear", "count"),
            y=self.y_axis(*values, log=self.log_y != look.other_y, floor=_floor(values)),
            series=tuple(lines),
            rules=tuple(rules),
            crosshair=look.cursor,
        )


def _median_generalization(row: PointSummary) -> float | None:
    return row.generalization_loss[1] if row.generalization_loss else None


def _floor(values: Sequence[Floats]) -> float:
    """Rounding far below all else would stretch a log axis."""
    finite = [float(each[np.isfinite(each)].max(initial=0.0)) for each in values]
    return 1e-14 * max(finite, default=0.0)


class Overlay(Grid):
    """All plots side by side, or one of them."""

    DEFAULT_CSS = """
    Overlay { grid-size: 3; grid-gutter: 0; width: 1fr; height: 1fr; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        self.panes = (
            OverlayPane("training loss", lambda table: table[:, 1:2], lambda row: row.training_loss, log_y=True),
            OverlayPane("generalization loss", lambda table: table[:, 2:3], _median_generalization, log_y=True),
            OverlayPane("singular values of W", lambda table: table[:, 3:], log_y=False),
        )
        super().__init__(*self.panes, id=id)
        self._arranged = -1

    def show_runs(self, runs: Sequence[Overlaid], look: OverlayLook) -> None:
        if look.view != self._arranged:
            self._arranged = look.view
            for number, pane in enumerate(self.panes, 1):
                pane.display = look.view in (0, number)
            self.styles.grid_size_columns = 3 if look.view == 0 else 1
        for number, pane in enumerate(self.panes, 1):
            if pane.display:
                pane.border_title = pane.name_of_pane + (f" · {number}/3, v" if look.view else "")
                pane.show_runs(runs, look)
