"""The talk as a sequence of pages: text at the left, a preset at work at the right."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from typing import ClassVar

import numpy as np
from rich.style import Style
from rich.table import Table
from rich.text import Text
from textual import events, work
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from engine.results import summarize
from engine.runs.catalog import RunError
from engine.spec.experiment import Experiment
from engine.spec.preset import load
from engine.spec.settings import METHOD_LABELS
from mftui.figures.collect import stored
from mftui.formatting import NOTHING, format_acceptance, format_loss
from mftui.live import LiveRun
from mftui.screens.base import LabScreen, key
from mftui.session import Session
from mftui.tour import EMPHASIS, Page, layout, pages
from mftui.views.guesses import GuessesPane
from mftui.views.losses import Losses
from mftui.views.matrices import Matrices, at_cursor, target
from mftui.views.pane import Pane
from mftui.views.ranks import Ranks
from mftui.views.roles import color
from mftui.views.singular_values import SingularValues
from mftui.views.status import progress_text
from mftui.views.trial import Look, TrialView, running_trial, trial_view

FIRST_WIDTH = 60
"""cells, until it is known how many there are"""


class ResultsPane(Pane):
    """The median generalization loss of each method at each sweep point, as far as there are results."""

    DEFAULT_CSS = "ResultsPane .results { padding: 0 1; height: auto; }"
    name_of_pane = "generalization loss (median over the data sets)"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.table = Static(classes="results")

    def content(self) -> list[Widget]:
        return [self.table]

    def show(self, trial: TrialView, look: Look) -> None:
        """Shows the whole run, see `show_results`."""

    def show_results(self, live: LiveRun) -> None:
        self.table.update(results(live, self.app.current_theme.dark))


class RatingsPane(Pane):
    """A small matrix in numbers, as seen and as gradient descent fills it in at this moment."""

    DEFAULT_CSS = "RatingsPane .ratings { padding: 0 1; height: auto; }"
    name_of_pane = "in numbers: seen, and W"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.table = Static(classes="ratings")

    def content(self) -> list[Widget]:
        return [self.table]

    def show(self, trial: TrialView, look: Look) -> None:
        if (found := at_cursor(trial, look)) is None:
            return
        step, matrix = found
        wanted, _, _ = target(trial)
        table = Table.grid(padding=(0, 2))
        for _ in range(2 * matrix.shape[1] + 1):
            table.add_column(justify="right", no_wrap=True)
        for seen, filled in zip(wanted, matrix, strict=True):
            known = ("?" if np.isnan(value) else f"{value:.2f}" for value in seen)
            bold = (Style(bold=bool(np.isnan(value))) for value in seen)
            guessed = (Text(f"{value:.2f}", style=style) for value, style in zip(filled, bold, strict=True))
            table.add_row(*known, "  →  ", *guessed)
        self.table.update(table)
        self.subtitle(f"step {step:,.0f}")


class PageText(Static):
    """A page, laid out anew for each width."""

    DEFAULT_CSS = "PageText { width: 1fr; height: auto; text-wrap: nowrap; }"

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._laid: tuple[Page, bool, int] | None = None

    def show(self, page: Page, dark: bool) -> None:
        if self._laid != (laid := (page, dark, self.size.width or FIRST_WIDTH)):
            self._laid = laid
            self._lay(*laid)

    def on_resize(self) -> None:
        if self._laid is not None:
            self.show(*self._laid[:2])

    def _lay(self, page: Page, dark: bool, width: int) -> None:
        styles = {"heading": Style(bold=True), "formula": Style(color=color("gd", dark))}
        text = Text(no_wrap=True)
        text.append(f"{page.number}/{len(pages())} · {page.title}\n", style=Style(bold=True, underline=True))
        for kind, line in layout(page.blocks, width):
            style, end = styles.get(kind, Style.null()), 0
            for term in EMPHASIS.finditer(line):
                text.append(line[end : term.start()], style=style).append(term[1], style=Style(bold=True))
                end = term.end()
            text.append(f"{line[end:]}\n", style=style)
        self.update(text)


PANES: dict[str, type[Pane]] = {
    "singular values": SingularValues,
    "losses": Losses,
    "guesses": GuessesPane,
    "matrices": Matrices,
    "ranks": Ranks,
    "ratings": RatingsPane,
    "results": ResultsPane,
}
"""as pages name them"""


class TourScreen(LabScreen):
    mode = "tour"
    CSS = """
    TourScreen #tour { height: 1fr; }
    TourScreen #page { width: 50%; max-width: 80; padding: 0 2; scrollbar-size-vertical: 1; }
    TourScreen #beside { width: 1fr; }
    TourScreen #beside ResultsPane, TourScreen #beside RatingsPane { height: auto; max-height: 60%; }
    TourScreen #run { height: 1; padding: 0 1; background: $panel; }
    TourScreen.-narrow #page { width: 1fr; }
    TourScreen.-narrow #beside { display: none; }
    TourScreen.-narrow #tour.-panes #page { display: none; }
    TourScreen.-narrow #tour.-panes #beside { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        key("n,right,l", "turn(1)", "Next", "next page; its preset starts", display="n →"),
        key("p,left,h", "turn(-1)", "Previous", "previous page", display="p ←"),
        key("home", "go(1)", "First", "first page", show=False),
        key("end", "go(99)", "Last", "last page", show=False),
        key("r", "restart", "Run", "run this page's preset again"),
        key("enter", "open", "Open", "hand this page's run over to Explore"),
        key("tab", "side", "Text/plots", "on a small screen: the text, or the run beside it"),
        key("up,k", "scroll_text(-1)", "Scroll", "scroll the text back", display="↑↓"),
        key("down,j", "scroll_text(1)", "Scroll down", "scroll the text", show=False, display="↓"),
        key("pageup", "scroll_pages(-1)", "Page up", "scroll the text back by a screenful", show=False),
        key("pagedown,space", "scroll_pages(1)", "Page down", "scroll the text by a screenful", show=False),
        key("left_square_bracket", "point(-1)", "Point", "previous sweep point", display="[ ]"),
        key("right_square_bracket", "point(1)", "Next point", "next sweep point", show=False, display="]"),
        key("g", "follow", "Follow", "go back to the sweep point that is running", show=False),
        key("y", "log_y", "Log y", "the first pane on a log or a linear axis", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.number = 1
        self._text = PageText()
        self._scroll = VerticalScroll(self._text, id="page", can_focus=False)
        self._beside = Vertical(id="beside")
        self._run = Static(id="run", markup=False)
        self._panes: tuple[Pane, ...] = ()
        self._positions: dict[int, float] = {}
        self._point: int | None = None
        self._error = ""
        """why the last start failed"""

    def body(self) -> list[Widget]:
        return [Horizontal(self._scroll, self._beside, id="tour"), self._run]

    @property
    def page(self) -> Page:
        return pages()[self.number - 1]

    @property
    def session(self) -> Session:
        """The Tour's own: what Explore shows stays, and goes on."""
        return self.lab.tour_session

    @property
    def live(self) -> LiveRun | None:
        """The run of this page's preset; None before it has begun."""
        live = self.session.live
        return live if live is not None and live.experiment == _shipped(self.page.preset) else None

    # --- pages -------------------------------------------------------------------------------------------------------

    async def on_mount(self) -> None:
        await self._open_page()

    async def action_turn(self, by: int) -> None:
        await self.action_go(self.number + by)

    async def action_go(self, number: int) -> None:
        number = min(max(1, number), len(pages()))
        if number != self.number:
            self._positions[self.number] = self._scroll.scroll_y
            self.number = number
            await self._open_page()

    async def _open_page(self) -> None:
        self._point = None
        await self._beside.remove_children()
        self._panes = tuple(PANES[name]() for name in self.page.panes)
        await self._beside.mount_all(self._panes)
        if isinstance(self._panes[0], SingularValues):
            self._panes[0].log_y = False
        self._lay_out()
        place = self._positions.get(self.number, 0.0)
        self.call_after_refresh(lambda: self._scroll.scroll_to(y=place, animate=False, force=True))
        if self.is_current:  # it may be made before anybody goes to it
            self._start()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._lay_out)

    def _lay_out(self) -> None:
        self._text.show(self.page, self.lab.current_theme.dark)
        self.show()

    # --- the run -----------------------------------------------------------------------------------------------------

    @work(exclusive=True)
    async def _start(self) -> None:
        """Show the page's preset as Explore has it, or a finished run of it; else begin one."""
        experiment, shown = _shipped(self.page.preset), self.lab.session.live
        if shown is not None and shown.experiment == experiment and (not shown.over or shown.state == "finished"):
            self._enter(lambda: self.session.watch(shown.run))
            return
        found = await asyncio.to_thread(stored, experiment)
        if found is not None and found[1] == "finished":
            self._enter(lambda: self.session.watch(found[0]))
        else:
            self._begin(experiment)

    def _begin(self, experiment: Experiment) -> None:
        self.session.device = self.lab.session.device
        self._enter(lambda: self.session.start(experiment, in_passing=True))

    @work(group="enter")
    async def _enter(self, enter: Callable[[], Awaitable[None]]) -> None:
        """To its end, whatever page is turned to."""
        self._error = ""
        try:
            await enter()
        except (RunError, OSError) as error:
            self._error = str(error)
        self.show()
        self.lab.keep_spare()

    def action_restart(self) -> None:
        self.workers.cancel_group(self, "default")
        self._begin(_shipped(self.page.preset))

    def action_open(self) -> None:
        self._open()

    @work(group="open", exclusive=True)
    async def _open(self) -> None:
        """Hand the run over to Explore, unless that has it; without one, start it there."""
        live, shown = self.live, self.lab.session.live
        if live is None or shown is None or live.run.path != shown.run.path:
            if not await self.lab.may_leave():
                return
            if self.live is None:
                self.lab.begin(_shipped(self.page.preset))
            else:
                await self.lab.take_over()
        await self.lab.switch_mode("explore")

    def on_screen_resume(self) -> None:
        if self._panes:
            self._start_unless_there()

    def _start_unless_there(self) -> None:
        if self.live is None:
            self._start()

    # --- what is shown -----------------------------------------------------------------------------------------------

    def show(self) -> None:
        if not self.is_mounted:
            return
        self._run.update(self._status(), layout=False)
        if (live := self.live) is None:
            return
        first = live.experiment.points[0].problem.seed
        point, seed = running_trial(live) if self._point is None else (self._point, first)
        trial = trial_view(live, point, seed)
        look = Look(theory=True, colored=not self.app.no_color)
        for pane in self._panes:
            if isinstance(pane, ResultsPane):
                pane.show_results(live)
            elif pane.is_mounted:
                pane.show(trial, look)

    def _status(self) -> Text:
        narrow = "tab: the text · " if self.query_one("#tour").has_class("-panes") else "tab: the plots · "
        text = Text(narrow if self.has_class("-narrow") else "", no_wrap=True, overflow="ellipsis")
        dark = self.lab.current_theme.dark
        if self._error:
            return text.append(self._error, style=Style(color=color("bad", dark), bold=True))
        if (live := self.live) is None:
            return text.append(f"{self.page.preset} · starting")
        point = running_trial(live)[0] if self._point is None else self._point
        label = f" · {live.experiment.label(point)}" if live.experiment.over else ""
        text.append(f"{live.experiment.name} · {live.state}{label}  ")
        text.append_text(progress_text(live.progress, live.done, dark))
        return text.append(f"  {live.message}" if live.message else "")

    def action_point(self, by: int) -> None:
        if (live := self.live) is None:
            return
        point = running_trial(live)[0] if self._point is None else self._point
        self._point = (point + by) % len(live.experiment.points)
        self.show()

    def action_follow(self) -> None:
        self._point = None
        self.show()

    def action_log_y(self) -> None:
        pane = next((pane for pane in self._panes if pane.can_log_y), None)
        if pane is not None:
            pane.log_y = not pane.log_y
            self.show()

    # --- reading -----------------------------------------------------------------------------------------------------

    def action_scroll_text(self, by: int) -> None:
        self._scroll.scroll_relative(y=by, animate=False)

    def action_scroll_pages(self, by: int) -> None:
        self._scroll.scroll_relative(y=by * max(1, self._scroll.size.height - 2), animate=False)

    def action_side(self) -> None:
        self.query_one("#tour").toggle_class("-panes")
        self.call_after_refresh(self._lay_out)


@cache
def _shipped(name: str) -> Experiment:
    """Read once: every frame asks for it."""
    return load(name)


def results(live: LiveRun, dark: bool) -> Table:
    """A row per sweep point; with Guess & Check, how rare a fit is."""
    experiment = live.experiment
    table = Table.grid(padding=(0, 2))
    table.add_column("", no_wrap=True)
    for _ in range(len(experiment.methods) + 1):
        table.add_column(justify="right", no_wrap=True)
    heads = [Text(METHOD_LABELS[method], style=color(method, dark)) for method in experiment.methods]
    rare = "gnc" in experiment.methods
    table.add_row("", *heads, *(["log10 P(fit)"] if rare else []))
    found = {(row.point, row.method): row for row in summarize(experiment, live.results)}
    for point in range(len(experiment.points)):
        cells = []
        for method in experiment.methods:
            row = found.get((point, method))
            cells.append(format_loss(row.generalization_loss[1]) if row and row.generalization_loss else NOTHING)
        gnc = found.get((point, "gnc"))
        acceptance = [format_acceptance(gnc.acceptance if gnc else None)] if rare else []
        table.add_row(experiment.label(point), *cells, *acceptance)
    return table
