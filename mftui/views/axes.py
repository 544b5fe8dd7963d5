"""Axes whose limits grow in round steps and never shrink, so that a frame changes few cells."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mftui.formatting import format_count

_COARSE = (1.0, 2.0, 5.0, 10.0)
_FINE = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_WRITTEN: dict[str, Callable[[float], str]] = {
    "number": "{:.6g}".format,
    "count": format_count,
    "percent": "{:.4g} %".format,
}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Axis:
    """Limits in plotted units (log10 for decades), and how its ticks are written."""

    low: float
    high: float
    kind: Literal["number", "count", "percent", "decades"] = "number"

    def ticks(self, intervals: int) -> tuple[list[float], list[str]]:
        """Places and labels of at most `intervals` round intervals."""
        if self.kind == "decades":
            step = max(1, math.ceil((self.high - self.low) / max(1, intervals)))
            first = math.ceil(self.low / step - 1e-9) * step
            exponents = range(first, math.floor(self.high + 1e-9) + 1, step)
            return [float(exponent) for exponent in exponents], [power_of_ten(exponent) for exponent in exponents]
        size = round_up((self.high - self.low) / max(1, intervals), _COARSE)
        numbers = range(math.ceil(self.low / size - 1e-9), math.floor(self.high / size + 1e-9) + 1)
        places = [number * size for number in numbers]
        return places, [_WRITTEN[self.kind](place) for place in places]


def round_up(value: float, mantissas: tuple[float, ...] = _FINE) -> float:
    """The smallest round number ≥ `value`; 1 for nothing above zero."""
    if not math.isfinite(value) or value <= 0:
        return 1.0
    scale = 10.0 ** math.floor(math.log10(value))
    return next((m * scale for m in mantissas if m * scale >= value * (1 - 1e-9)), 10 * scale)


def power_of_ten(exponent: int) -> str:
    """10⁻⁴."""
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


class Sticky:
    """Limits that only ever grow, until `reset`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._low, self._high = math.inf, -math.inf

    def from_zero(self, largest: float, cap: float = math.inf, *, coarse: bool = False) -> tuple[float, float]:
        """From 0 to a round number at or above `largest`, at most `cap`; `coarse` doubles, roughly."""
        self._high = max(self._high, min(cap, round_up(largest, _COARSE if coarse else _FINE)))
        return 0.0, self._high

    def decades(self, smallest: float, largest: float) -> tuple[int, int]:
        """Whole exponents around two exponents, at least one decade."""
        self._low = min(self._low, math.floor(smallest))
        self._high = max(self._high, math.ceil(largest), self._low + 1)
        return int(self._low), int(self._high)
