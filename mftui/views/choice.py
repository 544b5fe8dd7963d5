"""One of a few values, in one line: left and right, or a click, go through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget


class Choice(Widget, can_focus=True):
    """Shows ‹ value ›. A value that is none of the options is kept until the first change."""

    DEFAULT_CSS = """
    Choice { height: 1; padding: 0 1; background: $surface; }
    Choice:focus { background: $primary 40%; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "cycle(-1)", "previous value", show=False),
        Binding("right,l", "cycle(1)", "next value", show=False),
        Binding("enter", "submit", "apply", show=False),
    ]

    class Changed(Message):
        """Another value was chosen."""

        def __init__(self, value: str) -> None:
            self.value = value
            super().__init__()

    class Submitted(Message):
        """Enter."""

    def __init__(self, value: str, options: Sequence[str]) -> None:
        super().__init__()
        self.value = value
        self._options = options

    def render(self) -> Text:
        return Text.assemble(("‹ ", "dim"), self.value, (" ›", "dim"))

    def action_cycle(self, by: int) -> None:
        place = self._options.index(self.value) + by if self.value in self._options else 0
        self.value = self._options[place % len(self._options)]
        self.refresh()
        self.post_message(self.Changed(self.value))

    def action_submit(self) -> None:
        self.post_message(self.Submitted())

    def on_click(self, event: events.Click) -> None:
        self.action_cycle(-1 if event.x < 2 else 1)
