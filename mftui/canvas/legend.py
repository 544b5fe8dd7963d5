"""Names of the series, in the corner where they hide the least."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mftui.canvas.frame import Canvas, Corner, Style
from mftui.canvas.glyphs import SPACE, Glyphs
from mftui.canvas.numbers import write_value
from mftui.canvas.plot import ErrorBars, Line, Plot, Points, Rule, Steps
from mftui.canvas.readout import Reading

_CORNERS: tuple[Corner, ...] = ("top right", "top left", "bottom right", "bottom left", "right", "left")
_LOYALTY = 6
"""more hidden cells than elsewhere before the legend moves"""
_APART = 2
"""cells between entries side by side"""
_KEY = 3
"""cells of line before a name"""


class Entry(NamedTuple):
    """A line of the legend."""

    key: str
    text: str
    style: Style


def entries(plot: Plot, readings: list[Reading], glyphs: Glyphs) -> list[Entry]:
    """Named series and rules; with the values under the crosshair where there are any."""
    values = {reading.series: write_value(reading.y, plot.y.unit) for reading in readings}
    named = [(index, one) for index, one in enumerate(plot.series) if one.name]
    longest = max((len(one.name) for _, one in named), default=0)
    widest = max(map(len, values.values()), default=0)
    found = []
    for index, one in named:
        text = f"{one.name:{longest}} {values.get(index, ''):>{widest}}" if values else one.name
        found.append(Entry(_key(one, glyphs.shape(plot.shape(index)), glyphs), text, Style(one.style)))
    return found + [Entry(_key(rule, "", glyphs), rule.name, Style(rule.style)) for rule in plot.rules if rule.name]


def write_legend(
    canvas: Canvas,
    found: list[Entry],
    area: tuple[int, int, int, int],
    wanted: str,
    keep: Corner | None,
    *,
    in_full: bool = False,
) -> Corner | None:
    """Write entries into the area (top, left, rows, columns); where they went, None if there is no room.

    `wanted` is a corner, or "auto": then `keep`, unless another hides clearly less. `in_full`: side by side, where
    there are too many for one below the other.
    """
    top, left, rows, columns = area
    most = max(1, rows - 2) if rows > 3 else rows // 2
    if not found or most < 1:
        return None
    abreast = min(-(-len(found) // most), max(1, (columns - 2) // (_width(found) + _APART))) if in_full else 1
    if len(found) > (room := most * abreast):
        found = [*found[: room - 1], Entry("", f"{len(found) - room + 1} more", Style("label"))]
    if (one := _width(found)) + 2 > columns * 2 // 3:
        return None
    height = -(-len(found) // abreast)
    width = abreast * (one + _APART) - _APART
    covered = np.zeros((rows + 1, columns + 1), np.int64)
    lit = canvas.codes[top : top + rows, left : left + columns] != SPACE
    covered[1:, 1:] = lit.cumsum(axis=0).cumsum(axis=1)

    def place(corner: Corner) -> tuple[int, int]:
        row = 0 if "top" in corner else rows - height if "bottom" in corner else (rows - height) // 2
        return row, 1 if "left" in corner else columns - width

    def hidden(corner: Corner) -> int:
        row, column = place(corner)
        down, across = row + height, column + width
        return int(covered[down, across] - covered[row, across] - covered[down, column] + covered[row, column])

    best = min(_CORNERS, key=hidden)
    if keep is not None and hidden(keep) <= hidden(best) + _LOYALTY:
        best = keep
    corner = next((one for one in _CORNERS if one == wanted), best)
    row, column = place(corner)
    for number, entry in enumerate(found):
        line, start = top + row + number % height, left + column + number // height * (one + _APART)
        canvas.write(line, start, f"{entry.key:{_KEY}} {entry.text:{one - _KEY - 1}}", entry.style)
    return corner


def _width(found: list[Entry]) -> int:
    return max(_KEY + 1 + len(entry.text) for entry in found)


def _key(one: Line | Points | ErrorBars | Steps | Rule, shape: str, glyphs: Glyphs) -> str:
    box = glyphs.box
    if isinstance(one, Points):
        return f" {shape} "
    if isinstance(one, ErrorBars):
        return f"{box['level']}{shape}{box['level']}" if one.joined else f" {shape} "
    stroke = box["solid" if isinstance(one, Steps) else one.stroke]
    if isinstance(one, Rule):
        return box["upright"].center(_KEY) if one.upright else stroke * _KEY
    if glyphs is Glyphs.ASCII:
        return shape * _KEY if isinstance(one, Steps) or one.stroke == "solid" else f"{shape} {shape}"
    return f"{stroke}{shape}{stroke}" if isinstance(one, Line) and one.marked else stroke * _KEY
