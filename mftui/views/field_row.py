"""One field of the form: label, editor, and a note with its meaning or what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, Static

from mftui.views.choice import Choice


class FieldRow(Vertical):
    """Knows its text, not what it means."""

    DEFAULT_CSS = """
    FieldRow { height: auto; }
    FieldRow Horizontal { height: 1; }
    FieldRow .label { width: 19; padding: 0 1; }
    FieldRow Input { width: 1fr; padding: 0 1; }
    FieldRow Choice { width: 1fr; }
    FieldRow .hint { height: auto; padding: 0 1 0 3; color: $text-muted; display: none; }
    FieldRow:focus-within .hint { display: block; }
    FieldRow:focus-within .label { color: $text; text-style: bold; }
    FieldRow .error { height: auto; padding: 0 1 0 3; color: $text-error; display: none; }
    FieldRow.-wrong .error { display: block; }
    FieldRow.-wrong .label { color: $text-error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "app.focus_previous", "previous field", show=False),
        Binding("down", "app.focus_next", "next field", show=False),
    ]

    class Changed(Message):
        """The text was edited."""

        def __init__(self, key: str, text: str) -> None:
            self.key, self.text = key, text
            super().__init__()

    class Applied(Message):
        """Enter."""

    def __init__(self, key: str, label: str, text: str, hint: str, options: Sequence[str]) -> None:
        """With `options`, a choice; else a text."""
        super().__init__(id=f"field-{key.replace('.', '-')}")
        self.key = key
        self._label = label
        self._hint = hint
        self._error = ""
        self.editor = Choice(text, options) if options else Input(text, compact=True, select_on_focus=False)

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Static(self._label, classes="label", markup=False)
            yield self.editor
        yield Static(self._hint, classes="hint", markup=False)
        yield Static(classes="error", markup=False)

    def blame(self, error: str) -> None:
        """Show what is wrong; empty if nothing is."""
        if error != self._error:
            self._error = error
            self.query_one(".error", Static).update(error)
            self.set_class(bool(error), "-wrong")

    @on(Input.Changed)
    @on(Choice.Changed)
    def _changed(self, event: Input.Changed | Choice.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(self.key, event.value))

    @on(Input.Submitted)
    @on(Choice.Submitted)
    def _submitted(self, event: Input.Submitted | Choice.Submitted) -> None:
        event.stop()
        self.post_message(self.Applied())

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self.call_after_refresh(self.scroll_visible, animate=False)
