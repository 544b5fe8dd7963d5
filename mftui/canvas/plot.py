"""What can be drawn between two axes. Data stay in their own units; the axes say how they are placed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mftui.canvas.axis import Axis
from mftui.canvas.frame import Corner
from mftui.canvas.glyphs import Stroke

Values = Sequence[float] | NDArray[np.floating]
"""shape (points,); what isn't finite, or not above zero on a log axis, is a gap"""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Named:
    name: str = ""
    """in the legend; empty leaves it out"""
    style: str
    """role, such as "gd"; the theme gives it a colour"""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Marked(_Named):
    shape: int | None = None
    """which mark, for eyes and terminals without colour; the place among the series by default"""


@dataclass(frozen=True, eq=False)
class Line(_Marked):
    """A polyline in the order given."""

    x: Values
    y: Values
    stroke: Stroke = "solid"
    marked: bool = False
    """with marks on it, a dozen cells apart"""

    def __post_init__(self) -> None:
        _same_length(self.name, x=self.x, y=self.y)


@dataclass(frozen=True, eq=False)
class Points(_Marked):
    """Marks without a line."""

    x: Values
    y: Values

    def __post_init__(self) -> None:
        _same_length(self.name, x=self.x, y=self.y)


@dataclass(frozen=True, eq=False)
class ErrorBars(_Marked):
    """A mark at `y` and a bar from `low` to `high`: median and quartiles, say."""

    x: Values
    low: Values
    y: Values
    high: Values
    joined: bool = True
    """by a line through the marks"""
    shift: int = 0
    """cells to the right, so that bars at the same x stand side by side"""

    def __post_init__(self) -> None:
        _same_length(self.name, x=self.x, low=self.low, y=self.y, high=self.high)


@dataclass(frozen=True, eq=False)
class Steps(_Marked):
    """A histogram: `heights[i]` between `edges[i]` and `edges[i + 1]`, edges ascending."""

    edges: Values
    heights: Values
    filled: bool = False

    def __post_init__(self) -> None:
        if len(self.heights) and len(self.edges) != len(self.heights) + 1:
            raise ValueError(f"{self.name or 'steps'}: {len(self.edges)} edges for {len(self.heights)} heights")


Series = Line | Points | ErrorBars | Steps


@dataclass(frozen=True, eq=False)
class Rule(_Named):
    """A line across the whole plot: level at a y, or upright at an x."""

    at: float
    upright: bool = False
    stroke: Stroke = "dashed"


@dataclass(frozen=True)
class Label:
    """A word in the plot, starting at a point or ending there."""

    text: str
    x: float
    y: float
    style: str
    ending: bool = False


@dataclass(frozen=True, eq=False)
class Plot:
    """All there is to draw; what comes later lies on top, rules below all."""

    x: Axis = field(default_factory=Axis)
    y: Axis = field(default_factory=Axis)
    series: tuple[Series, ...] = ()
    rules: tuple[Rule, ...] = ()
    labels: tuple[Label, ...] = ()
    crosshair: float | None = None
    """an x, whose readings are then in the legend"""
    legend: Corner | Literal["auto", "none"] = "auto"

    def shape(self, index: int) -> int:
        """Which mark tells the nth series."""
        chosen = self.series[index].shape
        return index if chosen is None else chosen


def _same_length(name: str, **values: Values) -> None:
    lengths = {len(numbers) for numbers in values.values()}
    if len(lengths) > 1:
        given = ", ".join(f"{len(numbers)} in {key}" for key, numbers in values.items())
        raise ValueError(f"{name or 'series'}: expected as many numbers in each, got {given}")
