"""Training and generalization loss of gradient descent."""

from __future__ import annotations

import numpy as np

from mftui.canvas import Line, Plot, Rule
from mftui.views.pane import Pane
from mftui.views.trial import Floats, Look, TrialView, smooth


class Losses(Pane):
    """Two lines, the threshold of Guess & Check, and what went wrong if something did."""

    name_of_pane = "losses of GD"
    can_log_y = True

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.log_y = True

    def show(self, trial: TrialView, look: Look) -> None:
        if not self.has_descent(trial):
            return
        self.start_anew((trial.key, self.log_y, look.log_x))
        pinned = " · ┈ pinned" if look.pinned else ""
        smoothed = "running medians" if look.smoothed else "smooth"
        self.subtitle(f"y: {'log' if self.log_y else 'linear'} · m: {smoothed}{pinned}")
        result = trial.results.get("gd")
        self.say(result.message if result else "")
        self.canvas.show(self.plot(trial, look))

    def plot(self, trial: TrialView, look: Look) -> Plot:
        lines = _lines(trial.curve, look)
        if look.pinned:
            lines = [*_lines(look.pinned.curve, look, pinned=True), *lines]
        return Plot(
            x=self.steps_axis(trial.curve[:, 0], trial, look),
            y=self.y_axis(*(np.asarray(line.y) for line in lines), log=self.log_y),
            series=tuple(lines),
            rules=(Rule(at=trial.settings.gnc.eps_train, style="axis", name="ε_train"),),
            crosshair=look.cursor,
        )


def _lines(curve: Floats, look: Look, *, pinned: bool = False) -> list[Line]:
    lines = []
    for number, name in enumerate(("training", "generalization")):
        values = smooth(curve[:, 1 + number]) if look.smoothed else curve[:, 1 + number]
        lines.append(
            Line(
                curve[:, 0],
                values,
                "dotted" if pinned else "solid",
                marked=not pinned and not look.colored,
                name=f"{name} pinned" if pinned else name,
                style=name,
                shape=number,
            )
        )
    return lines
