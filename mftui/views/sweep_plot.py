"""The paper's figure: generalization loss against what is swept, a series a method, growing as trials finish."""

from __future__ import annotations

import numpy as np
from textual.markup import escape
from textual.message import Message

from engine.spec.settings import METHOD_LABELS, METHODS, Method
from mftui.canvas import ErrorBars, Plot, Rule
from mftui.views.canvas_view import CanvasView, glyphs
from mftui.views.pane import Pane
from mftui.views.roles import color
from mftui.views.sweep_view import SweepView


class PointChosen(Message):
    """A sweep point was pointed at."""

    def __init__(self, point: int) -> None:
        self.point = point
        super().__init__()


class SweepPlot(Pane):
    """Median and quartiles over the data sets."""

    name_of_pane = "generalization loss"
    can_log_y = True

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.log_y = True
        self._view: SweepView | None = None
        self._title = ""

    def show_sweep(self, view: SweepView, selected: int) -> None:
        self._view = view
        self.start_anew((view.key[0], self.log_y))
        if (title := self._titled(view)) != self._title:
            self._title = self.border_title = title
        count = view.experiment.seeds
        over = f"median, quartiles over {count} data sets" if count > 1 else "one data set"
        self.subtitle(f"{'log' if self.log_y else 'linear'} · {over}")
        self.say(warning(view))
        self.canvas.show(self.plot(view, selected))

    def _titled(self, view: SweepView) -> str:
        """In markup, the legend: inside, it would hide points that all stand at the same few places."""
        dark = self.app.current_theme.dark
        marks = (
            f"[{color(method, dark)}]{glyphs().shape(METHODS.index(method))} {escape(METHOD_LABELS[method])}[/]"
            for method in view.experiment.methods
        )
        return "  ".join((self.name_of_pane, *marks))

    def plot(self, view: SweepView, selected: int) -> Plot:
        methods = view.experiment.methods
        series = tuple(self._bars(view, method, 2 * place - len(methods) + 1) for place, method in enumerate(methods))
        heights = np.concatenate([np.concatenate([one.low, one.y, one.high]) for one in series])
        cursor = Rule(at=float(view.places[selected]), upright=True, style="axis", stroke="dotted")
        return Plot(
            x=view.axis(), y=self.y_axis(heights, log=self.log_y), series=series, rules=(cursor,), legend="none"
        )

    def on_canvas_view_pointed(self, event: CanvasView.Pointed) -> None:
        event.stop()
        if self._view is not None:
            self.post_message(PointChosen(self._view.nearest(event.x)))

    @staticmethod
    def _bars(view: SweepView, method: Method, half_shift: int) -> ErrorBars:
        """The points that have come, from left to right."""
        points = [
            point
            for point in np.argsort(view.places, kind="stable").tolist()
            if (summary := view.summaries.get((point, method))) and summary.generalization_loss
        ]
        quartiles = np.array([view.summaries[point, method].generalization_loss for point in points]).reshape(-1, 3)
        return ErrorBars(
            x=view.places[points],
            low=quartiles[:, 0],
            y=quartiles[:, 1],
            high=quartiles[:, 2],
            joined=view.numeric,
            shift=half_shift // 2,
            shape=METHODS.index(method),
            name=METHOD_LABELS[method],
            style=method,
        )


def warning(view: SweepView) -> str:
    """How many trials went wrong, and how; empty if none did."""
    parts = []
    for outcome, words in (
        ("diverged", "diverged"),
        ("unreliable", "unreliable"),
        ("no_hits", "without a hit"),
        ("failed", "failed"),
    ):
        if count := sum(result.outcome == outcome for result in view.results):
            parts.append(f"{count} {words}")
    if view.unfit:
        parts.append(f"{view.unfit.total()} of GD above ε_train")
    return f"! trials {', '.join(parts)}: see the points marked ! in the table" if parts else ""
