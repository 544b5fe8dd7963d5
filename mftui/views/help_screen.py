"""The keys, read off the bindings themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.table import Table
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static


class HelpScreen(ModalScreen[None]):
    """Every key with what it does."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen VerticalScroll { width: 72; max-width: 100%; height: auto; max-height: 100%;
                                border: round $primary; padding: 0 2; background: $surface; }
    HelpScreen Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape,question_mark,q", "dismiss", "Back")]

    def __init__(self, bindings: Iterable[BindingType]) -> None:
        super().__init__()
        self._keys = [each for each in bindings if isinstance(each, Binding) and each.tooltip]

    def compose(self) -> ComposeResult:
        table = Table.grid(padding=(0, 3))
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        table.add_column(style="dim", no_wrap=True)  # what `keys.toml` calls it
        for binding in self._keys:
            table.add_row(binding.key_display or binding.key, binding.tooltip or binding.description, binding.id or "")
        with VerticalScroll() as box:
            box.border_title = "keys"
            box.border_subtitle = "escape closes"
            yield Static(table)
