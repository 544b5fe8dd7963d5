"""A line at the bottom that asks for a text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Static
from textual.widgets.input import Selection


class Prompt(Vertical):
    """Hidden until it asks; enter answers, escape doesn't."""

    DEFAULT_CSS = """
    Prompt { height: auto; display: none; background: $panel; }
    Prompt.-asking { display: block; }
    Prompt Horizontal { height: 1; }
    Prompt .label { width: auto; padding: 0 1; text-style: bold; }
    Prompt Input { width: 1fr; }
    Prompt .hint { width: auto; padding: 0 1; color: $text-muted; }
    Prompt .error { height: auto; padding: 0 1; color: $text-error; display: none; }
    Prompt.-wrong .error { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "cancel", show=False)]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._label = Static(classes="label", markup=False)
        self._input = Input(compact=True, select_on_focus=False)
        self._error = Static(classes="error", markup=False)
        self._answer: asyncio.Future[str | None] | None = None
        self._check: Callable[[str], str] | None = None

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield self._label
            yield self._input
            yield Static("enter · escape cancels", classes="hint", markup=False)
        yield self._error

    async def ask(self, label: str, value: str = "", check: Callable[[str], str] | None = None) -> str | None:
        """The text, None if it was cancelled. The first letter typed replaces `value`; cursor keys keep it.

        `check` sees every change, and says what is wrong with it; empty if nothing is. What is wrong can't be entered.
        """
        self._settle(None)
        self._check = None
        self._label.update(label)
        with self.prevent(Input.Changed):
            self._input.value = value
            self._input.selection = Selection(0, len(value))
        self._check = check
        self._blame(check(value) if check else "")
        self._answer = asyncio.get_running_loop().create_future()
        self.add_class("-asking")
        self._input.focus()
        return await self._answer

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self._check is not None and self._answer is not None:
            self._blame(self._check(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if not self.has_class("-wrong"):
            self._settle(event.value)

    def action_cancel(self) -> None:
        self._settle(None)

    def _settle(self, answer: str | None) -> None:
        waiting, self._answer = self._answer, None
        if waiting is not None:
            if not waiting.done():
                waiting.set_result(answer)
            self.remove_class("-asking")
            if self._input.has_focus:
                self.screen.set_focus(None)

    def _blame(self, error: str) -> None:
        self._error.update(error)
        self.set_class(bool(error), "-wrong")
