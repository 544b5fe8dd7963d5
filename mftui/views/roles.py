"""What each role on a canvas looks like, by theme: colours that stay apart for colour-blind eyes [Okabe, Ito 2008]."""

from __future__ import annotations

from functools import lru_cache

from rich.color import Color
from rich.style import Style as RichStyle

from mftui.canvas import Style

_ORANGE, _SKY, _GREEN, _YELLOW = "#e69f00", "#56b4e9", "#009e73", "#f0e442"
_BLUE, _VERMILLION, _PURPLE = "#0072b2", "#d55e00", "#cc79a7"
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
    "gnc": _VERMILLION,
    "training": _VERMILLION,
    "generalization": _BLUE,
    "axis": "#808080",
    "label": "#505050",
    "crosshair": "#303030",
    "mark": "#000000",
    "cursor": "#000000",
    "unknown": "#909090",
}
_SERIES_ON_DARK = (_SKY, _ORANGE, _GREEN, _VERMILLION, _PURPLE, _YELLOW)
_SERIES_ON_LIGHT = (_BLUE, _VERMILLION, _GREEN, _PURPLE, _ORANGE, "#56b4e9")
_BLUE_END, _RED_END = (33, 102, 172), (178, 24, 43)
_DARK_MIDDLE, _LIGHT_MIDDLE = (40, 40, 40), (245, 245, 245)
_SEQUENTIAL_START = (68, 1, 84)
_SEQUENTIAL_END = (253, 231, 37)


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
            return (_SERIES_ON_DARK if dark else _SERIES_ON_LIGHT)[int(number)]
        case "diverging":
            return _diverging(int(number), dark)
        case "sequential":
            return _mixed(_SEQUENTIAL_START, _SEQUENTIAL_END, int(number) / 15)
    return (_ON_DARK if dark else _ON_LIGHT)[role]


def _diverging(level: int, dark: bool) -> str:
    """Blue below zero, red above, the ground's shade between."""
    middle = _DARK_MIDDLE if dark else _LIGHT_MIDDLE
    return _mixed(middle, _BLUE_END if level < 7 else _RED_END, abs(level - 7) / 7)


def _mixed(one: tuple[int, int, int], other: tuple[int, int, int], share: float) -> str:
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(one, other, strict=True))
