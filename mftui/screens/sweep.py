"""The paper's figure growing live: a figure over the sweep, its table, the chosen point in full, and the theorems."""

from __future__ import annotations

import shlex
from contextlib import suppress
from functools import cache
from typing import ClassVar

import numpy as np
from rich.console import Group
from rich.text import Text
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.geometry import Region
from textual.markup import escape
from textual.widget import Widget
from textual.widgets import Static

from engine.analysis.tails import LAST_EDGE
from engine.analysis.theorems import Measured, measure, theorem_of
from engine.spec.defects import PresetError
from engine.spec.preset import load, shipped
from mftui.command import command_line
from mftui.screens.base import LabScreen, key
from mftui.views.pane import Pane
from mftui.views.results_table import MOST_SEEDS_LISTED, as_csv, readout, results_table, table_line
from mftui.views.status import Status, StatusBar
from mftui.views.sweep_plot import PointChosen, SweepPlot
from mftui.views.sweep_view import SweepView, sweep_view
from mftui.views.theorem_plot import TheoremPlot

TABLE_FILE = "sweep-table.csv"
MOST_NAMES = 4
"""presets told for each swept field"""


class SweepScreen(LabScreen):
    mode = "sweep"
    CSS = """
    SweepScreen #body { height: 1fr; }
    SweepScreen #figures { width: 1fr; height: 1fr; }
    SweepScreen #sweepplot { height: 3fr; }
    SweepScreen #theoremplot { height: 2fr; }
    SweepScreen #side { width: 68; height: 1fr; }
    SweepScreen #table { height: 1fr; border: round $foreground 30%; border-title-color: $text;
                         padding: 0 1; scrollbar-size-vertical: 1; }
    SweepScreen #table Static { height: auto; }
    SweepScreen #readout { height: auto; max-height: 45%; border: round $foreground 30%; border-title-color: $text;
                           border-subtitle-color: $text-muted; padding: 0 1; }
    SweepScreen.-narrow #body { layout: vertical; }
    SweepScreen.-narrow #side { width: 1fr; height: auto; max-height: 45%; }
    SweepScreen.-narrow #side.-page { height: 1fr; max-height: 100%; }
    SweepScreen.-narrow #readout { max-height: 100%; }
    SweepScreen.-narrow #side.-page #readout { max-height: 45%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter", "explore", "Open", "open the chosen point's trials in Explore", display="⏎"),
        key("tab", "page(1)", "Next", "next figure or table"),
        key("shift+tab", "page(-1)", "Previous", "previous figure or table", show=False),
        key(
            "left,h,up,k",
            "select(-1)",
            "Point",
            "previous sweep point; a click in the figure chooses one too",
            display="←→",
        ),
        key("right,l,down,j", "select(1)", "Next point", "next sweep point", show=False, display="→"),
        key("home", "select_end(0)", "First", "first sweep point", show=False),
        key("end", "select_end(-1)", "Last", "last sweep point", show=False),
        key("y", "log_y", "Log y", "the chosen figure on a log or a linear axis"),
        key("T", "theory", "Theory", "what the width or the depth theorem bounds, measured, on or off"),
        key(
            "plus,equals_sign",
            "threshold(1)",
            "Larger ε, c",
            "theory: the next larger ε, or c (an eighth of a decade)",
            show=False,
            display="+",
        ),
        key("minus", "threshold(-1)", "Smaller ε, c", "theory: the next smaller ε, or c", show=False, display="-"),
        key("e", "export", "CSV", "write the table as CSV into the current directory"),
        key("c", "copy", "Copy", "copy the command line that runs this sweep"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.selected = 0
        """sweep point"""
        self.theory = False
        self._edge: int | None = None
        """of the histograms, where P(L_gen < ·) is taken; None: the default"""
        self._page = 0
        """which of the pages is shown where there is room for one, and has the focus elsewhere"""
        self._run = ""
        self._view: SweepView | None = None
        self._measured: tuple[object, Measured | None] = (None, None)
        self._drawn: object = None
        self._tabled: tuple[tuple[str, int], int, bool] | None = None
        """run, point and theme that the table shows"""
        self._title = ""

    def body(self) -> list[Widget]:
        self._status_bar = StatusBar()
        self.figure, self.theorem = SweepPlot(id="sweepplot"), TheoremPlot(id="theoremplot")
        self._table_text, self._readout = Static(), Static(id="readout")
        self.table = VerticalScroll(self._table_text, id="table", can_focus=False)  # or it would take home and end
        self.table.border_title = "results"
        self._figures = Vertical(self.figure, self.theorem, id="figures")
        self._side = Vertical(self.table, self._readout, id="side")
        return [self._status_bar, Horizontal(self._figures, self._side, id="body")]

    def on_mount(self) -> None:
        self._arrange()

    def on_resize(self) -> None:
        self._drawn = None
        self._arrange()

    # --- what is shown -----------------------------------------------------------------------------------------------

    @property
    def view(self) -> SweepView | None:
        """The sweep as far as it has come; made anew only when a trial has finished."""
        live = self.lab.session.live
        if live is None:
            return None
        if self._view is None or self._view.key != (live.run.name, len(live.results)):
            self._view = sweep_view(live)
        return self._view

    @property
    def measured(self) -> Measured | None:
        """Of the theorem, if that is asked for."""
        view = self.view
        if view is None or not self.theory:
            return None
        if self._measured[0] != (key := (view.key, self._edge)):
            self._measured = (key, measure(view.experiment, view.results, self._edge))
        return self._measured[1]

    @property
    def narrow(self) -> bool:
        return self.has_class("-narrow") or self.size.width < 110

    @property
    def pages(self) -> list[Widget]:
        """What tab goes through."""
        if self.view is not None and not self.view.is_sweep:
            return [self.table]
        return [self.figure, *([self.theorem] if self.theory else []), self.table]

    @property
    def page(self) -> Widget:
        """The chosen one."""
        return self.pages[self._page % len(self.pages)]

    def show(self) -> None:
        if not self.is_mounted:
            return
        view = self.view
        self._status_bar.show(self._status())
        if view is None:
            return
        if view.key[0] != self._run:
            self._run, self.selected, self._edge, self._page = view.key[0], 0, None, 0
            self._arrange()
            return
        look = (self.lab.current_theme.dark, not self.narrow)
        drawn = (view.key, self.selected, self.theory, self._edge, self.figure.log_y, self.theorem.log_y, look)
        if drawn != self._drawn:
            self._drawn = drawn
            self._draw(view, *look)

    def _draw(self, view: SweepView, dark: bool, roomy: bool) -> None:
        """An update that lays the screen out anew costs 30–40 ms: only where lines come or go."""
        if self._tabled != (key := (view.key, self.selected, dark)):
            table = results_table(view, self.selected, dark)
            shown = table if view.is_sweep else Group(table, Text(f"\n{not_a_sweep()}"))
            self._table_text.update(shown, layout=self._tabled is None or self._tabled[0][0] != view.key[0])
            self._tabled = key
            self.call_after_refresh(self._keep_selected_in_sight)
        text = readout(view, self.selected, dark, self.measured, roomy)
        lines = len(text.wrap(self.app.console, max(1, self._readout.content_size.width)))
        self._readout.update(text, layout=lines != self._readout.content_size.height)
        label = view.experiment.label(self.selected)
        place = f" ({self.selected + 1}/{len(view.places)})" if view.is_sweep else ""
        each = ", each data set" if roomy and 1 < view.experiment.seeds <= MOST_SEEDS_LISTED else ""
        if (title := f"{label}{place} · median, quartiles{each}") != self._title:
            self._title, self._readout.border_title = title, escape(title)
        if not view.is_sweep:
            return
        if self.figure.display:
            self.figure.show_sweep(view, self.selected)
        if self.theory and self.theorem.display:
            self.theorem.show_theorem(view, self.measured, self.selected)

    def _keep_selected_in_sight(self) -> None:
        if self.view is not None:
            lines = Region(0, table_line(self.view, self.selected), 1, len(self.view.experiment.methods))
            self.table.scroll_to_region(lines, animate=False)

    def _arrange(self) -> None:
        """Figures, table and readout side by side where there is room, else one page at a time over the readout."""
        if not self.is_mounted:
            return
        sweep = self.view is None or self.view.is_sweep
        page, narrow = self.page, self.narrow
        self._figures.display = sweep and not (narrow and page is self.table)
        self._side.set_class(not sweep or (narrow and page is self.table), "-page")
        self.figure.display = not narrow or page is self.figure
        self.theorem.display = self.theory and (not narrow or page is self.theorem)
        self.table.display = not narrow or page is self.table
        self._drawn = self._tabled = None
        self.show()

    def _status(self) -> Status:
        experiment = self.experiment
        trials = len(experiment.points) * len(experiment.methods) * experiment.seeds
        what = f"sweep over {experiment.over}" if experiment.over else "not a sweep: a single point"
        return self.status(f"{what} · {len(self.view.results) if self.view else 0}/{trials} trials")

    # --- the cursor --------------------------------------------------------------------------------------------------

    def _select(self, point: int) -> None:
        self.selected = point
        self.show()

    def action_select(self, by: int) -> None:
        """Points stand on the axis in the order of their values, which need not be the sweep's."""
        if self.view is not None:
            order = np.argsort(self.view.places, kind="stable").tolist()
            place = order.index(self.selected) + by
            self._select(order[min(max(0, place), len(order) - 1)])

    def action_select_end(self, end: int) -> None:
        if self.view is not None:
            self._select(int(np.argsort(self.view.places, kind="stable")[end]))

    def on_point_chosen(self, event: PointChosen) -> None:
        self._select(event.point)

    def action_explore(self) -> None:
        if self.view is not None:
            self.lab.explore.show_point(self.selected)
            self.app.switch_mode("explore")

    # --- figures -----------------------------------------------------------------------------------------------------

    def action_log_y(self) -> None:
        figure = self.page if isinstance(self.page, Pane) else self.figure
        figure.log_y = not figure.log_y
        self.show()

    def action_theory(self) -> None:
        view = self.view
        if view is None or not view.is_sweep or (not self.theory and theorem_of(view.experiment) is None):
            self.notify("theory: sweeps over model.width (with Prior and G&C) or model.depth (with G&C) only")
            return
        self.theory = not self.theory
        self._page = 1 if self.theory and self.narrow else 0
        self._arrange()

    def action_threshold(self, by: int) -> None:
        """By a bin of the histograms."""
        if (measured := self.measured) is not None:
            self._edge = min(max(1, measured.edge + by), LAST_EDGE)
            self.show()

    def action_page(self, by: int) -> None:
        self._page = (self._page + by) % len(self.pages)
        self._arrange()
        self.set_focus(self.page if isinstance(self.page, Pane) else None)

    # --- away from here ----------------------------------------------------------------------------------------------

    def action_export(self) -> None:
        live, view = self.lab.session.live, self.view
        if live is not None and view is not None:
            self.lab.write_out({f"{live.run.name}-{TABLE_FILE}": as_csv(view).encode()})

    def action_copy(self) -> None:
        if (live := self.lab.session.live) is not None:
            line = shlex.join(command_line(live.run))
            self.app.copy_to_clipboard(line)
            self.notify(line, title="copied")


@cache
def not_a_sweep() -> str:
    """What to do where there is nothing to draw a figure of."""
    names: dict[str, list[str]] = {}
    for name in shipped():
        with suppress(PresetError):
            if over := load(name).over:
                names.setdefault(over, []).append(name)
    several = "; ".join(
        f"over {over}: {', '.join(found[:MOST_NAMES])}{' …' * (len(found) > MOST_NAMES)}"
        for over, found in sorted(names.items(), key=lambda item: len(item[1]))
    )
    return (
        "This run is a single point, not a sweep: there is nothing to draw a figure over. On the first screen, give "
        f"“sweep over” a field and that field several values, or start a preset that sweeps ({several})."
    )
