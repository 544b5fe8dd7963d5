"""One preset, to read: what to look for, what it changes, its sweep."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.markup import escape
from textual.widgets import Static

from engine.spec.experiment import Experiment
from engine.spec.settings import METHOD_LABELS, fields
from mftui.draft import to_text
from mftui.plain import paragraphs, printable
from mftui.tour import EMPHASIS, page_of

LOOK_FOR = "What to look for"
"""the heading in the tour"""


class PresetPage(VerticalScroll):
    """Shows an experiment, or why a file is none."""

    DEFAULT_CSS = """
    PresetPage { border: round $foreground 30%; border-title-color: $text; border-subtitle-color: $text-muted;
                 padding: 0 1; height: 1fr; width: 1fr; scrollbar-size-vertical: 1; }
    PresetPage Static { height: auto; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.can_focus = False
        self._text = Static()
        self._shown: object = None

    def compose(self) -> ComposeResult:
        yield self._text

    def show(self, name: str, where: str, content: Experiment | str) -> None:
        """`content` is what is wrong where it is no experiment."""
        if (name, content) == self._shown:
            return
        self._shown = name, content
        self.border_title = escape(printable(name))
        self.border_subtitle = escape(printable(where))
        wrong = "" if isinstance(content, Experiment) else "\n".join(map(printable, content.split("\n")))
        self._text.update(page(content) if isinstance(content, Experiment) else Text(wrong, style="bold"))
        self.scroll_home(animate=False)


def page(experiment: Experiment) -> Group:
    """The whole of it."""
    parts: list[Text | Table] = [Text(printable(experiment.title), style="bold")]
    for paragraph in paragraphs(experiment.about):
        parts += [Text(), Text(printable(paragraph))]
    parts += _what_to_look_for(experiment.name)
    parts += [Text(), Text("settings that are not the defaults", style="bold"), _settings(experiment)]
    return Group(*parts)


def _what_to_look_for(preset: str) -> Iterator[Text]:
    """As the page of the tour says that explains the preset, if there is one."""
    if (found := page_of(preset)) is None:
        return
    of = "" if preset == found.preset else f"; the numbers are those of {found.preset}"
    kinds = [block.text if block.kind == "heading" else "" for block in found.blocks]
    heading = kinds.index(LOOK_FOR)
    yield from (Text(), Text(f"what to look for (page {found.number} of the tour{of})", style="bold"))
    for block in found.blocks[heading + 1 :]:
        mark = "• " if block.kind == "item" else ""
        yield Text(mark + EMPHASIS.sub(r"\1", block.text))


def _settings(experiment: Experiment) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold", style="dim")
    for name, value, default in settings(experiment):
        table.add_row(name, Text(printable(value)), Text(f"default {default}" if default else ""))
    return table


def settings(experiment: Experiment) -> Iterator[tuple[str, str, str]]:
    """Name, value and default of what is set; the methods, the data sets and the sweep first."""
    yield "methods", ", ".join(METHOD_LABELS[method] for method in experiment.methods), ""
    yield "data sets", f"{experiment.seeds}{' at each point' if experiment.over else ''}", ""
    if experiment.over:
        values = textwrap.shorten(to_text(experiment.values), 400, placeholder=" …")
        yield "sweep", f"{experiment.over} = {values}", ""
    for key, field in fields().items():
        section, name = key.split(".")
        given = experiment.document.get(section, {}).get(name, field.default)
        if key != experiment.over and given != field.default:
            default = to_text(field.default)
            yield key, textwrap.shorten(to_text(given), 400, placeholder=" …"), default
