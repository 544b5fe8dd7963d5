"""Training and generalization loss of gradient descent, on a log axis."""

from __future__ import annotations

import numpy as np

from mftui.views.axes import Axis
from mftui.views.palette import color
from mftui.views.pane import Pane
from mftui.views.plotting import Chart, Line
from mftui.views.trial import TrialView


class Losses(Pane):
    """Two lines, and what went wrong if something did."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.border_title = "[b]2[/b] losses of GD"

    def show(self, trial: TrialView) -> None:
        self.start_anew(trial.key)
        training, generalization = color("training", trial.dark), color("generalization", trial.dark)
        self.subtitle(f"[{training}]━ training[/] · [{generalization}]━ generalization[/]")
        result = trial.results.get("gd")
        self.say(result.message if result else "")
        self.plot.show(self.chart(trial))

    def chart(self, trial: TrialView) -> Chart:
        """In log10; what is not finite and above zero is left out."""
        steps = trial.curve[:, 0]
        lines = []
        for column, role in ((1, "training"), (2, "generalization")):
            losses = trial.curve[:, column]
            shown = np.isfinite(losses) & (losses > 0)
            heights = np.log10(losses[shown])
            lines.append(Line(tuple(steps[shown].tolist()), tuple(heights.tolist()), color(role, trial.dark)))  # type: ignore[arg-type]
        shown_heights = [height for line in lines for height in line.y]
        x = Axis(*self.x_limits.from_zero(steps.max(initial=1.0), trial.settings.gd.steps, coarse=True), "count")
        limits = self.y_limits.decades(min(shown_heights, default=-1.0), max(shown_heights, default=0.0))
        return Chart(x, Axis(*limits, "decades"), tuple(lines))
