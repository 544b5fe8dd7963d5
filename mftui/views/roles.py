"""What each role on a canvas looks like, by theme: colours that stay apart for colour-blind eyes [Okabe, Ito 2008].

On terminals of 16 colours it is one of those: the nearest ones to the others would be yellow for three roles of four.
"""

from __future__ import annotations

import os
from functools import cache, lru_cache

from rich.color import Color
from rich.console import Console
from rich.style import Style as RichStyle

from mftui.canvas import Style

_ORANGE, _SKY, _GREEN, _YELLOW = "#e69f00", "#56b4e9", "#009e73", "#f0e442"
_BLUE, _VERMILLION, _PURPLE = "#0072b2", "#d55e00", "#cc79a7"
_DEEP_GREEN, _DEEP_VERMILLION, _DEEP_PURPLE = "#007a59", "#c04f00", "#a2487c"
"""on a light ground, where the others are hard to read as letters"""
_ON_DARK = {
    "gd": _SKY,
    "prior": _GREEN,
    "gnc": _ORANGE,
    "nuclear": _PURPLE,
    "training": _ORANGE,
    "generalization": _SKY,
    "bad": _VERMILLION,
    "good": _GREEN,
    "axis": "#808080",
    "label": "#b0b0b0",
    "crosshair": "#d0d0d0",
    "mark": "#ffffff",
    "cursor": "#ffffff",
    "unknown": "#707070",
}
_ON_LIGHT = {
    **_ON_DARK,
    "gd": _BLUE,
    "prior": _DEEP_GREEN,
    "gnc": _DEEP_VERMILLION,
    "nuclear": _DEEP_PURPLE,
    "training": _DEEP_VERMILLION,
    "generalization": _BLUE,
    "bad": _DEEP_VERMILLION,
    "good": _DEEP_GREEN,
    "axis": "#707070",
    "label": "#505050",
    "crosshair": "#303030",
    "mark": "#000000",
    "cursor": "#000000",
    "unknown": "#909090",
}
_SERIES_ON_DARK = (_SKY, _ORANGE, _GREEN, _VERMILLION, _PURPLE, _YELLOW)
_SERIES_ON_LIGHT = (_BLUE, _DEEP_VERMILLION, _DEEP_GREEN, _DEEP_PURPLE, "#000000", "#8a6a00")
_SIXTEEN_ON_DARK = {
    "gd": "#55ffff",
    "prior": "#55ff55",
    "gnc": "#ffff55",
    "nuclear": "#ff55ff",
    "training": "#ffff55",
    "generalization": "#55ffff",
    "bad": "#ff5555",
    "good": "#55ff55",
    "axis": "#aaaaaa",
    "label": "#aaaaaa",
    "crosshair": "#aaaaaa",
    "mark": "#ffffff",
    "cursor": "#ffffff",
    "unknown": "#555555",
}
_SIXTEEN_ON_LIGHT = {
    "gd": "#0000aa",
    "prior": "#aa00aa",
    "gnc": "#aa0000",
    "nuclear": "#5555ff",
    "training": "#aa0000",
    "generalization": "#0000aa",
    "bad": "#aa0000",
    "good": "#0000aa",
    "axis": "#555555",
    "label": "#555555",
    "crosshair": "#000000",
    "mark": "#000000",
    "cursor": "#000000",
    "unknown": "#555555",
}
"""as Rich has them: it sends the colours of these very numbers; green and cyan are too light for a light ground"""
_SIXTEEN_SERIES_ON_DARK = ("#55ffff", "#ffff55", "#55ff55", "#ff5555", "#ff55ff", "#aaaaaa")
_SIXTEEN_SERIES_ON_LIGHT = ("#0000aa", "#aa0000", "#aa00aa", "#000000", "#5555ff", "#555555")
_ROLES = {
    (False, True): _ON_DARK,
    (False, False): _ON_LIGHT,
    (True, True): _SIXTEEN_ON_DARK,
    (True, False): _SIXTEEN_ON_LIGHT,
}
_SERIES = {
    (False, True): _SERIES_ON_DARK,
    (False, False): _SERIES_ON_LIGHT,
    (True, True): _SIXTEEN_SERIES_ON_DARK,
    (True, False): _SIXTEEN_SERIES_ON_LIGHT,
}
"""by whether there are few colours, and whether the ground is dark"""
_BLUE_END, _RED_END = (33, 102, 172), (178, 24, 43)
_DARK_MIDDLE, _LIGHT_MIDDLE = (40, 40, 40), (245, 245, 245)
_SEQUENTIAL_START = (68, 1, 84)
_SEQUENTIAL_END = (253, 231, 37)


@cache
def few_colors() -> bool:
    """Whether the terminal has 16 of them, by TERM and COLORTERM."""
    return bool(os.environ.get("TERM")) and Console(force_terminal=True).color_system == "standard"


def series(index: int) -> str:
    """The role of the nth of several lines; colours repeat after six."""
    return f"series-{index % len(_SERIES_ON_DARK)}"


@lru_cache(maxsize=1024)
def rich_style(style: Style, dark: bool) -> RichStyle:
    """Ink and ground as colours; an empty role is the terminal's own."""
    ink, ground = color(style.ink, dark), color(style.ground, dark)
    return RichStyle(color=Color.parse(ink) if ink else None, bgcolor=Color.parse(ground) if ground else None)


def color(role: str, dark: bool) -> str:
    """Hex; empty for no role. Raises KeyError for one that nobody knows."""
    if not role:
        return ""
    name, _, number = role.rpartition("-")
    match name:
        case "series":
            return _SERIES[few_colors(), dark][int(number)]
        case "diverging":
            return _diverging(int(number), dark)
        case "sequential":
            return _mixed(_SEQUENTIAL_START, _SEQUENTIAL_END, int(number) / 15)
    return _ROLES[few_colors(), dark][role]


def print_color(role: str) -> str:
    """Hex on paper, whatever colours the terminal has: that of series, or of any other role but the graded ones."""
    name, _, number = role.rpartition("-")
    return _SERIES_ON_LIGHT[int(number)] if name == "series" else _ON_LIGHT[role]


def _diverging(level: int, dark: bool) -> str:
    """Blue below zero, red above, the ground's shade between."""
    middle = _DARK_MIDDLE if dark else _LIGHT_MIDDLE
    return _mixed(middle, _BLUE_END if level < 7 else _RED_END, abs(level - 7) / 7)


def _mixed(one: tuple[int, int, int], other: tuple[int, int, int], share: float) -> str:
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(one, other, strict=True))
