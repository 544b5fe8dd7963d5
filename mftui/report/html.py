"""A report as one HTML page that needs nothing else: no scripts, no fonts, nothing from elsewhere.

Built by functions, not from a template: what is no `Html` is escaped wherever it is put in, so that forgetting it is
an error of types that mypy sees.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from importlib import resources

from mftui.plain import printable
from mftui.report.content import Report
from mftui.report.figures import Figure
from mftui.report.grid import Cell, Grid

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""a browser that is shown the page loads nothing, whatever was smuggled into it"""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def page(report: Report) -> str:
    """The whole page."""
    style = resources.files("mftui.report").joinpath("style.css").read_text(encoding="utf-8")
    head = [
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Html('<meta name="color-scheme" content="light dark">'),
        element("title", report.title),
        element("style", Html(style)),
    ]
    body = [
        element("header", element("h1", report.title), _pairs(report.facts)),
        element("main", *_sections(report)),
        element("footer", f"Made with {report.made_with}."),
    ]
    whole = element("html", element("head", *head), element("body", *body), lang="en")
    return f"<!DOCTYPE html>\n{whole}\n"


def element(name: str, *content: str, **attributes: str) -> Html:
    """An element with what it holds; a trailing _ of an attribute's name is dropped."""
    given = "".join(f' {key.rstrip("_")}="{html.escape(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{given}>{''.join(map(_escaped, content))}</{name}>")


def _escaped(text: str) -> str:
    if isinstance(text, Html):
        return text
    return html.escape("\n".join(map(printable, text.split("\n"))))


def _sections(report: Report) -> Iterator[Html]:
    if any(report.about):
        yield _section("What it is", *(element("p", text) for text in report.about if text))
    if report.verdicts:
        rows = [element("div", element("dt", each.name), element("dd", each.text)) for each in report.verdicts]
        yield _section("What the run says", element("dl", *rows, class_="verdicts"))
    if report.figures:
        yield _section("Figures", element("div", *map(_figure, report.figures), class_="figures"))
    results = [_grid(grid) for grid in report.results] or [element("p", "No trial is done yet.")]
    further = [element("ul", *(element("li", note) for note in report.notes))] if report.notes else []
    yield _section("Results", *results, *further)
    marked = (
        element("li", remark.text, class_="warning" if remark.warning else "fine") for remark in report.reliability
    )
    yield _section("How far to trust it", element("ul", *marked, class_="remarks"))
    yield _section(
        "Settings that differ from the defaults", _settings(report), _folded("The complete preset", report.spec)
    )
    yield _section("To get these numbers again", *_reproduction(report))
    if report.data_sets.groups:
        table = element("details", element("summary", "Every data set"), _grid(report.data_sets))
        yield _section("Data sets", table)


def _section(title: str, *content: Html) -> Html:
    return element("section", element("h2", title), *content)


def _pairs(pairs: Sequence[tuple[str, str]]) -> Html:
    return element("dl", *(element("div", element("dt", key), element("dd", value)) for key, value in pairs))


def _figure(figure: Figure) -> Html:
    drawn = figure.draw()
    shown = Html(drawn) if drawn else element("pre", figure.text)
    caption = [Html("<br>"), element("small", figure.caption)] if figure.caption else []
    return element("figure", element("figcaption", figure.title, *caption), shown)


def _folded(title: str, text: str) -> Html:
    return element("details", element("summary", title), element("pre", element("code", text)))


def _settings(report: Report) -> Html:
    heading = _row("th", [Cell(name) for name in ("setting", "here", "default", "meaning")], [False] * 4)
    rows = []
    for setting in report.settings:
        cells = (
            element("td", element("code", setting.key)),
            element("td", setting.value, class_="value"),
            element("td", setting.default),
            element("td", setting.meaning, class_="meaning"),
        )
        rows.append(element("tr", *cells))
    return element("div", element("table", element("thead", heading), element("tbody", *rows)), class_="wide")


def _reproduction(report: Report) -> Iterator[Html]:
    for command in report.commands:
        yield element("p", f"{command.when[:1].upper()}{command.when[1:]}:")
        yield element("pre", element("code", command.line), class_="command")
    if report.data_files:
        yield element("p", f"The preset needs these data files beside it: {', '.join(report.data_files)}.")
    yield element("p", "Bit for bit with the same versions on the same kind of device:")
    yield _pairs(report.environment)


def _grid(grid: Grid) -> Html:
    right = [heading.right for heading in grid.headings]
    head = [element("thead", _headings(grid))] if grid.headings else []
    bodies = [
        element("tbody", *(_row("td", row, right or [True] * len(row)) for row in group)) for group in grid.groups
    ]
    caption = [element("caption", grid.title)] if grid.title else []
    return element("div", element("table", *caption, *head, *bodies), class_="wide")


def _headings(grid: Grid) -> Html:
    cells = []
    for heading in grid.headings:
        lines = [part for line in heading.lines for part in (Html("<br>"), line)][1:]
        cells.append(element("th", *lines, **_aligned(heading.right)))
    return element("tr", *cells)


def _row(kind: str, cells: Sequence[Cell], right: Sequence[bool]) -> Html:
    return element(
        "tr",
        *(
            element(kind, element("strong", cell.text) if cell.strong else cell.text, **_aligned(aligned))
            for cell, aligned in zip(cells, right, strict=True)
        ),
    )


def _aligned(right: bool) -> dict[str, str]:
    return {"class_": "number"} if right else {}
