"""A report as Markdown (GitHub's, which most readers of Markdown share); figures are plots in plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mftui.plain import printable
from mftui.report.content import Report
from mftui.report.figures import Figure
from mftui.report.grid import Cell, Grid

_SPECIAL = re.compile(r"([\\`*\[\]~|]|(?<![^\W_])_|_(?![^\W_])|<(?=[A-Za-z/!?])|&(?=#?\w+;))")
_LEADING = re.compile(r"^(\d+(?=[.)](?:\s|$))|(?=[-+=](?:[-+=\s]|$)|[#>]))")
"""before what would make a list, a rule, a heading or a quotation at the beginning of a line"""
_BACKTICKS = re.compile("`+")


def page(report: Report) -> str:
    """The whole page."""
    return "\n".join([f"# {plain(report.title)}", "", *_parts(report)]) + "\n"


def plain(text: str) -> str:
    """On one line, with nothing in it that Markdown or HTML would take for itself."""
    return _LEADING.sub(r"\1\\", _SPECIAL.sub(r"\\\1", printable(" ".join(text.split()))))


def fenced(text: str, kind: str = "") -> str:
    """A block of code, in a fence longer than any in it."""
    shown = "\n".join(map(printable, text.rstrip("\n").split("\n")))
    fence = "`" * max(3, 1 + max((len(found) for found in _BACKTICKS.findall(shown)), default=0))
    return f"{fence}{kind}\n{shown}\n{fence}"


def _parts(report: Report) -> Iterator[str]:
    yield from _pairs(report.facts)
    if any(report.about):
        yield from _section("What it is", *(plain(text) for text in report.about if text))
    if report.verdicts:
        yield from _section(
            "What the run says", *(f"**{plain(each.name)}**: {plain(each.text)}" for each in report.verdicts)
        )
    if report.figures:
        blocks = [block for figure in report.figures for block in (_caption(figure), fenced(figure.text))]
        yield from _section("Figures", *blocks)
    results = [_grid(grid) for grid in report.results] or ["No trial is done yet."]
    further = ["\n".join(f"- {plain(note)}" for note in report.notes)] if report.notes else []
    yield from _section("Results", *results, *further)
    remarks = [f"- {'**Note:** ' if remark.warning else ''}{plain(remark.text)}" for remark in report.reliability]
    yield from _section("How far to trust it", "\n".join(remarks))
    spec = _folded("The complete preset", fenced(report.spec, "toml"))
    yield from _section("Settings that differ from the defaults", _settings(report), spec)
    yield from _section("To get these numbers again", *_reproduction(report))
    if report.data_sets.groups:
        yield from _section("Data sets", _folded("Every data set", _grid(report.data_sets)))
    yield f"Made with {plain(report.made_with)}."


def _caption(figure: Figure) -> str:
    return f"**{plain(figure.title)}**" + (f" ({plain(figure.caption)})" if figure.caption else "")


def _section(title: str, *blocks: str) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    for block in blocks:
        yield block
        yield ""


def _pairs(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    for key, value in pairs:
        yield f"- {plain(key)}: {plain(value)}"
    yield ""


def _folded(title: str, block: str) -> str:
    return f"<details><summary>{plain(title)}</summary>\n\n{block}\n\n</details>"


def _settings(report: Report) -> str:
    head = ["| setting | here | default | meaning |", "|---|---|---|---|"]
    rows = [
        f"| {plain(each.key)} | {plain(each.value)} | {plain(each.default)} | {plain(each.meaning)} |"
        for each in report.settings
    ]
    return "\n".join([*head, *rows])


def _reproduction(report: Report) -> Iterator[str]:
    for command in report.commands:
        yield f"{plain(command.when[:1].upper() + command.when[1:])}:\n\n{fenced(command.line, 'sh')}"
    if report.data_files:
        yield f"The preset needs these data files beside it: {', '.join(map(plain, report.data_files))}."
    yield "Bit for bit with the same versions on the same kind of device:"
    yield "\n".join(f"- {plain(key)}: {plain(value)}" for key, value in report.environment)


def _grid(grid: Grid) -> str:
    rows = [row for group in grid.groups for row in group]
    names = [" ".join(heading.lines) for heading in grid.headings] or [""] * len(rows[0])
    right = [heading.right for heading in grid.headings] or [True] * len(names)
    lines = [f"**{plain(grid.title)}**", ""] if grid.title else []
    lines.append(f"| {' | '.join(map(plain, names))} |")
    lines.append(f"|{'|'.join('---:' if aligned else '---' for aligned in right)}|")
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join(lines)


def _cell(cell: Cell) -> str:
    text = plain(cell.text)
    return f"**{text}**" if cell.strong and text else text
