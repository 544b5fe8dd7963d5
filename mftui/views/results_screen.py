"""The results so far: quartiles per sweep point and method, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from engine.results import TrialResult, summarize
from engine.spec.preset import Experiment
from mftui.formatting import remarks, results_table


class ResultsScreen(ModalScreen[None]):
    """A table over the explorer; kept up to date while the run goes on."""

    DEFAULT_CSS = """
    ResultsScreen { align: center middle; }
    ResultsScreen VerticalScroll { padding: 1 2; background: $surface; overflow-x: auto; }
    ResultsScreen #table { width: auto; height: auto; }
    ResultsScreen #remarks { width: 1fr; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,t", "dismiss", "Back"),
        ("q", "app.quit", "Quit"),
    ]

    def __init__(self, experiment: Experiment, results: Sequence[TrialResult]) -> None:
        super().__init__()
        self._experiment = experiment
        self._results = list(results)

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(self._table(), id="table")
            yield Static(self._remarks(), id="remarks")
        yield Footer()

    def show(self, experiment: Experiment, results: Sequence[TrialResult]) -> None:
        """Take up new results, if there are any."""
        if list(results) != self._results:
            self._experiment, self._results = experiment, list(results)
            self.query_one("#table", Static).update(self._table())
            self.query_one("#remarks", Static).update(self._remarks())

    def _table(self) -> Table | Text:
        if not self._results:
            return Text("No trial has finished yet; this table fills as they do.")
        return results_table(self._experiment, self._results)

    def _remarks(self) -> Text:
        return Text("\n").join([Text(), *remarks(summarize(self._experiment, self._results))])
