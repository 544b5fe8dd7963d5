"""Ranks, norms and gaps of W and its layers along gradient descent."""

from __future__ import annotations

from mftui.canvas import Line, Plot
from mftui.views.pane import Pane
from mftui.views.roles import series
from mftui.views.trial import Look, TrialView, smooth

_VIEWS: dict[str, dict[str, str]] = {
    "ranks of W": {"effective_rank": "effective", "stable_rank": "stable", "numerical_rank": "numerical"},
    "norms of W": {"nuclear_norm": "nuclear", "frobenius_norm": "Frobenius", "schatten_norm": "Schatten-2/L"},
    "norms of the layers": {},
    "distances": {"distance_to_truth": "‖W − W*‖", "balancedness_gap": "balancedness gap"},
}
_LOG_AT_FIRST = {"distances"}


class Ranks(Pane):
    name_of_pane = "effective rank and norms"
    can_log_y = True

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._view = next(iter(_VIEWS))

    def next_view(self) -> bool:
        """Ranks, norms, layers, distances, and round again."""
        names = list(_VIEWS)
        self._view = names[(names.index(self._view) + 1) % len(names)]
        self.log_y = self._view in _LOG_AT_FIRST
        return True

    def show(self, trial: TrialView, look: Look) -> None:
        if not self.has_descent(trial):
            return
        self.say("")
        self.start_anew((trial.key, self._view, self.log_y, look.log_x))
        self.subtitle(f"y: {'log' if self.log_y else 'linear'} · n: {self._view}")
        self.canvas.show(self.plot(trial, look))

    def plot(self, trial: TrialView, look: Look) -> Plot:
        steps = trial.diagnostics[:, 0]
        names = _VIEWS[self._view] or {
            f"layer_norm_{layer + 1}": f"‖W{layer + 1}‖" for layer in range(trial.settings.model.depth)
        }
        found = {label: trial.diagnostic(name) for name, label in names.items()}
        shown = {label: smooth(values) if look.smoothed else values for label, values in found.items()}
        return Plot(
            x=self.steps_axis(steps, trial, look),
            y=self.y_axis(*shown.values(), log=self.log_y),
            series=tuple(
                Line(steps, values, name=label, style=series(index), marked=not look.colored)
                for index, (label, values) in enumerate(shown.items())
            ),
            crosshair=look.cursor,
        )
