"""Cells into escape sequences, in as few bytes as will do: of a style only what is another than before."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from rich.color import ColorSystem
from rich.style import Style

Cell = tuple[str, Style | None]
"""its character, empty in the right half of a wide one"""
RESET = "\x1b[m"
_ATTRIBUTES = {
    "bold": ("1", "22"),
    "dim": ("2", "22"),
    "italic": ("3", "23"),
    "underline": ("4", "24"),
    "blink": ("5", "25"),
    "blink2": ("6", "25"),
    "reverse": ("7", "27"),
    "conceal": ("8", "28"),
    "strike": ("9", "29"),
    "underline2": ("21", "24"),
    "frame": ("51", "54"),
    "encircle": ("52", "54"),
    "overline": ("53", "55"),
}
"""by Rich's names: the codes that begin and end them [ECMA-48, 8.3.117]"""
_DEFAULT = "39", "49"
"""the terminal's own colours"""


class Pen:
    """Writes onto a terminal whose style is none at first; `put_down` leaves it so."""

    def __init__(self, system: ColorSystem) -> None:
        self._system = system
        self._style: Style | None = None
        self._line: int | None = None

    def write(self, line: int, column: int, span: Iterable[Cell]) -> str:
        """The cells of a line from a column on, both from 0; a blank goes on in the style before it if it looks so."""
        parts = [f"\x1b[{column + 1}G" if line == self._line else f"\x1b[{line + 1};{column + 1}H"]
        self._line = line
        now, blank = self._style, visible(self._style)[1]
        for character, style in span:
            if style is not now and not (character == " " and style is blank):
                parts.append(turn(now, style, self._system))
                now, blank = style, visible(style)[1]
            parts.append(character)
        self._style = now
        return "".join(parts)

    def put_down(self) -> str:
        style, self._style = self._style, None
        return RESET if style is not None else ""


@lru_cache(4096)
def visible(style: Style | None) -> tuple[Style | None, Style | None]:
    """What is seen of a style on a character, and on a blank; of equal ones the first, so that they are the same."""
    if style is None:
        return None, None
    seen = style.clear_meta_and_links()
    ruled = style.reverse or style.underline or style.underline2 or style.overline or style.strike
    return _first(seen), _first(seen if ruled else Style(bgcolor=style.bgcolor))


@lru_cache(4096)
def _first(style: Style) -> Style:
    return style


@lru_cache(4096)
def turn(before: Style | None, after: Style | None, system: ColorSystem) -> str:
    """The sequence from one style to another; empty where they look the same."""
    had, has, colors = _attributes(before), _attributes(after), _colors(after, system)
    ends = {_ATTRIBUTES[name][1] for name in had if name not in has}
    changes = sorted(ends)
    changes += [_ATTRIBUTES[name][0] for name in has if name not in had or _ATTRIBUTES[name][1] in ends]
    changes += [new for old, new in zip(_colors(before, system), colors, strict=True) if new != old]
    anew = ["0", *(_ATTRIBUTES[name][0] for name in has), *(color for color in colors if color not in _DEFAULT)]
    return f"\x1b[{min(';'.join(changes), ';'.join(anew), key=len)}m" if changes else ""


def _attributes(style: Style | None) -> list[str]:
    return [name for name in _ATTRIBUTES if getattr(style, name)] if style is not None else []


def _colors(style: Style | None, system: ColorSystem) -> list[str]:
    """Codes of what is written and of its ground."""
    wanted = (style.color, style.bgcolor) if style is not None else (None, None)
    return [
        ";".join(color.downgrade(system).get_ansi_codes(foreground=default == _DEFAULT[0])) if color else default
        for color, default in zip(wanted, _DEFAULT, strict=True)
    ]
