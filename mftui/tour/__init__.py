"""The tour's pages: plain text beside a preset. `mftui explain` and the explorer's tour print the same text.

A page is a file `NUMBER-name.md`: lines `key: value`, an empty line, then paragraphs, lists, headings (`## `) and
formulas (indented by four). *Stars* set a term apart
where it is first used. Imports nothing slow.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Literal

EMPHASIS = re.compile(r"(?<!\w)\*([^*\s][^*]*)\*(?!\w)")
"""a term between stars; W* begins none"""

Kind = Literal["heading", "paragraph", "item", "formula"]


@dataclass(frozen=True)
class Block:
    """What is set apart by empty lines; of a formula, one line."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class Page:
    """One page of the tour."""

    number: int
    title: str
    preset: str
    """what runs beside it"""
    panes: tuple[str, ...]
    """what of it is shown, from the top"""
    also: tuple[str, ...]
    """other presets that it explains; * stands for anything"""
    blocks: tuple[Block, ...]

    def explains(self, preset: str) -> bool:
        return preset == self.preset or any(fnmatchcase(preset, pattern) for pattern in self.also)


@cache
def pages() -> tuple[Page, ...]:
    """All of them, in order."""
    folder = resources.files("mftui.tour")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".md")), key=lambda file: file.name)
    return tuple(parse(number, file.read_text(encoding="utf-8")) for number, file in enumerate(files, 1))


def page_of(preset: str) -> Page | None:
    """The page that explains a preset: the one it runs on, or else the first that names it."""
    found = sorted((page for page in pages() if page.explains(preset)), key=lambda page: page.preset != preset)
    return found[0] if found else None


def parse(number: int, text: str) -> Page:
    """Raises KeyError if a key is missing."""
    head, _, body = text.partition("\n\n")
    values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in head.splitlines())}
    return Page(
        number=number,
        title=values["title"],
        preset=values["preset"],
        panes=_listed(values["panes"]),
        also=_listed(values.get("also", "")),
        blocks=tuple(_blocks(body)),
    )


def _listed(value: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in value.split(",") if each.strip())


def _blocks(body: str) -> Iterator[Block]:
    for part in filter(str.strip, body.split("\n\n")):
        lines = part.strip("\n").splitlines()
        if lines[0].startswith("## "):
            yield Block("heading", lines[0].removeprefix("## "))
        elif lines[0].startswith("    "):
            yield from (Block("formula", line.strip()) for line in lines)
        elif lines[0].startswith("- "):
            items = " ".join(line.strip() for line in lines).removeprefix("- ").split(" - ")
            yield from (Block("item", item) for item in items)
        else:
            yield Block("paragraph", " ".join(line.strip() for line in lines))


def layout(blocks: tuple[Block, ...], width: int) -> Iterator[tuple[Kind, str]]:
    """Lines of at most `width` cells, with what each belongs to; a word that is wider is not cut.

    Every word of a term that is set apart has its own stars, so that a term may go over a line's end.
    """
    before: Kind = "heading"
    for block in blocks:
        if block.kind not in ("item", "formula") or block.kind != before:
            yield block.kind, ""
        before = block.kind
        first, later = {"item": ("• ", "  "), "formula": ("  ", "    ")}.get(block.kind, ("", ""))
        wrapper = textwrap.TextWrapper(
            max(width, 20),
            initial_indent=first,
            subsequent_indent=later,
            break_long_words=False,
            break_on_hyphens=False,
        )
        yield from ((block.kind, line) for line in wrapper.wrap(EMPHASIS.sub(_word_by_word, block.text)))


def _word_by_word(found: re.Match[str]) -> str:
    return f"*{found[1].replace(' ', '* *')}*"
