"""The exact values under a crosshair."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mftui.canvas.plot import ErrorBars, Plot, Steps


@dataclass(frozen=True)
class Reading:
    """The sample of a series nearest to the crosshair, in data units."""

    series: int
    """place among the plot's series"""
    name: str
    style: str
    x: float
    y: float
    """NaN or infinite if that is what was recorded"""
    low: float = math.nan
    high: float = math.nan
    """ends of the error bar, or of the bin"""


def readout(plot: Plot, x: float) -> list[Reading]:
    """One reading for each series that has samples; the nearest as the axis shows it, the later of two as near.

    Of a histogram, the height of the bin that `x` is in and that bin's ends, and none beside it.
    """
    if not math.isfinite(x):
        return []
    readings = []
    for index, series in enumerate(plot.series):
        if isinstance(series, Steps):
            edges = np.asarray(series.edges, np.float64)
            bin_ = int(np.searchsorted(edges, x, side="right")) - 1
            bin_ -= bin_ == len(series.heights) and bool(len(edges)) and x == edges[-1]
            if 0 <= bin_ < len(series.heights):
                low, high = float(edges[bin_]), float(edges[bin_ + 1])
                readings.append(Reading(index, series.name, series.style, x, float(series.heights[bin_]), low, high))
            continue
        distances = np.abs(plot.x.fractions(series.x) - plot.x.fractions(x))
        if np.isfinite(distances).any():
            # from the end, where NaN counts as far: steps may repeat, and the later sample is the valid one
            nearest = len(distances) - 1 - int(np.nan_to_num(distances[::-1], nan=np.inf).argmin())
            low, high = math.nan, math.nan
            if isinstance(series, ErrorBars):
                low, high = float(series.low[nearest]), float(series.high[nearest])
            at, height = float(series.x[nearest]), float(series.y[nearest])
            readings.append(Reading(index, series.name, series.style, at, height, low, high))
    return readings
