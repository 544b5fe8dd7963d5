"""Singular values of W against gradient descent's steps, the true ones dashed."""

from __future__ import annotations

import numpy as np

from mftui.views.axes import Axis
from mftui.views.palette import series_color
from mftui.views.pane import Pane
from mftui.views.plotting import Chart, Line
from mftui.views.trial import TrialView

FLOOR = 1e-12
"""singular values under this fraction of the largest true one are rounding; they would stretch a log axis"""


class SingularValues(Pane):
    """One line each; `log_scale` chooses the axis."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.log_scale = False
        self.border_title = "[b]1[/b] singular values of W"

    def show(self, trial: TrialView) -> None:
        self.start_anew((trial.key, self.log_scale))
        scale, other = ("log", "linear") if self.log_scale else ("linear", "log")
        self.subtitle(f"{scale}, [b]y[/b] for {other} · ╌ true")
        self.plot.show(self.chart(trial))

    def chart(self, trial: TrialView) -> Chart:
        """Non-finite values, and on a log axis what is not above zero, are left out."""
        steps, values = trial.curve[:, 0], trial.curve[:, 3:]
        floor = FLOOR * max(trial.truth, default=1.0)
        lines = []
        for index, value in enumerate(trial.truth):
            if value > floor:
                height = float(np.log10(value)) if self.log_scale else value
                lines.append(Line((), (height,), series_color(index, trial.dark), dashed=True))
        for index, column in enumerate(values.T):
            shown = np.isfinite(column) & ((column > floor) if self.log_scale else True)
            heights = np.log10(column[shown]) if self.log_scale else column[shown]
            lines.append(Line(tuple(steps[shown].tolist()), tuple(heights.tolist()), series_color(index, trial.dark)))
        heights = [height for line in lines for height in line.y]
        x = Axis(*self.x_limits.from_zero(steps.max(initial=1.0), trial.settings.gd.steps, coarse=True), "count")
        if self.log_scale:
            y = Axis(*self.y_limits.decades(min(heights, default=-1.0), max(heights, default=0.0)), "decades")
        else:
            y = Axis(*self.y_limits.from_zero(max(heights, default=1.0)))
        return Chart(x, y, tuple(lines))
