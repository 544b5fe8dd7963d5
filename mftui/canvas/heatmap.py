"""A matrix to draw, and the colour that each entry gets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LEVELS = {"diverging": 15, "sequential": 16}
"""colours of each kind; styles are "diverging-0" (most negative) to "diverging-14", "sequential-0" to "-15"."""
UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class Heatmap:
    """What to draw. Limits are those of the colours; entries beyond them get the last colour."""

    values: NDArray[np.floating]
    """shape (rows, columns); NaN is unknown and drawn as "?" """
    low: float
    high: float
    scale: Literal["diverging", "sequential"] = "diverging"
    """diverging: symmetric around 0, up to the larger of |low| and |high|"""
    levels: int = 16
    """colours, at most; terminals of 16 colours have few"""
    observed: NDArray[np.bool_] | None = None
    """entries to mark, shape (rows, columns)"""
    merged: Literal["largest", "mean"] = "largest"
    """what a cell shows of several entries: the one that stands out most, or the mean of them all"""
    row_labels: tuple[str, ...] = ()
    column_labels: tuple[str, ...] = ()
    cursor: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 2:
            raise ValueError(f"heatmap: expected a matrix, got shape {self.values.shape}")
        if self.observed is not None and self.observed.shape != self.values.shape:
            raise ValueError(f"heatmap: expected observed of shape {self.values.shape}, got {self.observed.shape}")

    @property
    def limits(self) -> tuple[float, float]:
        """Of the colours; finite and apart."""
        low, high = (end if math.isfinite(end) else 0.0 for end in (self.low, self.high))
        if self.scale == "diverging":
            high = max(abs(low), abs(high)) or 1.0
            return -high, high
        return (min(low, high), max(low, high)) if low != high else (low, low + 1.0)

    @property
    def levels_used(self) -> NDArray[np.int64]:
        """Which of the `LEVELS` colours, ascending; an odd number if diverging, so that zero is inside one."""
        colors = LEVELS[self.scale]
        used = min(max(self.levels, 3), colors)
        if self.scale == "diverging" and used % 2 == 0:
            used -= 1
        spread: NDArray[np.int64] = np.rint(np.arange(used) * ((colors - 1) / (used - 1))).astype(np.int64)
        return spread

    def level(self, values: NDArray[np.floating]) -> NDArray[np.int64]:
        """The colour of each value, same shape; −1 where unknown."""
        used, (low, high) = self.levels_used, self.limits
        known = ~np.isnan(values)
        # halves, because high − low may overflow
        share = np.clip((np.where(known, values, 0.0) / 2 - low / 2) / (high / 2 - low / 2), 0, 1)
        levels: NDArray[np.int64] = used[np.minimum((share * len(used)).astype(np.int64), len(used) - 1)]
        return np.where(known, levels, UNKNOWN)
