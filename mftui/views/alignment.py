"""How far the leading singular vectors of W point the way of those of W*."""

from __future__ import annotations

from mftui.canvas import Axis, Line, Plot
from mftui.views.pane import Pane
from mftui.views.roles import series
from mftui.views.trial import Look, TrialView


class Alignment(Pane):
    name_of_pane = "alignment of singular vectors"

    def show(self, trial: TrialView, look: Look) -> None:
        if not self.has_descent(trial):
            return
        self.start_anew((trial.key, look.log_x))
        self.subtitle(f"|⟨u, u*⟩| solid, |⟨v, v*⟩| dotted · x: {'log' if look.log_x else 'linear'}")
        self.say("" if self._vectors(trial) else "there is no W* to compare with")
        self.canvas.show(self.plot(trial, look))

    def plot(self, trial: TrialView, look: Look) -> Plot:
        steps, lines = trial.diagnostics[:, 0], []
        for index in range(self._vectors(trial)):
            left, right = (trial.diagnostic(f"{side}_alignment_{index + 1}") for side in ("left", "right"))
            marked = not look.colored
            style = series(index)
            lines.append(Line(steps, left, name=f"u{index + 1}", style=style, shape=index, marked=marked))
            lines.append(Line(steps, right, stroke="dotted", name=f"v{index + 1}", style=style, shape=index))
        return Plot(self.steps_axis(steps, trial, look), Axis(0.0, 1.0), tuple(lines), crosshair=look.cursor)

    @staticmethod
    def _vectors(trial: TrialView) -> int:
        return sum(name.startswith("left_alignment_") for name in trial.diagnostic_columns)
