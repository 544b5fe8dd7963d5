"""What all panes have in common: a titled frame that can be chosen, something drawn, a note for what went wrong."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Static

from mftui.canvas import Axis, from_zero, sticky_limits
from mftui.canvas.axis import Scale
from mftui.canvas.limits import Limits
from mftui.views.canvas_view import CanvasView
from mftui.views.trial import Floats, Look, TrialView


class Pane(Vertical, can_focus=True):
    """A frame with a canvas and a note; sub-classes turn a trial into a drawing."""

    DEFAULT_CSS = """
    Pane { border: round $foreground 30%; border-title-color: $text; border-subtitle-color: $text-muted;
           height: 1fr; width: 1fr; }
    Pane:focus { border: round $primary; }
    Pane .note { height: auto; padding: 0 1; color: $text-warning; display: none; }
    Pane .note.-shown { display: block; }
    """
    name_of_pane = ""
    """as the user reads it"""
    can_log_y = False

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.canvas = CanvasView()
        self.note = Static(classes="note", markup=False)
        self.log_y = False
        self._limits: dict[str, Limits | None] = {}
        self._key: object = None
        self._said = self._subtitle = ""
        self.border_title = self.name_of_pane

    def compose(self) -> ComposeResult:
        yield from self.content()
        yield self.note

    def content(self) -> list[Widget]:
        """What is above the note."""
        return [self.canvas]

    def show(self, trial: TrialView, look: Look) -> None:
        raise NotImplementedError

    def has_descent(self, trial: TrialView) -> bool:
        """Whether there is gradient descent to show; if there can be none, the pane says so and shows nothing."""
        if "gd" in trial.methods:
            return True
        self.say("no gradient descent in this run")
        self.subtitle("")
        self.canvas.clear()
        return False

    def next_view(self) -> bool:
        """Go on to the next of several views; whether there are such."""
        return False

    def start_anew(self, key: object) -> None:
        """Forget the axes' limits when something else is shown."""
        if key != self._key:
            self._key = key
            self._limits = {}

    def steps_axis(self, steps: Floats, trial: TrialView, look: Look) -> Axis:
        """From 0, in round steps, unless a window is looked at."""
        total = float(trial.settings.gd.steps)
        if look.window is not None:
            low, high = look.window
        else:
            low, high = from_zero(self._limits.get("x"), float(steps.max(initial=1.0)), total)
            self._limits["x"] = low, high
        if look.log_x:
            return Axis(max(low, float(min(trial.settings.gd.log_every, max(high / 10, 1)))), high, "log", "count")
        return Axis(low, high, "linear", "count")

    def y_axis(self, *values: Floats, log: bool, floor: float = 0.0) -> Axis:
        """Around all that is finite (and, on a log axis, above `floor`); its limits move in round steps."""
        lows, highs = [], []
        for each in values:
            shown = each[(each > floor) & (each < float("inf"))] if log else each[abs(each) < float("inf")]
            if shown.size:
                lows.append(float(shown.min()))
                highs.append(float(shown.max()))
        scale: Scale = "log" if log else "linear"
        if not lows:
            return Axis(0.1 if log else 0.0, 1.0, scale)
        key, low = f"{scale} y", min(lows) if log else min(0.0, *lows)
        self._limits[key] = limits = sticky_limits(self._limits.get(key), low, max(highs), scale)
        return Axis(*limits, scale)

    def say(self, message: str) -> None:
        """A note under the plot; empty hides it."""
        if message != self._said:  # an update lays the screen out anew: 30–40 ms
            self._said = message
            self.note.update(message)
            self.note.set_class(bool(message), "-shown")

    def subtitle(self, text: str) -> None:
        """Set the subtitle, in markup; setting one repaints the whole pane, so only a new one."""
        if text != self._subtitle:
            self._subtitle = self.border_subtitle = text
