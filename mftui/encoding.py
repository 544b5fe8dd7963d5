"""ASCII for terminals that know no more: which those are, and how all other characters are written on them."""

from __future__ import annotations

import io
import locale
import unicodedata
from functools import cache
from typing import TextIO

_KNOWN = "–—−·•●○×…‹›✓✗‖→←↑↓⟨⟩≤≥±∇∂√∈⏎⇄▸◂▲△◆◇■□“”‘’"
_AS = "---.**ox.<>vx|><^v<><>~VdVe<=><^^++##\"\"''"
_SPECIAL = dict(zip(_KNOWN, _AS, strict=True))
"""what is not known by its name or as a form of a letter"""


@cache
def knows_unicode() -> bool:
    """Whether the locale is a UTF-8 one; that Python writes UTF-8 all the same says nothing of the terminal."""
    return "utf" in locale.getencoding().lower()


class AsciiWriter(io.TextIOWrapper):
    """Writes all text in ASCII."""

    def write(self, text: str, /) -> int:
        super().write(in_ascii(text))
        return len(text)


def legible(stream: TextIO) -> TextIO:
    """A stream, or one in ASCII in its place if it is a terminal that knows no more."""
    if knows_unicode() or not isinstance(stream, io.TextIOWrapper) or not stream.isatty():
        return stream
    return AsciiWriter(
        stream.buffer,
        "utf-8",
        "backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def in_ascii(text: str) -> str:
    """The same in as many cells: boxes as - | +, exponents as digits, Greek letters by their names' first; else ?."""
    return text if text.isascii() else "".join(each if each.isascii() else _in_ascii(each) for each in text)


@cache
def _in_ascii(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    plain = unicodedata.normalize("NFKD", character)[0]
    plain = _SPECIAL.get(plain, plain)
    if plain.isascii() and plain.isprintable():
        return plain
    if unicodedata.combining(character):
        return ""
    match unicodedata.name(character, "").split():
        case ["BOX", "DRAWINGS", *words]:
            return "+" if {"AND", "ARC"} & set(words) else "|" if "VERTICAL" in words else "-"
        case ["GREEK", "CAPITAL" | "SMALL" as case, "LETTER", letter, *_]:
            return letter[0] if case == "CAPITAL" else letter[0].lower()
        case [*_, "BLOCK"] | [*_, "BLOCKS"] | ["LOWER" | "UPPER" | "LEFT" | "RIGHT" | "QUADRANT", *_]:
            return "#"
    return "??" if unicodedata.east_asian_width(character) in "WF" else "?"
