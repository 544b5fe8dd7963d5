"""W*, W and their difference side by side, the observed entries marked; ratings with "?" where there is none.

In matrices with more entries than cells the observed ones are dots of a fourth picture.
"""

from __future__ import annotations

import numpy as np
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Static

from mftui.canvas import Dots, Heatmap, marks_entries
from mftui.formatting import format_loss
from mftui.views.canvas_view import CanvasView, glyphs
from mftui.views.pane import Pane
from mftui.views.trial import Floats, Look, TrialView

PADDING = 2
"""cells beside each picture"""
MOST_OF_OBSERVED = 0.4
"""of the width, for a dot each; else a quarter, in which they may be shares"""


class Matrices(Pane):
    DEFAULT_CSS = """
    Matrices Horizontal { height: 1fr; }
    Matrices Vertical { width: 1fr; padding: 0 1; }
    Matrices Static { height: 1; color: $text-muted; }
    """
    name_of_pane = "matrices"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._views = [CanvasView() for _ in range(4)]
        self._titles = [Static(markup=False) for _ in self._views]
        self._boxes = [Vertical(title, view) for title, view in zip(self._titles, self._views, strict=True)]
        self._row = Horizontal(*self._boxes)
        self._observed: Dots | None = None

    def content(self) -> list[Widget]:
        return [self._row]

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_observed)

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
        for (name, values), title, view in zip(shown, self._titles[:3], self._views[:3], strict=True):
            largest = float(np.nanmax(np.abs(values), initial=0.0))
            title.update(f"{name} ≤ {format_loss(largest)}", layout=False)
            view.show(Heatmap(values, -limit, limit, observed=observed if known else None))
        self.subtitle(f"step {step:,.0f} · colours from −{format_loss(limit)} to {format_loss(limit)}")
        self._observed = None if observed is None else Dots(observed)
        self._show_observed()

    def _show_nothing(self, trial: TrialView) -> None:
        rows, columns = trial.shape
        if "gd" in trial.methods:
            self.say("nothing yet" if trial.run_has_matrices else f"W, {rows}×{columns}, is too large to be kept")
        self.subtitle("")
        self._observed = None
        for title, view in zip(self._titles, self._views, strict=True):
            if view.drawing is not None:
                title.update("", layout=False)
                view.clear()

    def _show_observed(self) -> None:
        """In a picture of their own, if three of them have no cell for each entry."""
        first, dots, view, box = self._views[0].drawing, self._observed, self._views[3], self._boxes[3]
        width, height = self._row.size
        room = width // 3 - PADDING, height - 1
        marked = isinstance(first, Heatmap) and marks_entries(first, *room, glyphs(), colored=view.has_colors)
        if dots is None or marked or not width:
            box.display = False
        else:
            title = f"{dots.marked.mean():.0%} observed"
            cells = max(dots.extent(glyphs())[0], len(title)) + PADDING
            box.styles.width = cells if cells <= MOST_OF_OBSERVED * width else "1fr"
            self._titles[3].update(title, layout=False)
            view.show(dots)
            box.display = True


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
