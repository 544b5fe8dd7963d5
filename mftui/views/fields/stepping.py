"""The next sensible value of a number: round steps 1, 2, 5, 10 … where a field spans decades, equal steps else."""

from __future__ import annotations

import math
from dataclasses import dataclass

_ROUND = (1, 2, 5)
COARSE = 3
"""steps that shift makes of one: a decade of round steps"""
SMALLEST = 1e-12
"""next to zero, where a fraction is stepped"""


@dataclass(frozen=True)
class Scale:
    """How a field is stepped, and between which values."""

    step: float = 0.0
    """between two values; 0 means 1, 2, 5, 10 …"""
    values: tuple[float, ...] = ()
    """if any, these alone"""
    whole: bool = False
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    """`low` itself is refused"""
    open_high: bool = False

    def next(self, value: float, by: int) -> float:
        """`by` steps on, up or down; the last value that the field takes where there are no more."""
        for _ in range(abs(by)):
            following = self._one(value, by > 0)
            if not self._takes(following):
                edge = self.high if by > 0 else self.low
                inward = (edge > value) if by > 0 else (edge < value)
                return edge if inward and self._takes(edge) else value
            value = following
        return int(value) if self.whole else value

    def along(self, value: float, by: int) -> float | None:
        """One of several values, `by` steps on with the others, so that all stay apart; None where there is none.

        Where round numbers are stepped, a step doubles or halves, and a coarse one is a decade.
        """
        if self.values:
            moved = self.next(value, by)
        elif self.step:
            moved = round(value + by * self.step, 10)
        else:
            moved = float(f"{value * (2.0**by if abs(by) < COARSE else 10.0 ** (by / COARSE)):.12g}")
            moved = round(moved) if self.whole else moved
        return (int(moved) if self.whole else moved) if self._takes(moved) else None

    def _one(self, value: float, up: bool) -> float:
        if self.values:
            further = [each for each in self.values if (each > value if up else each < value)]
            return (further[0] if up else further[-1]) if further else value
        if self.step:
            return round(value + (self.step if up else -self.step), 10)
        if self.whole and (value <= 0 or (value <= 1 and not up)):
            return value + (1 if up else -1)
        if not self.whole and (value <= 0 or (value <= SMALLEST and not up)):
            return SMALLEST if up else 0.0
        return _rounder(value, up)

    def _takes(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)


def _rounder(value: float, up: bool) -> float:
    """The nearest of 1, 2, 5 times a power of ten that is larger, or smaller."""
    exponent = math.floor(math.log10(value))
    near = [float(f"{digit}e{exponent + shift}") for shift in (-1, 0, 1) for digit in _ROUND]
    return min(each for each in near if each > value) if up else max(each for each in near if each < value)
