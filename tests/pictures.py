"""A frame of the explorer as a small SVG, a line of the file a line of the screen: for the eye, and for `git diff`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby
from typing import Any
from xml.sax.saxutils import escape

from rich.cells import cell_len
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.app import App

WIDE, HIGH = 6, 12
"""a cell"""
Look = tuple[str, str, str]
"""ink, ground, and what else: bold, italic, underline"""


def cells(app: App[Any]) -> list[list[Segment]]:
    """What is on the screen, line by line."""
    return [list(strip) for strip in app.screen._compositor.render_strips()]


def text_on(app: App[Any]) -> str:
    """What is on the screen, without its colours."""
    return "\n".join("".join(segment.text for segment in line) for line in cells(app))


def picture(app: App[None]) -> str:
    """What is on the screen; the same for the same cells, colours and styles."""
    width, height = app.size
    lines = [list(_runs(line)) for line in cells(app)]
    looks = _looks(run for line in lines for run in line)
    (ink, page, _), *_ = looks
    names = {look: f"s{number}" for number, look in enumerate(looks)}
    rules = [f".{name}{{{_css(look)}}}" for look, name in list(names.items())[1:]]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE * width} {HIGH * height}">',
        f"<style>text{{font:10px monospace;fill:{ink}}}",
        *rules,
        f'</style><path fill="{page}" d="M0 0h{WIDE * width}v{HIGH * height}H0z"/>',
    ]
    for row, line in enumerate(lines):
        parts.append(_grounds(line, row, page) + _texts(line, row, names))
    return "\n".join(part for part in parts if part) + "\n</svg>\n"


def difference(before: str, now: str, most: int = 30) -> str:
    """The lines that differ, for a message."""
    found = difflib.unified_diff(before.splitlines(), now.splitlines(), "as it was", "as it is", lineterm="", n=0)
    return "\n".join(list(found)[:most])


def _runs(line: Iterable[Segment]) -> Iterator[tuple[str, Look]]:
    """Neighbouring cells that look alike."""
    looks = ((segment.text, _look(segment.style or Style.null())) for segment in line if segment.text)
    for look, group in groupby(looks, lambda run: run[1]):
        yield "".join(text for text, _ in group), look


@cache
def _look(style: Style) -> Look:
    ink, ground = _hex(style.color), _hex(style.bgcolor)
    if style.reverse:
        ink, ground = ground, ink
    kinds = {"bold": style.bold, "italic": style.italic, "underline": style.underline, "dim": style.dim}
    return ink, ground, " ".join(kind for kind, on in kinds.items() if on)


def _hex(color: Color | None) -> str:
    return "none" if color is None or color.is_default else str(color.get_truecolor().hex)


def _looks(runs: Iterable[tuple[str, Look]]) -> list[Look]:
    """All looks, that of the most cells first."""
    count: dict[Look, int] = {}
    for text, look in runs:
        count[look] = count.get(look, 0) + cell_len(text)
    return sorted(count, key=lambda look: (-count[look], look))


def _css(look: Look) -> str:
    """Without what all text has, a ground is drawn by itself."""
    ink, _, kinds = look
    words = {"bold": "font-weight:bold", "italic": "font-style:italic", "underline": "text-decoration:underline"}
    return ";".join([f"fill:{ink}", *(words.get(kind, "opacity:.6") for kind in kinds.split())])


def _grounds(line: list[tuple[str, Look]], row: int, page: str) -> str:
    """What lies under the text, where it isn't the page's own."""
    found, column = [], 0
    for ground, group in groupby(line, lambda run: run[1][1]):
        cells = sum(cell_len(text) for text, _ in group)
        if ground != page:
            left, width = WIDE * column, WIDE * cells
            found.append(f'<path fill="{ground}" d="M{left} {HIGH * row}h{width}v{HIGH}h-{width}z"/>')
        column += cells
    return "".join(found)


def _texts(line: list[tuple[str, Look]], row: int, names: dict[Look, str]) -> str:
    """Each word or group of words at its column: characters from other fonts may be of another width."""
    found, column = [], 0
    for text, look in line:
        for words in re.finditer(r"\S+(?: \S+)*", text):
            place = f'x="{WIDE * (column + cell_len(text[: words.start()]))}"'
            marked = f'{place} class="{names[look]}"' if names[look] != "s0" else place
            found.append(f"<tspan {marked}>{escape(words[0])}</tspan>")
        column += cell_len(text)
    return f'<text y="{HIGH * row + 9}">{"".join(found)}</text>' if found else ""
