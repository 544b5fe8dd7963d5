"""Cells into escape sequences: no more bytes than it takes."""

from __future__ import annotations

import pytest
from rich.color import ColorSystem
from rich.style import Style

from mftui.pen import Pen, turn, visible

GROUND = "#101010"
RED, BLUE = Style(color="#ff0000", bgcolor=GROUND), Style(color="#0000ff", bgcolor=GROUND)


@pytest.mark.parametrize(
    ("before", "after", "sequence"),
    [
        (None, RED, "\x1b[38;2;255;0;0;48;2;16;16;16m"),
        (RED, BLUE, "\x1b[38;2;0;0;255m"),
        (RED, RED + Style(bold=True), "\x1b[1m"),
        (RED + Style(bold=True), RED, "\x1b[22m"),
        (Style(bold=True, dim=True), Style(dim=True), "\x1b[0;2m"),
        (RED + Style(bold=True, dim=True), RED + Style(dim=True), "\x1b[22;2m"),
        (RED, Style(underline=True), "\x1b[0;4m"),
        (RED, None, "\x1b[0m"),
        (RED, Style(color="#ff0000", bgcolor=GROUND), ""),
        (None, Style(), ""),
    ],
)
def test_of_a_style_only_what_is_another_is_sent(before: Style | None, after: Style | None, sequence: str) -> None:
    assert turn(before, after, ColorSystem.TRUECOLOR) == sequence


def test_colours_are_those_of_the_terminal() -> None:
    assert turn(None, RED, ColorSystem.STANDARD) == "\x1b[31;40m"
    assert turn(None, RED, ColorSystem.EIGHT_BIT) == "\x1b[38;5;196;48;5;233m"


def test_a_pen_keeps_its_style_from_span_to_span_and_over_blanks_that_look_the_same() -> None:
    pen = Pen(ColorSystem.TRUECOLOR)
    red, blank = visible(RED)
    blue, _ = visible(BLUE)
    first = pen.write(2, 0, [("a", red), (" ", blank), ("b", red)])
    assert first == "\x1b[3;1H\x1b[38;2;255;0;0;48;2;16;16;16ma b"
    assert pen.write(2, 99, [("c", red)]) == "\x1b[100Gc"
    assert pen.write(3, 9, [(" ", blank), ("d", blue)]) == "\x1b[4;10H \x1b[38;2;0;0;255md"
    assert pen.put_down() == "\x1b[m"
    assert pen.put_down() == ""
