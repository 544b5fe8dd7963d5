"""What the screens that are lists have in common: the roster with its filter, questions, and what is done to a row."""

from __future__ import annotations

import re
from collections.abc import Coroutine, Sequence
from pathlib import Path

from textual import work
from textual.binding import Binding
from textual.widgets import Static

from engine.runs.catalog import RunError
from engine.spec.defects import PresetError
from mftui.plain import printable
from mftui.screens.base import LabScreen, key
from mftui.views.confirm import Confirm
from mftui.views.prompt import Prompt
from mftui.views.roster import Column, Roster


def row_keys(row: str, page_up: str, page_down: str) -> tuple[Binding, ...]:
    """The keys that go from row to row; the list's own screen says what its pages are."""
    return (
        key("up,k", "move(-1)", "Up", f"previous {row}", show=False, display="↑"),
        key("down,j", "move(1)", "Down", f"next {row}", show=False, display="↓"),
        key("pageup", "page(-1)", "Page up", page_up, show=False),
        key("pagedown", "page(1)", "Page down", page_down, show=False),
        key("home", "move(-1_000_000)", "First", f"first {row}", show=False),
        key("end", "move(1_000_000)", "Last", f"last {row}", show=False),
    )


class ListScreen(LabScreen):
    """Sub-classes fill the roster with what `matches` the filter."""

    columns: Sequence[Column] = ()

    def __init__(self) -> None:
        super().__init__()
        self.roster = Roster(self.columns, id="roster")
        self.prompt = Prompt()
        self._summary = Static(id="summary", markup=False)
        self._filter = self._told = ""

    def show_list(self) -> None:
        """Fill the roster from what is known."""
        raise NotImplementedError

    def tell(self, parts: Sequence[str]) -> None:
        """The line above the list."""
        if (summary := " · ".join(part for part in parts if part)) != self._told:
            self._told = summary
            self._summary.update(summary, layout=False)

    # --- the filter --------------------------------------------------------------------------------------------------

    @property
    def filter_shown(self) -> str:
        """As it stands above the list; empty without one."""
        return f"/{printable(self._filter)}/" if self._filter else ""

    def matches(self, *texts: str) -> bool:
        """Whether the filter, a regular expression, is found in one of these, whatever its case."""
        return any(re.search(self._filter, text, re.IGNORECASE) for text in texts)

    def filter_by(self, pattern: str) -> None:
        self._filter = pattern
        self.show_list()

    @work(exclusive=True, group="prompt")
    async def action_filter(self) -> None:
        before = self._filter

        def check(text: str) -> str:
            try:
                re.compile(text)
            except re.error as error:
                return f"not a regular expression: {error}"
            self.filter_by(text)
            return ""

        if await self.prompt.ask("filter", before, check) is None:
            self.filter_by(before)

    # --- rows --------------------------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        self.roster.move(by)

    def act(self, doing: Coroutine[object, object, None]) -> None:
        """Do something aside; what goes wrong is shown in the engine's words."""
        self.run_worker(self._guarded(doing), group="act")

    async def _guarded(self, doing: Coroutine[object, object, None]) -> None:
        try:
            await doing
        except (RunError, PresetError, OSError) as error:
            self.notify(printable(str(error)), severity="error")

    async def may_replace(self, paths: Sequence[Path]) -> bool:
        """Ask, if any of these files are there."""
        there = [printable(str(path)) for path in paths if path.exists()]
        return not there or await self.app.push_screen_wait(Confirm("replace?", there, "replace"))
