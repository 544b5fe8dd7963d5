"""What a chart is, as plain numbers: what is drawn on one pair of axes, in print or in a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mftui.canvas.axis import Scale
from mftui.figures.definition import Kind

Floats = NDArray[np.float64]
Stroke = Literal["solid", "dashed", "dotted", "none"]


@dataclass(frozen=True, eq=False)
class Series:
    """One line, or one row of points."""

    name: str
    """in the legend; empty for what needs no entry of its own"""
    role: str
    """its colour (`mftui.views.roles`)"""
    x: Floats
    y: Floats
    low: Floats | None = None
    """lower end of the bar at each point"""
    high: Floats | None = None
    count: NDArray[np.int64] | None = None
    """data sets behind each point"""
    stroke: Stroke = "solid"
    shape: int | None = None
    """of the marks, counted as methods are; None: a line without any"""
    filled: bool = False
    """down to the axis, as a histogram"""


@dataclass(frozen=True, eq=False)
class Heat:
    """A value for each pair of an x and a y."""

    values: Floats
    """a row a y; NaN where there is none"""
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    label: str
    scale: Scale


@dataclass(frozen=True, eq=False)
class Chart:
    kind: Kind
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...] = ()
    heat: Heat | None = None
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    x_ticks: tuple[tuple[float, str], ...] = ()
    """places with names; without any the scale's own"""
    bars: str = ""
    """what points and bars are, for the caption"""
    notes: tuple[str, ...] = field(default=())
    """how far to trust it, a sentence each"""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to be seen."""
        if self.heat is not None:
            return not np.isfinite(self.heat.values).any()
        return not any(np.isfinite(one.y).any() for one in self.series)


def shown(chart: Chart) -> Chart:
    """The chart as its axes can show it: finite numbers only, and above 0 where an axis is logarithmic.

    A bar that reaches down to 0 ends at the smallest number shown. An axis without any number above 0 is linear.
    """
    y = np.concatenate(
        [np.ravel(part) for one in chart.series for part in (one.y, one.low, one.high) if part is not None]
        or [np.empty(0)]
    )
    x = np.concatenate([one.x for one in chart.series] or [np.empty(0)])
    positive = y[np.isfinite(y) & (y > 0)]
    log_y = chart.y_scale == "log" and len(positive) > 0
    log_x = chart.x_scale == "log" and bool((x[np.isfinite(x)] > 0).any())
    floor = float(positive.min()) if log_y else -np.inf
    series, lost = [], 0
    for one in chart.series:
        seen = np.isfinite(one.x) & np.isfinite(one.y)
        fits = seen & (~np.array(log_x) | (one.x > 0)) & (~np.array(log_y) | (one.y > 0))
        lost += int(seen.sum() - fits.sum()) if one.shape is not None else 0
        low, high = (None if part is None else _bar(part, one.y, floor)[fits] for part in (one.low, one.high))
        count = None if one.count is None else one.count[fits]
        series.append(replace(one, x=one.x[fits], y=one.y[fits], low=low, high=high, count=count))
    notes = chart.notes
    if lost:
        notes = (*notes, f"{lost} point{'s' * (lost > 1)} at or below 0, which a log axis can't show")
    return replace(
        chart,
        series=tuple(series),
        notes=notes,
        x_scale="log" if log_x else "linear",
        y_scale="log" if log_y else "linear",
    )


def _bar(end: Floats, middle: Floats, floor: float) -> Floats:
    """An end of bars; where there is none, the bar's middle."""
    return np.maximum(np.where(np.isfinite(end), end, middle), floor)


def from_left_to_right(series: Iterable[Series]) -> tuple[Series, ...]:
    """The series with their points in the order of x."""
    found = []
    for one in series:
        order = np.argsort(one.x, kind="stable")
        low, high = (None if part is None else part[order] for part in (one.low, one.high))
        count = None if one.count is None else one.count[order]
        found.append(replace(one, x=one.x[order], y=one.y[order], low=low, high=high, count=count))
    return tuple(found)
