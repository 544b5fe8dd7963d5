"""A table of texts, for every kind of page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Heading:
    """A column's title, in one or several lines, and whether it holds numbers."""

    lines: tuple[str, ...]
    right: bool = False


@dataclass(frozen=True)
class Cell:
    """A text, and whether it stands out."""

    text: str
    strong: bool = False


@dataclass(frozen=True)
class Grid:
    """Rows in groups; `headings` are empty where there are none."""

    title: str
    headings: Sequence[Heading]
    groups: Sequence[Sequence[Sequence[Cell]]]


def grid_of(table: Table) -> Grid:
    """What a table for the terminal holds."""
    columns = [list(column.cells) for column in table.columns]
    groups: list[list[list[Cell]]] = [[]]
    for index, row in enumerate(table.rows):
        groups[-1].append([_cell(column[index]) for column in columns])
        if row.end_section:
            groups.append([])
    headings = [Heading(tuple(str(column.header).split("\n")), column.justify == "right") for column in table.columns]
    shown = headings if table.show_header else ()
    return Grid(str(table.title or ""), shown, [group for group in groups if group])


def _cell(content: object) -> Cell:
    if isinstance(content, Text):
        return Cell(content.plain, "bold" in str(content.style))
    return Cell(str(content))
