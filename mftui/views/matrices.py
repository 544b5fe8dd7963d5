"""W*, W and their difference side by side, the observed entries marked; ratings with "?" where there is none."""

from __future__ import annotations

import numpy as np
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Static

from mftui.canvas import Heatmap
from mftui.formatting import format_loss
from mftui.views.canvas_view import CanvasView
from mftui.views.pane import Pane
from mftui.views.trial import Floats, Look, TrialView


class Matrices(Pane):
    DEFAULT_CSS = """
    Matrices Horizontal { height: 1fr; }
    Matrices Vertical { width: 1fr; padding: 0 1; }
    Matrices Static { height: 1; color: $text-muted; }
    """
    name_of_pane = "matrices"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._views = [CanvasView(), CanvasView(), CanvasView()]
        self._shown = ""
        """when, and in which colours"""
        self._titles = [Static(markup=False), Static(markup=False), Static(markup=False)]

    def content(self) -> list[Widget]:
        columns = [Vertical(title, view) for title, view in zip(self._titles, self._views, strict=True)]
        return [Horizontal(*columns)]

    def on_resize(self) -> None:
        self.call_after_refresh(self._say_what_is_shown)

    def show(self, trial: TrialView, look: Look) -> None:
        found = at_cursor(trial, look) if self.has_descent(trial) else None
        if found is None:
            self._show_nothing(trial)
            return
        self.say("")
        step, matrix = found
        wanted, observed, known = target(trial)
        limit = float(np.nanmax(np.abs(wanted), initial=0.0)) or float(np.abs(matrix).max(initial=0.0)) or 1.0
        difference = matrix - wanted
        shown = (("W*" if known else "observed", wanted), ("W", matrix), ("W − W*", difference))
        for (name, values), title, view in zip(shown, self._titles, self._views, strict=True):
            largest = float(np.nanmax(np.abs(values), initial=0.0))
            title.update(f"{name} ≤ {format_loss(largest)}", layout=False)
            view.show(Heatmap(values, -limit, limit, observed=observed if known else None))
        self._shown = f"step {step:,.0f} · colours from −{format_loss(limit)} to {format_loss(limit)}"
        self._say_what_is_shown()

    def _show_nothing(self, trial: TrialView) -> None:
        rows, columns = trial.shape
        if "gd" in trial.methods:
            self.say("nothing yet" if trial.run_has_matrices else f"W, {rows}×{columns}, is too large to be kept")
        self._shown = ""
        self._say_what_is_shown()
        for title, view in zip(self._titles, self._views, strict=True):
            if view.drawing is not None:
                title.update("", layout=False)
                view.clear()

    def _say_what_is_shown(self) -> None:
        self.subtitle(self._shown + (" · z: room to mark the observed" if self._views[0].hides_marks else ""))


def at_cursor(trial: TrialView, look: Look) -> tuple[float, Floats] | None:
    """Step and W there (ratings in their own units); None where W isn't kept, or not yet."""
    if not len(trial.matrices):
        return None
    row = trial.matrices[look.row(trial.matrices[:, 0])]
    count = trial.shape[0] * trial.shape[1]
    offset = trial.entries.offset if trial.entries else 0.0
    matrix = row[1 : 1 + count].reshape(trial.shape) + offset
    return (float(row[0]), matrix) if np.isfinite(matrix).all() else None


def target(trial: TrialView) -> tuple[Floats, np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None, bool]:
    """W* or, where only some entries are known, those, NaN elsewhere; which are observed; whether it is W*."""
    if trial.entries is None:
        return np.full(trial.shape, np.nan), None, False
    return trial.entries.matrix, trial.entries.observed, trial.entries.complete
