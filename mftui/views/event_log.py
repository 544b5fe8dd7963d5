"""What happened to the run, the latest below."""

from __future__ import annotations

from datetime import datetime

from rich.text import Text
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from mftui.plain import printable
from mftui.views.pane import Pane
from mftui.views.trial import Look, TrialView


class EventLog(Pane):
    """The keys that scroll it are the screen's."""

    DEFAULT_CSS = "EventLog Static { height: auto; padding: 0 1; }"
    name_of_pane = "events"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._lines = Static(markup=False)
        self._scroll = VerticalScroll(self._lines, can_focus=False)
        self._shown: tuple[str, int, float] | None = None

    def content(self) -> list[Widget]:
        return [self._scroll]

    def show(self, trial: TrialView, look: Look) -> None:
        """The whole run's log, whichever trial it is."""
        latest = trial.log[-1][0] if trial.log else 0.0
        key = (trial.key[0], len(trial.log), latest)
        if key == self._shown:
            return
        self._shown = key
        at_end = self._scroll.scroll_y >= self._scroll.max_scroll_y
        lines = (f"{datetime.fromtimestamp(time):%H:%M:%S}  {printable(line)}" for time, line in trial.log)
        self._lines.update(Text("\n".join(lines)))
        if at_end:  # not while somebody reads what was before
            self._scroll.scroll_end(animate=False)

    def scroll_lines(self, by: int) -> None:
        self._scroll.scroll_relative(y=by, animate=False)

    def scroll_pages(self, by: int) -> None:
        self._scroll.scroll_relative(y=by * max(1, self._scroll.size.height - 1), animate=False)
