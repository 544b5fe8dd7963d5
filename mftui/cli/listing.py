"""Lists in plain text, in columns that fit the terminal. Imports nothing slow."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

GAP = "  "


@dataclass(frozen=True)
class Column:
    """One column of a list."""

    title: str
    cells: Sequence[str]
    right: bool = False
    least: int | None = None
    """cells it may be cut down to where the terminal is narrow; None: never cut"""
    keep_end: bool = False
    """where cut, the middle goes, not the end"""


def lines(columns: Sequence[Column], width: int | None) -> list[str]:
    """Titles, then a line per row; columns are cut, the last ones first, to fit `width` cells (None: no limit).

    A column that is empty throughout is left out.
    """
    columns = [column for column in columns if any(column.cells)]
    widths = [max(map(len, (column.title, *column.cells))) for column in columns]
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width if width else 0
    for index in reversed(range(len(columns))):
        least = columns[index].least
        if excess > 0 and least is not None and least < widths[index]:
            cut = min(excess, widths[index] - least)
            widths[index] -= cut
            excess -= cut
    parts = [_column(column, cells) for column, cells in zip(columns, widths, strict=True)]
    return [GAP.join(row).rstrip() for row in zip_longest(*parts, fillvalue="")]


def _column(column: Column, width: int) -> list[str]:
    texts = [_cut(text, width, column.keep_end) for text in (column.title, *column.cells)]
    return [text.rjust(width) if column.right else text.ljust(width) for text in texts]


def _cut(text: str, width: int, keep_end: bool) -> str:
    if len(text) <= width:
        return text
    end = min(13, 2 * width // 3) if keep_end else 0
    return text[: width - 1 - end] + "…" + text[len(text) - end :]


def pairs(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Names and values, a line each; those without a value are left out."""
    width = max(len(name) for name, _ in rows)
    return [f"{name:{width}}{GAP}{value}" for name, value in rows if value]


def terminal_width() -> int | None:
    """Cells of a line on stdout; None where it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
