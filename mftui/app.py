"""The explorer: a run on the screen, its settings beside it. Reads the run's store; a worker process does the work."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Iterable
from typing import ClassVar

from textual import work
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Grid, Horizontal
from textual.screen import Screen
from textual.widgets import Footer

from engine.runs.catalog import RunError
from engine.runs.directory import RunDirectory
from engine.spec.preset import Experiment
from mftui.live import LiveRun
from mftui.views.form import Form
from mftui.views.guesses import GuessesPane
from mftui.views.help_screen import HelpScreen
from mftui.views.losses import Losses
from mftui.views.pane import Pane
from mftui.views.results_screen import ResultsScreen
from mftui.views.singular_values import SingularValues
from mftui.views.status import Status, StatusBar
from mftui.views.trial import running_trial, trial_view

FRAME_SECONDS = 0.25
"""four looks at the store, and at most four frames, a second"""
STOP_SECONDS = 2.0
"""how long a worker may take to stop before we go on without it"""


def _key(key: str, action: str, name: str, meaning: str, *, show: bool = True, display: str | None = None) -> Binding:
    return Binding(key, action, name, show=show, key_display=display, tooltip=meaning)


class Explorer(App[None]):
    """Opening it starts the experiment; quitting it stops the run that goes on."""

    TITLE = "mftui"
    AUTO_FOCUS = None  # letters are keys at once
    HORIZONTAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 (Textual declares it so)
    CSS = """
    Explorer { background: $background; }
    #form { width: 44; }
    #body { height: 1fr; }
    #panes { grid-size: 2 2; grid-rows: 1fr 1fr; width: 1fr; }
    #guesses { column-span: 2; }
    #panes.-zoomed { grid-size: 1 1; }
    #panes.-zoomed Pane { display: none; }
    #panes.-zoomed Pane.-zoomed { display: block; column-span: 1; }
    .-wide #body.-toggled #form { display: none; }
    .-narrow #form { display: none; width: 1fr; }
    .-narrow #body.-toggled #form { display: block; }
    .-narrow #body.-toggled #panes { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        _key("r", "restart", "Start", "start a new run with what is in the form; a run that goes on is stopped"),
        _key("space", "pause", "Pause", "pause, or go on"),
        _key("s", "stop", "Stop", "stop the run; finished trials are kept"),
        _key("T", "results", "Table", "the results so far, as a table"),
        _key("f", "form", "Form", "show or hide the form"),
        _key("y", "log_scale", "Log", "singular values on a log or a linear axis"),
        _key("t", "theory", "Theory", "the singular values that theory predicts, over the measured ones"),
        _key("1", "zoom('singular-values')", "Zoom", "one pane alone, and back", show=False, display="1 2 3"),
        _key("2", "zoom('losses')", "Zoom", "", show=False),
        _key("3", "zoom('guesses')", "Zoom", "", show=False),
        _key("[", "point(-1)", "Point", "previous or next sweep point", show=False, display="[ ]"),
        _key("]", "point(1)", "Point", "", show=False),
        _key("{", "seed(-1)", "Seed", "previous or next seed", show=False, display="{ }"),
        _key("}", "seed(1)", "Seed", "", show=False),
        _key("g", "follow", "Follow", "go back to the trial that is running", show=False),
        _key("escape", "leave", "Leave", "leave the form; show all panes", show=False),
        _key("question_mark", "help", "Help", "this list", display="?"),
        _key("q", "quit", "Quit", "stop the run and leave; where it is and how to go on is printed"),
    ]

    def __init__(self, experiment: Experiment, device: str) -> None:
        super().__init__()
        self.live: LiveRun | None = None
        self._status_bar = StatusBar()
        self._form = Form(experiment, id="form")
        self._singular_values = SingularValues(id="singular-values")
        self._panes: tuple[Pane, ...] = (self._singular_values, Losses(id="losses"), GuessesPane(id="guesses"))
        self._experiment = experiment
        self._device = device
        self._pinned: tuple[int, int] | None = None
        """sweep point and seed chosen by key; None follows the running trial"""
        self._starting = asyncio.Lock()
        self._stopping = False
        self._error = ""

    def compose(self) -> ComposeResult:
        yield self._status_bar
        with Horizontal(id="body"):
            yield self._form
            with Grid(id="panes"):
                yield from self._panes
        yield Footer(compact=True, show_command_palette=True)

    def on_mount(self) -> None:
        self.set_interval(FRAME_SECONDS, self._look)
        self.theme_changed_signal.subscribe(self, lambda _: self._show())
        self._show()
        self._start(self._experiment)

    def on_ready(self) -> None:
        sys.setswitchinterval(0.001)  # 5 ms, the default, is what each file read waits for while a plot is drawn
        gc.collect()
        gc.freeze()  # or each full collection goes through every import and widget: a pause of 90 ms

    @property
    def main(self) -> Screen[None]:
        """The screen under any dialog."""
        return self.screen_stack[0]

    # --- the run -----------------------------------------------------------------------------------------------------

    @work
    async def _start(self, experiment: Experiment) -> None:
        """Stop the run that goes on, if any, and start another. One at a time, or a worker would be lost sight of."""
        async with self._starting:
            await self._stop_and_wait()
            self._error, self._pinned, self._experiment = "", None, experiment
            try:
                run = await asyncio.to_thread(RunDirectory.create, experiment, self._device)
                self.live = await asyncio.to_thread(LiveRun.start, run)
                self._form.adopt(experiment)
            except (RunError, OSError) as error:
                self._error = str(error)
            self._show()

    async def _stop_and_wait(self) -> None:
        if (live := self.live) is None or live.over:
            return
        self._stopping = True
        self._show()
        if await self._ask(live.stop):
            await asyncio.to_thread(live.wait, STOP_SECONDS)
            live.poll()
        self._stopping = False

    async def _ask(self, request: Callable[[], None]) -> bool:
        """Requests are written to disk and synced, which may take longer than a key press should."""
        try:
            await asyncio.to_thread(request)
        except OSError as error:
            self.notify(f"can't ask the worker: {error.strerror or error}", severity="error")
            return False
        return True

    def _look(self) -> None:
        if self.live is None or not self.live.poll():
            return
        if self.live.over:
            self._stopping = False
        self._show()

    # --- the screen --------------------------------------------------------------------------------------------------

    @property
    def shown(self) -> tuple[int, int]:
        """Sweep point and seed on the screen."""
        if self._pinned is not None:
            return self._pinned
        return running_trial(self.live) if self.live else (0, self._experiment.points[0].problem.seed)

    def _show(self) -> None:
        """Bring every widget up to date; each sends only what changed."""
        self._status_bar.show(self._status())
        self._show_panes(*self._panes)
        if self.live is not None and isinstance(self.screen, ResultsScreen):
            self.screen.show(self.live.experiment, self.live.results)

    def _show_panes(self, *panes: Pane) -> None:
        if self.live is not None:
            trial = trial_view(self.live, *self.shown, dark=self.current_theme.dark)
            for pane in panes:
                pane.show(trial)

    def _status(self) -> Status:
        live, experiment = self.live, self.live.experiment if self.live else self._experiment
        point, seed = self.shown
        count, first = len(experiment.points), experiment.points[point].problem.seed
        where = f"{experiment.label(point)} ({point + 1}/{count})" if experiment.over else "single point"
        following = "following" if self._pinned is None else "g: follow the run"
        return Status(
            title=experiment.title,
            state="failed" if self._error else "stopping" if self._stopping else live.state if live else "starting",
            device=live.device if live else self._device,
            shown=f"{where} · seed {seed} ({seed - first + 1}/{experiment.seeds}) · {following}",
            progress=live.progress if live else {},
            message=self._error or (live.message if live else ""),
            dark=self.current_theme.dark,
        )

    # --- keys --------------------------------------------------------------------------------------------------------

    def action_restart(self) -> None:
        if (experiment := self._form.check()) is None:
            self._form.focus_wrong()
            self.notify("the form has something that can't run; it says what", severity="error")
            return
        self._start(experiment)

    def on_form_applied(self) -> None:
        self.action_restart()

    async def action_pause(self) -> None:
        live = self.live
        if live is not None and live.state == "running":
            await self._ask(live.pause)
        elif live is not None and live.state == "paused":
            await self._ask(live.resume)
        else:
            self.notify("only a run that has begun and is not over can be paused")

    async def action_stop(self) -> None:
        if self.live is not None and not self.live.over:
            self._stopping = await self._ask(self.live.stop)
            self._show()

    def action_results(self) -> None:
        results = self.live.results if self.live else []
        self.push_screen(ResultsScreen(self.live.experiment if self.live else self._experiment, results))

    def action_help(self) -> None:
        self.push_screen(HelpScreen([b for b in self.BINDINGS if isinstance(b, Binding) and b.tooltip]))

    def action_form(self) -> None:
        self.main.query_one("#body").toggle_class("-toggled")
        if self._form.display:
            self._form.focus_first()
        else:
            self.main.set_focus(None)

    def action_leave(self) -> None:
        self.main.set_focus(None)
        if self.main.has_class("-narrow"):
            self.main.query_one("#body").remove_class("-toggled")
        self.main.query_one("#panes").remove_class("-zoomed")

    def action_zoom(self, pane_id: str) -> None:
        panes = self.main.query_one("#panes")
        back = panes.has_class("-zoomed") and self.main.query_one(f"#{pane_id}").has_class("-zoomed")
        panes.set_class(not back, "-zoomed")
        for pane in self._panes:
            pane.set_class(pane.id == pane_id and not back, "-zoomed")

    def action_log_scale(self) -> None:
        self._singular_values.log_scale = not self._singular_values.log_scale
        self._show_panes(self._singular_values)

    def action_theory(self) -> None:
        self._singular_values.theory = not self._singular_values.theory
        self._show_panes(self._singular_values)

    def action_point(self, by: int) -> None:
        experiment = self.live.experiment if self.live else self._experiment
        point, seed = self.shown
        offset = seed - experiment.points[point].problem.seed
        point = (point + by) % len(experiment.points)
        self._pinned = (point, experiment.points[point].problem.seed + offset)
        self._show()

    def action_seed(self, by: int) -> None:
        experiment = self.live.experiment if self.live else self._experiment
        point, seed = self.shown
        first = experiment.points[point].problem.seed
        self._pinned = (point, first + (seed - first + by) % experiment.seeds)
        self._show()

    def action_follow(self) -> None:
        self._pinned = None
        self._show()

    async def action_quit(self) -> None:
        async with self._starting:
            await self._stop_and_wait()
        self.exit(message=farewell(self.live) if self.live else self._error or None)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        for binding in self.BINDINGS:
            if isinstance(binding, Binding) and binding.tooltip and "(" not in binding.action:
                yield SystemCommand(binding.description, binding.tooltip, getattr(self, f"action_{binding.action}"))


def farewell(live: LiveRun) -> str:
    """Where the run is, and how to go on with one that isn't finished."""
    where = f"{live.run.name}: {live.state}, in {live.run.path}"
    return where if live.state == "finished" else f"{where}\ngo on with: mftui resume {live.run.name}"
