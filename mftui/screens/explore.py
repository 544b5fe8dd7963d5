"""The laboratory bench: a form at the left, the panes of one trial at the right, all at the same moment of the run."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import ClassVar

import numpy as np
from textual.binding import BindingType
from textual.containers import Grid, Horizontal
from textual.dom import DOMNode
from textual.widget import Widget

from engine.spec.experiment import Experiment
from mftui.command import command_line
from mftui.screens.base import LabScreen, key
from mftui.views.alignment import Alignment
from mftui.views.canvas_view import CanvasView
from mftui.views.event_log import EventLog
from mftui.views.form import Form
from mftui.views.guesses import GuessesPane
from mftui.views.losses import Losses
from mftui.views.matrices import Matrices
from mftui.views.pane import Pane
from mftui.views.ranks import Ranks
from mftui.views.replay import TICK_SECONDS, Replay
from mftui.views.singular_values import SingularValues
from mftui.views.status import Status, StatusBar
from mftui.views.trial import Look, TrialView, running_trial, trial_view

LAYOUTS: dict[str, tuple[type[Pane], ...]] = {
    "overview": (SingularValues, Losses, GuessesPane, Ranks),
    "matrix": (SingularValues, Matrices, Alignment, Ranks),
    "run": (SingularValues, Losses, GuessesPane, EventLog),
    "all": (SingularValues, Losses, Ranks, GuessesPane, Matrices, Alignment, EventLog),
}
ZOOM = 2.0
PAN = 0.25
"""of the window"""
JUMP = 20
"""log points that shift makes of one"""
RESTS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
"""seconds between two steps"""


class ExploreScreen(LabScreen):
    mode = "explore"
    CSS = """
    ExploreScreen #form { width: 44; }
    ExploreScreen #body { height: 1fr; }
    ExploreScreen #panes { grid-size: 2; grid-gutter: 0; width: 1fr; height: 1fr; }
    ExploreScreen.-wide #body.-toggled #form { display: none; }
    ExploreScreen.-narrow #form { display: none; width: 1fr; }
    ExploreScreen.-narrow #body.-toggled #form { display: block; }
    ExploreScreen.-narrow #body.-toggled #panes { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        key("r", "restart", "Run", "start a new run with what is in the form; a run that goes on is stopped"),
        key("enter", "apply", "Start changed", "start what was changed in the form", show=False),
        key("space", "pause", "Pause", "pause, or go on; replay a run that is over"),
        key("full_stop", "step", "Step", "pause, and make one step of each method", display="."),
        key("s", "stop", "Stop", "stop the run; it can be resumed"),
        key(
            "plus,equals_sign",
            "pace(-1)",
            "Faster",
            "less rest between two steps; faster replay",
            show=False,
            display="+",
        ),
        key("minus", "pace(1)", "Slower", "more rest between two steps; slower replay", show=False, display="-"),
        key("f", "form", "Form", "go to the form, or hide it; escape leaves it"),
        key("v", "layout", "Layout", f"another set of panes: {', '.join(LAYOUTS)}"),
        key("z", "zoom", "Zoom", "the chosen pane alone, and back"),
        key("tab", "pane(1)", "Next pane", "next pane", show=False),
        key("shift+tab", "pane(-1)", "Previous pane", "previous pane", show=False),
        key("up,k", "scroll(-1)", "Scroll up", "the event log: earlier lines", show=False, display="↑"),
        key("down,j", "scroll(1)", "Scroll down", "the event log: later lines", show=False, display="↓"),
        key("pageup", "scroll_pages(-1)", "Page up", "the event log: a page back", show=False),
        key("pagedown", "scroll_pages(1)", "Page down", "the event log: a page on", show=False),
        key("left,h", "cursor(-1)", "Scrub", "back in time by a log point", display="←→"),
        key("right,l", "cursor(1)", "Scrub forward", "on in time by a log point", show=False, display="→"),
        key(
            "shift+left,H",
            f"cursor(-{JUMP})",
            "Scrub far back",
            "back by twenty log points",
            show=False,
            display="shift+←",
        ),
        key(
            "shift+right,L",
            f"cursor({JUMP})",
            "Scrub far forward",
            "on by twenty log points",
            show=False,
            display="shift+→",
        ),
        key("home", "cursor_end(0)", "First", "first log point", show=False),
        key("end,escape", "leave", "Live", "one thing after the other: the form, the moment, the zoom", show=False),
        key("left_square_bracket", "point(-1)", "Previous point", "previous sweep point", show=False, display="["),
        key("right_square_bracket", "point(1)", "Next point", "next sweep point", show=False, display="]"),
        key("left_curly_bracket", "seed(-1)", "Previous seed", "previous data set", show=False, display="{"),
        key("right_curly_bracket", "seed(1)", "Next seed", "next data set", show=False, display="}"),
        key("g", "follow", "Follow", "go back to the trial that is running", show=False),
        key("y", "log_y", "Log y", "the chosen pane on a log or a linear axis"),
        key("x", "log_x", "Log x", "steps on a log or a linear axis", show=False),
        key("i", "window_zoom(1)", "Zoom in", "zoom into the steps around the cursor", show=False),
        key("o", "window_zoom(-1)", "Zoom out", "zoom out again", show=False),
        key("comma", "window_pan(-1)", "Earlier", "pan to earlier steps", show=False, display=","),
        key("semicolon", "window_pan(1)", "Later", "pan to later steps", show=False, display=";"),
        key("0", "window_reset", "All steps", "all steps", show=False),
        key("m", "smooth", "Smooth", "running medians, on or off", show=False),
        key("n", "next_view", "View", "ranks pane: ranks, norms, layers, distances", show=False),
        key("t", "theory", "Theory", "the singular values' predicted course, on or off"),
        key("p", "pin", "Pin", "keep this trial's curves under those of others, or no longer", show=False),
        key("c", "copy", "Copy", "copy the command line that runs what is on the screen"),
        key("D", "detach", "Detach", "leave, and let the run go on"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.look = Look()
        self._status_bar = StatusBar()
        self._panes: tuple[Pane, ...] = tuple(kind(id=kind.__name__.lower()) for kind in LAYOUTS["all"])
        self._layout = "overview"
        self._zoomed = False
        self._alone = False
        """whether one pane is shown at a time"""
        self._rest = 0
        self.replay = Replay()
        self._chosen: tuple[int, int] | None = None
        """sweep point and seed chosen by key; None follows the running trial"""

    def body(self) -> list[Widget]:
        self.form = Form(self.lab.experiment, self.lab.session.device, id="form")
        self._grid = Grid(*self._panes, id="panes")
        return [self._status_bar, Horizontal(self.form, self._grid, id="body")]

    def on_mount(self) -> None:
        self._arrange()
        self._ticks = self.set_interval(TICK_SECONDS, self._tick, pause=True)

    def on_screen_suspend(self) -> None:
        self._play(on=False)

    def on_resize(self) -> None:
        self._arrange()

    # --- what is shown -----------------------------------------------------------------------------------------------

    @property
    def shown(self) -> tuple[int, int]:
        """Sweep point and seed on the screen."""
        live = self.lab.session.live
        if self._chosen is not None:
            return self._chosen
        return running_trial(live) if live else (0, self.experiment.points[0].problem.seed)

    @property
    def trial(self) -> TrialView | None:
        live = self.lab.session.live
        return trial_view(live, *self.shown) if live else None

    @property
    def visible_panes(self) -> list[Pane]:
        return [pane for pane in self._panes if pane.display]

    @property
    def pane(self) -> Pane:
        """The chosen one."""
        return self.focused if isinstance(self.focused, Pane) and self.focused.display else self.visible_panes[0]

    def show(self) -> None:
        if not self.is_mounted:
            return
        self._status_bar.show(self._status())
        if (trial := self.trial) is None:
            return
        for pane in self.visible_panes:
            if self.lab.yields():
                return
            self._show_in(pane, trial)

    def _show_in(self, pane: Pane, trial: TrialView) -> None:
        pane.show(trial, replace(self.look, colored=not self.app.no_color))

    def _show_again(self, pane: Pane) -> None:
        """One that looks at the trial in another way: a key does not wait for the others."""
        if (trial := self.trial) is not None:
            self._show_in(pane, trial)

    @property
    def key_owners(self) -> list[DOMNode]:
        return [self, self.form.list]

    def take_up(self) -> None:
        """Begin anew, for something was started or opened: the form's changes are measured against it."""
        self._rest, self._chosen = 0, None
        self._play(on=False)
        self.look = Look(theory=self.look.theory, log_x=self.look.log_x, pinned=self.look.pinned)
        self.form.adopt(self.lab.experiment, self.lab.session.device)

    def edit(self, experiment: Experiment) -> None:
        """Put an experiment into the form, without starting it."""
        self.form.adopt(experiment, self.form.device)
        self.query_one("#body").set_class(self.has_class("-narrow"), "-toggled")
        self.call_after_refresh(self.form.focus_first)

    def _status(self) -> Status:
        experiment = self.experiment
        point, seed = self.shown
        count, first = len(experiment.points), experiment.points[point].problem.seed
        where = f"{experiment.label(point)} ({point + 1}/{count})" if experiment.over else "single point"
        following = "following" if self._chosen is None else "g: follow the run"
        at = "" if self.look.cursor is None or (trial := self.trial) is None else trial.moment(self.look)
        playing = f"{self.replay}, " if self.replay.playing else ""
        moment = at and f"{playing}{at}, escape: latest · "
        return self.status(f"{moment}{where} · seed {seed} ({seed - first + 1}/{experiment.seeds}) · {following}")

    def _arrange(self) -> None:
        """Panes of the layout: all side by side where there is room, else one at a time."""
        if not self.is_mounted:
            return
        kinds = LAYOUTS[self._layout]
        chosen = self.focused if isinstance(self.focused, Pane) else None
        self._alone = alone = self._zoomed or self.has_class("-narrow") or self.size.width < 110
        members = [pane for pane in self._panes if isinstance(pane, kinds)]
        if chosen not in members:
            chosen = members[0]
        for pane in self._panes:
            pane.display = pane in members and (not alone or pane is chosen)
        for number, pane in enumerate(members, 1):
            place = f" · {self._layout} {number}/{len(members)}, tab" if alone else ""
            pane.border_title = pane.name_of_pane + (place or (f" · {self._layout}, v" if number == 1 else ""))
        shown = 1 if alone else len(members)
        columns = 1 if shown == 1 else 2 if shown <= 4 else 3
        self._grid.styles.grid_size_columns = columns
        self._grid.styles.grid_size_rows = -(-shown // columns)
        self.show()

    # --- the run -----------------------------------------------------------------------------------------------------

    def action_restart(self) -> None:
        if (experiment := self.form.check()) is None:
            self.form.focus_wrong()
            self.notify("the form has something that can't run; it says what", severity="error")
            return
        self.lab.session.device = self.form.device
        self.lab.begin(experiment)

    async def action_apply(self) -> None:
        if self.form.draft.changed:
            await self.on_form_applied()
        else:
            self.notify("nothing was changed in the form; r runs it again")

    async def on_form_applied(self) -> None:
        """What can change in flight does, the rest begins anew."""
        live, experiment = self.lab.session.live, self.form.check()
        here = self.form.device == self.lab.session.device
        if live is not None and not live.over and experiment is not None and here:
            in_force = {live.learning_rate(point) for point in range(len(live.experiment.points))}
            rate = new_learning_rate(live.experiment, experiment, in_force)
            if rate is not None:
                await self.lab.ask("learning_rate", rate)
                self.form.adopt(experiment, self.form.device)
                return
        self.action_restart()

    async def action_pause(self) -> None:
        live = self.lab.session.live
        if live is not None and live.state in ("running", "paused"):
            await self.lab.ask("pause" if live.state == "running" else "continue")
        elif self._can_replay:
            self._play(on=not self.replay.playing)
            self.show()
        else:
            self.notify("there is nothing to pause or to replay yet")

    async def action_step(self) -> None:
        await self.lab.ask("step")

    async def action_stop(self) -> None:
        await self.lab.ask("stop")
        self.show()

    async def action_pace(self, by: int) -> None:
        """One of `RESTS` more, or less; of `SPEEDS` where the run is over."""
        if self._can_replay:
            self.replay.hasten(-by)
            self.notify(str(self.replay), timeout=2)
            return
        self._rest = min(max(0, self._rest + by), len(RESTS) - 1)
        await self.lab.ask("rest", RESTS[self._rest])
        self.notify(f"{RESTS[self._rest]:g} s of rest between two steps" if self._rest else "full speed", timeout=2)

    def action_detach(self) -> None:
        self.lab.leave_running()

    # --- replay ------------------------------------------------------------------------------------------------------

    @property
    def _can_replay(self) -> bool:
        live, trial = self.lab.session.live, self.trial
        return live is not None and live.over and trial is not None and len(trial.moments) > 1

    def _play(self, *, on: bool) -> None:
        self.replay.playing = on
        if on:
            if self.look.cursor is None:
                self.action_cursor_end(0)
            self._ticks.resume()
        else:
            self._ticks.pause()

    def _tick(self) -> None:
        """Go on by what is due; shown if the link has room for it."""
        if not self._can_replay or self.look.cursor is None or (trial := self.trial) is None:
            self._play(on=False)
            return
        row = self.replay.next(self.look.row(trial.moments), len(trial.moments))
        self.look = replace(self.look, cursor=None if row is None else float(trial.moments[row]))
        if row is None:
            self._play(on=False)
        if row is None or self.lab.governor.has_room():
            self.show()

    # --- moments and windows -----------------------------------------------------------------------------------------

    def action_cursor(self, by: int) -> None:
        if (trial := self.trial) is None or len(moments := trial.moments) < 2:
            return
        row = self.look.row(moments) % len(moments) + by
        at = None if row >= len(moments) else float(moments[max(0, row)])
        self._look(replace(self.look, cursor=at))

    def action_cursor_end(self, row: int) -> None:
        if (trial := self.trial) is not None and len(trial.moments):
            self._look(replace(self.look, cursor=float(trial.moments[row])))

    def on_canvas_view_pointed(self, event: CanvasView.Pointed) -> None:
        trial = self.trial
        if trial is None or isinstance(self.pane, GuessesPane) or not len(trial.curve):
            return
        steps = trial.curve[:, 0]
        self._look(replace(self.look, cursor=float(steps[np.abs(steps - event.x).argmin()])))

    def action_window_zoom(self, by: int) -> None:
        if (trial := self.trial) is None or not len(trial.curve):
            return
        end = float(trial.curve[-1, 0]) or 1.0
        low, high = self.look.window or (0.0, end)
        middle = self.look.cursor if self.look.cursor is not None else (low + high) / 2
        half = (high - low) / 2 * (1 / ZOOM if by > 0 else ZOOM)
        window = (max(0.0, middle - half), min(end, middle + half))
        self._look(replace(self.look, window=None if window == (0.0, end) else window))

    def action_window_pan(self, by: int) -> None:
        if self.look.window is not None:
            low, high = self.look.window
            shift = max(-low, by * PAN * (high - low))
            self._look(replace(self.look, window=(low + shift, high + shift)))

    def action_window_reset(self) -> None:
        self._look(replace(self.look, window=None))

    def action_log_x(self) -> None:
        self._look(replace(self.look, log_x=not self.look.log_x))

    def action_log_y(self) -> None:
        if self.pane.can_log_y:
            self.pane.log_y = not self.pane.log_y
            self._show_again(self.pane)
        else:
            self.notify(f"{self.pane.name_of_pane}: there is no other y axis", timeout=2)

    def action_smooth(self) -> None:
        self._look(replace(self.look, smoothed=not self.look.smoothed))

    def action_theory(self) -> None:
        self._look(replace(self.look, theory=not self.look.theory))

    def action_pin(self) -> None:
        """One trial at a time, as far as it has come."""
        if (trial := self.trial) is None or not ("gd" in trial.methods or self.look.pinned):
            self.notify("there is no curve to pin")
            return
        self._look(replace(self.look, pinned=None if self.look.pinned else trial))
        told = f"pinned {trial.key[0]}, {self.experiment.label(trial.key[1])}, seed {trial.key[2]}; p unpins it"
        self.notify(told if self.look.pinned else "unpinned", timeout=3)

    def action_next_view(self) -> None:
        for pane in self._panes:
            if pane.next_view():
                self._show_again(pane)

    def _look(self, look: Look) -> None:
        self.look = look
        self.show()

    # --- panes -------------------------------------------------------------------------------------------------------

    def action_pane(self, by: int) -> None:
        members = [pane for pane in self._panes if isinstance(pane, LAYOUTS[self._layout])]
        here = isinstance(self.focused, Pane) or (self.focused is None and self._alone)
        chosen = members[(members.index(self.pane) + by) % len(members)] if here else self.pane
        if self.has_class("-narrow"):
            self.query_one("#body").remove_class("-toggled")
        chosen.display = True
        self.set_focus(chosen)  # at once, as the arrangement depends on it
        self._arrange()

    def action_scroll(self, by: int) -> None:
        self.query_one(EventLog).scroll_lines(by)

    def action_scroll_pages(self, by: int) -> None:
        self.query_one(EventLog).scroll_pages(by)

    def action_layout(self) -> None:
        names = list(LAYOUTS)
        self._layout = names[(names.index(self._layout) + 1) % len(names)]
        self._zoomed = False
        self._arrange()

    def action_zoom(self) -> None:
        chosen = self.pane
        self._zoomed = not self._zoomed
        self.set_focus(chosen)
        self._arrange()

    def action_form(self) -> None:
        """Into the form; from there, hide it."""
        if not self.form.display or self.form.has_focus_within:
            self.query_one("#body").toggle_class("-toggled")
        if self.form.display:
            self.form.focus_first()
        else:
            self.set_focus(None)

    def action_leave(self) -> None:
        """One thing after the other: the form, the moment, the zoom."""
        if self.focused is not None and not isinstance(self.focused, Pane):
            self.set_focus(None)
            if self.has_class("-narrow"):
                self.query_one("#body").remove_class("-toggled")
        elif self.look.cursor is not None:
            self._look(replace(self.look, cursor=None))
        elif self._zoomed:
            self._zoomed = False
            self._arrange()
        else:
            self.set_focus(None)
            self._look(replace(self.look, window=None))

    def action_copy(self) -> None:
        if (live := self.lab.session.live) is None:
            return
        line = shlex.join(command_line(live.run))
        self.app.copy_to_clipboard(line)
        if live.rate_changed_at is None:
            self.notify(line, title="copied")
        else:
            changed = f"the learning rate was changed in flight, lastly at step {live.rate_changed_at:,}"
            self.notify(f"{line}\n{changed}: no command repeats that", title="copied: the run as it began")

    # --- trials ------------------------------------------------------------------------------------------------------

    def show_point(self, point: int) -> None:
        """Its first data set, until another trial is chosen."""
        self._chosen = (point, self.experiment.points[point].problem.seed)

    def action_point(self, by: int) -> None:
        experiment = self.experiment
        point, seed = self.shown
        offset = seed - experiment.points[point].problem.seed
        point = (point + by) % len(experiment.points)
        self._chosen = (point, experiment.points[point].problem.seed + offset)
        self.show()

    def action_seed(self, by: int) -> None:
        experiment = self.experiment
        point, seed = self.shown
        first = experiment.points[point].problem.seed
        self._chosen = (point, first + (seed - first + by) % experiment.seeds)
        self.show()

    def action_follow(self) -> None:
        self._chosen = None
        self.show()


def new_learning_rate(old: Experiment, new: Experiment, in_force: set[float | None]) -> float | None:
    """The learning rate of `new`, if it is a number, not the one in force, and all that `old` differs in; else None.

    `in_force`: those of the sweep points now, None where it is found by itself.
    """
    rates = {point.gd.learning_rate for point in new.points}
    rate = rates.pop()
    if rates or not isinstance(rate, float) or len(old.points) != len(new.points):
        return None
    as_new = [
        point.model_copy(update={"gd": point.gd.model_copy(update={"learning_rate": rate})}) for point in old.points
    ]
    same = (as_new, old.methods, old.seeds) == (list(new.points), new.methods, new.seeds)
    return rate if same and in_force != {rate} else None
