"""An axis: limits and scale, and how values become fractions of its length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mftui.canvas.numbers import Unit

Scale = Literal["linear", "log"]

_NARROWEST = 1e-9
"""of an axis, relative to its ends: below this rounding shows, and labels of ten digits would look alike"""
_LARGEST, _SMALLEST = 1e300, 1e-290
_FAR = 1e9
"""axis lengths away from the axis; so far out, only a line's direction matters"""


@dataclass(frozen=True)
class Axis:
    """Limits in data units, whatever the scale."""

    low: float = 0.0
    high: float = 1.0
    scale: Scale = "linear"
    unit: Unit = "number"
    title: str = ""
    categories: tuple[tuple[float, str], ...] = ()
    """value and name of every tick, in place of numbers"""

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Finite, ascending, apart, and above zero for a log scale, whatever was given."""
        low, high = self.low, self.high
        if not (math.isfinite(low) and math.isfinite(high)):
            low, high = (0.1, 1.0) if self.scale == "log" else (0.0, 1.0)
        low, high = (min(max(end, -_LARGEST), _LARGEST) for end in sorted((low, high)))
        if self.scale == "log":
            high = high if high > _SMALLEST else 1.0
            low = max(low, _SMALLEST) if low > 0 else max(high / 1000, _SMALLEST)
            return (low, high) if high > low * (1 + _NARROWEST) else (low / 10**0.5, high * 10**0.5)
        magnitude = max(-low, high)
        if high - low > max(_NARROWEST * magnitude, _SMALLEST):
            return low, high
        half = magnitude / 2 if magnitude > _SMALLEST else 0.5
        return low - half, high + half

    def fractions(self, values: ArrayLike) -> NDArray[np.float64]:
        """Places along the axis, 0 at its low and 1 at its high end; NaN for what it can't show.

        That is what isn't finite, and on a log scale what isn't above zero.
        """
        plotted, (low, high) = np.asarray(values, np.float64), self.limits
        with np.errstate(all="ignore"):
            if self.scale == "log":
                plotted = np.log10(plotted)
                low, high = math.log10(low), math.log10(high)
            fractions = (plotted - low) / (high - low)
            fractions = np.where(np.isfinite(plotted), fractions, np.nan)
        return np.clip(fractions, -_FAR, _FAR)

    def bounded_fractions(self, values: ArrayLike) -> NDArray[np.float64]:
        """As `fractions`, but just outside for what lies beyond any limit: infinite, or ≤ 0 on a log scale."""
        given = np.asarray(values, np.float64)
        below = (given <= 0) if self.scale == "log" else (given == -np.inf)
        fractions = np.where(below, -1.0, np.where(given == np.inf, 2.0, self.fractions(given)))
        return np.clip(fractions, -1.0, 2.0)

    def value(self, fraction: float) -> float:
        """The inverse of `fractions`."""
        low, high = self.limits
        if self.scale == "log":
            return float(10 ** (math.log10(low) * (1 - fraction) + math.log10(high) * fraction))
        return low * (1 - fraction) + high * fraction


def dot_at(fraction: float, dots: int) -> int:
    """The dot, counted from the low end, that shows a place within the axis."""
    return min(dots - 1, max(0, round(fraction * (dots - 1))))
