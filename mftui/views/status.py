"""The header: what runs, in which state, which trial is shown, how far each method is."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from rich.style import Style
from rich.text import Text
from textual.widgets import Static

from engine.spec.settings import METHOD_LABELS, METHODS, Method
from mftui.formatting import format_count
from mftui.live import Progress
from mftui.plain import printable
from mftui.views.roles import color

_MARKS = {
    "running": "●",
    "paused": "‖",
    "finished": "✓",
    "failed": "✗",
    "interrupted": "✗",
    "stopped": "■",
}
_WORRYING = {"failed", "interrupted"}


@dataclass(frozen=True)
class Status:
    """One moment of the explorer."""

    title: str
    state: str
    device: str
    shown: str
    """which trial: "width 40 (2/6) · seed 0 (1/2) · following" """
    progress: dict[Method, Progress]
    done: frozenset[Method]
    """methods without a trial to come"""
    message: str
    dark: bool
    link: str = ""
    """frames and bytes a second"""


class StatusBar(Static):
    """Two lines as wide as the screen, and one more for a message."""

    DEFAULT_CSS = "StatusBar { height: auto; padding: 0 1; background: $panel; text-wrap: nowrap; }"

    _status: Status | None = None
    _said = Text()
    _lines = 0

    def show(self, status: Status) -> None:
        self._status = status
        self._say(status)

    def on_resize(self) -> None:
        if self._status is not None:
            self._say(self._status)

    def _say(self, status: Status) -> None:
        role = "bad" if status.state in _WORRYING else "good" if status.state in ("running", "finished") else "training"
        state = Text(f"{_MARKS.get(status.state, '…')} {status.state}", style=_bold(role, status.dark))
        link = (f" · {status.link}" if status.link else "", "dim")
        width = max(1, self.app.size.width - 2)
        lines = [
            _line(
                Text(printable(status.title), style="bold"), Text.assemble(state, f" · {status.device}", link), width
            ),
            _line(Text(status.shown), progress_text(status.progress, status.done, status.dark), width),
        ]
        if status.message:
            lines += Text(printable(status.message), style=_bold("bad", status.dark)).wrap(self.app.console, width)
        said = Text("\n").join(lines)
        if said != self._said:  # a table of Rich's would take 5 ms, ten times a second
            self._said = said
            self.update(said, layout=len(lines) != self._lines)
            self._lines = len(lines)


def _bold(role: str, dark: bool) -> Style:
    return Style(color=color(role, dark), bold=True)


def _line(left: Text, right: Text, width: int) -> Text:
    """One at each end; where there is no room for both, the left one is cut."""
    left.truncate(max(0, width - right.cell_len - 1), overflow="ellipsis", pad=True)
    line = Text.assemble(left, " ", right)
    line.truncate(width, overflow="ellipsis")
    return line


def progress_text(progress: dict[Method, Progress], done: Container[Method], dark: bool) -> Text:
    """GD 68% 1.2 k/s …, for the methods that have begun; ✓ only where no other trial follows."""
    parts = Text()
    for method in METHODS:
        if (at := progress.get(method)) is None:
            continue
        rate = f" {format_count(at.rate)}/s" if at.rate and at.fraction < 1 else ""
        far = "✓" if method in done else f"{at.fraction:.0%}"
        parts.append("  " if parts else "")
        parts.append(METHOD_LABELS[method], style=color(method, dark))
        parts.append(f" {far}{rate}")
    return parts
