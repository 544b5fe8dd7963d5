"""A question that must be answered with y."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.markup import escape
from textual.widgets import Static

from mftui.views.dialog import Dialog


class Confirm(Dialog[bool]):
    """y is yes; n and escape are no, and so is enter: nothing is lost by a hasty key."""

    DEFAULT_CSS = """
    Confirm { align: center middle; }
    Confirm Vertical { width: auto; max-width: 90%; height: auto; border: round $error; padding: 0 2;
                       background: $surface; border-title-color: $text; border-subtitle-color: $text-muted; }
    Confirm Static { width: auto; max-width: 100%; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,enter,q", "answer(False)", "No"),
    ]

    def __init__(self, title: str, lines: Sequence[str], yes: str) -> None:
        super().__init__()
        self._title, self._lines, self._yes = title, lines, yes

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = escape(self._title)
            box.border_subtitle = f"y: {self._yes} · n, escape: no"
            yield Static("\n".join(self._lines), markup=False)

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)
