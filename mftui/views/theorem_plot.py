"""A theorem against the sweep: its quantity at each point, the bound's shape, and the line fitted to the points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.analysis.theorems import Measured
from engine.analysis.verdict import two
from mftui.canvas import Axis, ErrorBars, Line, Plot, Rule
from mftui.formatting import format_loss
from mftui.views.canvas_view import CanvasView
from mftui.views.pane import Pane
from mftui.views.sweep_plot import PointChosen
from mftui.views.sweep_view import SweepView

_LINE_POINTS = 60
_ROOM_FOR_LEGEND = 9
"""cells of height: below, it would hide half of the plot"""
_SHOWN_BELOW = 3.0
"""times smaller than the smallest mean that is apart from zero: how far down a log axis goes"""


class TheoremPlot(Pane):
    """Means over data sets with 95 % intervals."""

    DEFAULT_CSS = "TheoremPlot .note { color: $text; }"
    name_of_pane = "theory"
    can_log_y = True

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.log_y = True
        self._measured: Measured | None = None

    def show_theorem(self, view: SweepView, measured: Measured | None, selected: int) -> None:
        if measured is None:
            self.border_title = "theory"
            self.subtitle("")
            self.say("No theorem for this sweep: the width theorem needs Prior and G&C, the depth theorem G&C.")
            self.canvas.show(Plot(series=()))
            return
        if self._measured is None or measured.theorem != self._measured.theorem:
            self.log_y = measured.theorem == "width"
        self._measured = measured
        self.start_anew((view.key[0], measured.edge, self.log_y))
        title = quantity(view, measured)
        if title != self.border_title:
            self.border_title = title
        self.subtitle(f"+ −: {'ε' if measured.theorem == 'width' else 'c'} · mean, 95 % · y: {self._scale}")
        self.say(" · ".join((measured.verdict, *measured.caveats)))
        self.canvas.show(self.plot(view, measured, selected))

    def on_canvas_view_pointed(self, event: CanvasView.Pointed) -> None:
        event.stop()
        if self._measured is not None:
            self.post_message(PointChosen(int(np.abs(self._measured.x - event.x).argmin())))

    @property
    def _scale(self) -> str:
        return "log" if self.log_y else "linear"

    def plot(self, view: SweepView, measured: Measured, selected: int) -> Plot:
        means, wide = measured.means, measured.theorem == "width"
        sign = -1.0 if wide and np.nansum(np.sign(means.mean)) < 0 else 1.0
        heights, reach = sign * means.mean, np.nan_to_num(means.reaches())
        shown = np.isfinite(heights)
        x = self._x_axis(view, measured)
        bars = ErrorBars(
            x=measured.x[shown],
            low=(heights - reach)[shown],
            y=heights[shown],
            high=(heights + reach)[shown],
            joined=False,
            name="measured" if sign > 0 else "measured, sign reversed",
            style="gnc",
        )
        ends = [heights[shown], (heights + reach)[shown]]
        floor = 0.0
        if self.log_y:
            clear = heights[shown & means.beyond_zero() & (heights > 0)]
            floor = float(clear.min()) / _SHOWN_BELOW if len(clear) else 0.0
        elif wide:
            ends.append((heights - reach)[shown])
        rules = [Rule(at=float(measured.x[selected]), upright=True, style="axis", stroke="dotted")]
        if not self.log_y:
            rules.append(Rule(at=0.0, style="axis", stroke="dotted"))
        return Plot(
            x=x,
            y=self.y_axis(*ends, log=self.log_y, floor=floor),
            series=(*_lines(measured, x), bars),
            rules=tuple(rules),
            legend="auto" if self.canvas.size.height >= _ROOM_FOR_LEGEND else "none",
        )

    @staticmethod
    def _x_axis(view: SweepView, measured: Measured) -> Axis:
        if measured.theorem == "width":
            return replace(view, scale="log").axis()  # a power law is a straight line, whatever the widths
        high = float(measured.x.max())
        named = tuple((float(place), f"1/{view.name(point)}") for point, place in enumerate(measured.x))
        return Axis(0.0, high * 1.06, title="1/depth", categories=((0.0, "0"), *named))


def quantity(view: SweepView, measured: Measured) -> str:
    """What is plotted, with the bin edge in numbers."""
    edge = format_loss(measured.threshold)
    if measured.theorem == "width":
        return f"|P(L_gen < ε | fit) − P(L_gen < ε)|, ε = {edge}"
    factor = measured.threshold / view.experiment.points[0].gnc.eps_train
    return f"1 − P(L_gen < c·ε_train | fit), c = {factor:.3g} (edge {edge})"


def _lines(measured: Measured, axis: Axis) -> tuple[Line, ...]:
    """The bound's shape, and the fit: over the points measured so far, and for the depth on to the limit."""
    known = measured.x[np.isfinite(measured.means.mean)]
    if not len(known):
        return ()
    wide, found = measured.theorem == "width", []
    low, high = axis.limits[0], known.max()
    x = np.geomspace(known.min(), high, _LINE_POINTS) if wide else np.linspace(low, high, _LINE_POINTS)
    if (bound := measured.bound(x)) is not None:
        name = "bound, as k^(−1/2)" if wide else "bound, as 1/depth"
        found.append(Line(x, bound, stroke="dashed", name=name, style="label"))
    if (fit := measured.fit) is not None and (fitted := measured.fitted(x)) is not None:
        name = f"fit k^({two(fit.slope_interval)})" if wide else f"fit {fit.intercept:z.2f} + {fit.slope:.2f}/depth"
        found.append(Line(x, fitted, name=f"{name}{measured.fitted_half}".replace("-", "−"), style="mark"))
    return tuple(found)
