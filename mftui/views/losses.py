"""Training and generalization loss of gradient descent."""

from __future__ import annotations

from mftui.canvas import Line, Plot, Rule
from mftui.views.pane import Pane
from mftui.views.trial import Look, TrialView, smooth


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
        self.subtitle(f"y: {'log' if self.log_y else 'linear'} · m: {'running' if look.smoothed else 'no'} medians")
        result = trial.results.get("gd")
        self.say(result.message if result else "")
        self.canvas.show(self.plot(trial, look))

    def plot(self, trial: TrialView, look: Look) -> Plot:
        steps = trial.curve[:, 0]
        training, generalization = (
            smooth(column) if look.smoothed else column for column in (trial.curve[:, 1], trial.curve[:, 2])
        )
        return Plot(
            x=self.steps_axis(steps, trial, look),
            y=self.y_axis(training, generalization, log=self.log_y),
            series=(
                Line(steps, training, name="training", style="training", marked=not look.colored),
                Line(steps, generalization, name="generalization", style="generalization", marked=not look.colored),
            ),
            rules=(Rule(at=trial.settings.gnc.eps_train, style="axis", name="ε_train"),),
            crosshair=look.cursor,
        )
