"""Singular values of W against gradient descent's steps, the true ones dashed, those that theory predicts as beads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mftui.views.axes import Axis
from mftui.views.palette import series_color
from mftui.views.pane import Pane
from mftui.views.plotting import Chart, Line
from mftui.views.trial import TrialView, theory_applies

FLOOR = 1e-12
"""singular values under this fraction of the largest true one are rounding; they would stretch a log axis"""
MOST_BEADS = 24
"""of each predicted line: apart enough to be told from dashes, and to leave the measured line in sight"""


class SingularValues(Pane):
    """One line each; `log_scale` chooses the axis, `theory` whether the predicted course is drawn over it."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.log_scale = False
        self.theory = False
        self.border_title = "[b]1[/b] singular values of W"

    def show(self, trial: TrialView) -> None:
        self.start_anew((trial.key, self.log_scale))
        scale, other = ("log", "linear") if self.log_scale else ("linear", "log")
        self.subtitle(f"{scale}, [b]y[/b] for {other} · ╌ true{self._of_theory(trial)}")
        self.plot.show(self.chart(trial))

    def chart(self, trial: TrialView) -> Chart:
        """Non-finite values, and on a log axis what is not above zero, are left out."""
        steps = trial.curve[:, 0]
        floor = FLOOR * max(trial.truth, default=1.0)
        lines = []
        for index, value in enumerate(trial.truth):
            if value > floor:
                height = float(np.log10(value)) if self.log_scale else value
                lines.append(Line((), (height,), series_color(index, trial.dark), dashed=True))
        lines += self._lines(steps, trial.curve[:, 3:], floor, trial.dark)
        if self.theory:
            beads = trial.predicted[:: 1 + len(trial.predicted) // MOST_BEADS]
            lines += self._lines(beads[:, 0], beads[:, 1:], floor, trial.dark, beads=True)
        heights = [height for line in lines for height in line.y]
        x = Axis(*self.x_limits.from_zero(steps.max(initial=1.0), trial.settings.gd.steps, coarse=True), "count")
        if self.log_scale:
            y = Axis(*self.y_limits.decades(min(heights, default=-1.0), max(heights, default=0.0)), "decades")
        else:
            y = Axis(*self.y_limits.from_zero(max(heights, default=1.0)))
        return Chart(x, y, tuple(lines))

    def _lines(
        self, steps: NDArray[np.float64], values: NDArray[np.float64], floor: float, dark: bool, *, beads: bool = False
    ) -> list[Line]:
        lines = []
        for index, column in enumerate(values.T):
            shown = np.isfinite(column) & ((column > floor) if self.log_scale else True)
            heights = np.log10(column[shown]) if self.log_scale else column[shown]
            where = tuple(steps[shown].tolist()), tuple(heights.tolist())
            lines.append(Line(*where, series_color(index, dark), beads=beads))
        return lines

    def _of_theory(self, trial: TrialView) -> str:
        """What the subtitle says of it."""
        if not self.theory:
            return " · [b]t[/b] theory" if len(trial.predicted) else ""
        if not theory_applies(trial.settings):
            return " · theory: linear σ, plain gradient descent only"
        if trial.settings.gd.predict_from < 0:
            return " · theory: from the step gd.predict_from"
        return " · • theory" if trial.prediction_error is None else f" · • theory, off by {trial.prediction_error:.2g}"
