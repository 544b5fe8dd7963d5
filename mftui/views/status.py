"""The header: what runs, in which state, which trial is shown, how far each method is."""

from __future__ import annotations

from dataclasses import dataclass

from rich.style import Style
from rich.table import Table
from rich.text import Text
from textual.widgets import Static

from engine.spec.settings import METHOD_LABELS, METHODS, Method
from mftui.formatting import format_count
from mftui.live import Progress
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
    message: str
    dark: bool
    link: str = ""
    """frames and bytes a second"""


class StatusBar(Static):
    """Three lines, and one more for a message."""

    _lines = 0

    DEFAULT_CSS = "StatusBar { height: auto; padding: 0 1; background: $panel; }"

    def show(self, status: Status) -> None:
        role = "bad" if status.state in _WORRYING else "good" if status.state in ("running", "finished") else "training"
        hue = color(role, status.dark)
        table = Table.grid(expand=True, padding=(0, 1))
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column(justify="right", no_wrap=True)
        state = Text(f"{_MARKS.get(status.state, '…')} {status.state}", style=Style(color=hue, bold=True))
        link = (f" · {status.link}" if status.link else "", "dim")
        table.add_row(Text(status.title, style="bold"), Text.assemble(state, f" · {status.device}", link))
        table.add_row(Text(status.shown), progress_text(status.progress, status.dark))
        rows = Table.grid(expand=True)
        rows.add_row(table)
        if status.message:
            rows.add_row(Text(status.message, style=Style(color=color("bad", status.dark), bold=True)))
        lines = 2 + bool(status.message)
        self.update(rows, layout=lines != self._lines)
        self._lines = lines


def progress_text(progress: dict[Method, Progress], dark: bool) -> Text:
    """GD 68% 1.2 k/s …, for the methods that have begun."""
    parts = Text()
    for method in METHODS:
        if (at := progress.get(method)) is None:
            continue
        rate = f" {format_count(at.rate)}/s" if at.rate and at.fraction < 1 else ""
        done = "✓" if at.fraction >= 1 else f"{at.fraction:.0%}"
        parts.append("  " if parts else "")
        parts.append(METHOD_LABELS[method], style=color(method, dark))
        parts.append(f" {done}{rate}")
    return parts
