"""What all panes have in common: a titled frame, a plot, a note for what went wrong, room to zoom."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from mftui.views.axes import Sticky
from mftui.views.plot import Plot
from mftui.views.trial import TrialView


class Pane(Vertical):
    """A frame with a plot and a note; sub-classes turn a trial into a chart."""

    DEFAULT_CSS = """
    Pane { border: round $foreground 30%; border-title-color: $text; height: 1fr; width: 1fr; }
    Pane .note { height: auto; padding: 0 1; color: $text-warning; display: none; }
    Pane .note.-shown { display: block; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.plot = Plot()
        self.note = Static(classes="note", markup=False)
        self.x_limits, self.y_limits = Sticky(), Sticky()
        self._key: object = None
        self._said = self._subtitle = ""

    def compose(self) -> ComposeResult:
        yield self.plot
        yield self.note

    def start_anew(self, key: object) -> None:
        """Forget the axes' limits when something else is shown."""
        if key != self._key:
            self._key = key
            self.x_limits.reset()
            self.y_limits.reset()

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

    def show(self, trial: TrialView) -> None:
        raise NotImplementedError
