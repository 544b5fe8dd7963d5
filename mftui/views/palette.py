"""Colours that stay apart for colour-blind eyes, on dark and on light ground [Okabe, Ito 2008]."""

from __future__ import annotations

from typing import Literal

Role = Literal["gd", "prior", "gnc", "nuclear", "training", "generalization", "bad", "good"]

_ORANGE, _SKY, _GREEN, _BLUE, _VERMILLION, _PURPLE = "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7"
_ON_DARK: dict[Role, str] = {
    "gd": _SKY,
    "prior": _GREEN,
    "gnc": _ORANGE,
    "nuclear": _PURPLE,
    "training": _ORANGE,
    "generalization": _SKY,
    "bad": _VERMILLION,
    "good": _GREEN,
}
_ON_LIGHT: dict[Role, str] = {**_ON_DARK, "gd": _BLUE, "gnc": _VERMILLION, "training": _VERMILLION} | {
    "generalization": _BLUE
}
_SERIES_ON_DARK = (_SKY, _ORANGE, _GREEN, _VERMILLION, _PURPLE, _BLUE)
_SERIES_ON_LIGHT = (_BLUE, _VERMILLION, _GREEN, _PURPLE, _ORANGE, _SKY)


def color(role: Role, dark: bool) -> str:
    """Hex colour of a method or a loss."""
    return (_ON_DARK if dark else _ON_LIGHT)[role]


def series_color(index: int, dark: bool) -> str:
    """Hex colour of the nth of several lines; colours repeat after six."""
    colors = _SERIES_ON_DARK if dark else _SERIES_ON_LIGHT
    return colors[index % len(colors)]
