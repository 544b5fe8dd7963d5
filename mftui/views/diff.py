"""Two experiments side by side: only what differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from engine.spec.experiment import Experiment
from engine.spec.settings import fields
from mftui.draft import to_text
from mftui.views.dialog import Dialog


class Difference(NamedTuple):
    key: str
    one: str
    other: str


def differences(one: Experiment, other: Experiment) -> list[Difference]:
    """Fields that have not the same value in both, in the order of the presets' sections; defaults count as given."""
    left, right = _settings(one), _settings(other)
    return [Difference(key, left[key], right[key]) for key in left if left[key] != right[key]]


def _settings(experiment: Experiment) -> Mapping[str, str]:
    found = {
        "methods": to_text(experiment.methods),
        "seeds": str(experiment.seeds),
        "sweep.over": experiment.over or "",
    }
    for key, field in fields().items():
        section, name = key.split(".")
        given = experiment.document.get(section, {}).get(name, field.default)
        found[key] = to_text(list(experiment.values) if key == experiment.over else given)
    return found


class DiffScreen(Dialog[None]):
    """A table of the differences."""

    DEFAULT_CSS = """
    DiffScreen { align: center middle; }
    DiffScreen VerticalScroll { width: 110; max-width: 100%; height: auto; max-height: 100%;
                                border: round $primary; padding: 0 1; background: $surface; }
    DiffScreen Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,d,q,enter", "dismiss", "Back"),
        Binding("down,j", "scroll(1)", "down", show=False),
        Binding("up,k", "scroll(-1)", "up", show=False),
    ]

    def __init__(self, names: tuple[str, str], found: list[Difference]) -> None:
        super().__init__()
        self._names, self._found = names, found

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = f"what differs: {len(self._found)} of {len(fields()) + 3} settings"
            box.border_subtitle = "escape closes"
            yield Static(self._table() if self._found else "No setting differs: the same experiment twice.")

    def _table(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), expand=True, pad_edge=False)
        table.add_column("setting", no_wrap=True)
        for name in self._names:
            table.add_column(Text(name, overflow="fold"), ratio=1, overflow="fold")
        for difference in self._found:
            table.add_row(Text(difference.key, style="bold"), *map(_value, difference[1:]))
        return table

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)


def _value(text: str) -> Text:
    return Text(text) if text else Text("none", style="dim")
