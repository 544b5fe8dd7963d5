"""Singular values of W against gradient descent's steps, the true ones dashed, theory's dotted."""

from __future__ import annotations

import numpy as np

from engine.spec.applicability import theory_applies
from mftui.canvas import Line, Plot, Rule
from mftui.views.pane import Pane
from mftui.views.roles import series
from mftui.views.trial import LEAST_SINGULAR_VALUE, Look, TrialView


class SingularValues(Pane):
    name_of_pane = "singular values of W"
    can_log_y = True

    def show(self, trial: TrialView, look: Look) -> None:
        if not self.has_descent(trial):
            return
        self.say("")
        self.start_anew((trial.key, self.log_y, look.log_x))
        theory = _theory(trial, look) or " · t: theory"
        pinned = " · ┈ grey: pinned" if look.pinned else ""
        self.subtitle(f"y: {'log' if self.log_y else 'linear'} · ╌ true{theory}{pinned}")
        self.canvas.show(self.plot(trial, look))

    def plot(self, trial: TrialView, look: Look) -> Plot:
        steps = trial.curve[:, 0]
        floor = LEAST_SINGULAR_VALUE * max(trial.truth, default=1.0)  # less would stretch a log axis
        shown_values, pinned_values = (
            np.where(curve[:, 3:] > floor, curve[:, 3:], np.nan) if self.log_y else curve[:, 3:]
            for curve in (trial.curve, look.pinned_curve)
        )
        lines = [
            Line(look.pinned_curve[:, 0], column, "dotted", name=f"σ{index + 1} pinned", style="axis", shape=index)
            for index, column in enumerate(pinned_values.T)
        ]
        lines += [
            Line(steps, column, name=f"σ{index + 1}", style=series(index), shape=index, marked=not look.colored)
            for index, column in enumerate(shown_values.T)
        ]
        if look.theory:
            lines += [
                Line(trial.predicted[:, 0], column, stroke="dotted", style=series(index), shape=index)
                for index, column in enumerate(trial.predicted[:, 1:].T)
            ]
        true_values = np.array([value for value in trial.truth if value > floor])
        rules = tuple(Rule(at=value, style=series(index)) for index, value in enumerate(true_values))
        return Plot(
            x=self.steps_axis(steps, trial, look),
            y=self.y_axis(shown_values, pinned_values, true_values, log=self.log_y),
            series=tuple(lines),
            rules=rules,
            crosshair=look.cursor,
            legend="none" if look.cursor is None else "auto",
        )


def _theory(trial: TrialView, look: Look) -> str:
    if not look.theory:
        return ""
    if not theory_applies(trial.settings):
        return " · theory: linear σ, plain gradient descent only"
    if trial.settings.gd.predict_from < 0:
        return " · theory: needs gd.predict_from"
    off = "" if trial.prediction_error is None else f" off by {100 * trial.prediction_error:.2g} %"
    return f" · ┈ theory{off}"
