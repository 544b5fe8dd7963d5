"""Where an axis has ticks, and what is written there: as many round numbers as fit without touching."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from mftui.canvas.axis import Axis, dot_at
from mftui.canvas.numbers import write_power, write_tick

_PITCH = 10
"""cells between the middles of neighbouring labels under the plot"""
_GAP = 2
"""blank cells between two of them"""
_MANTISSAS = ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3))
"""labelled within decades when there are fewer than two decades to label"""
_CELLS_FOR_NINE, _CELLS_FOR_TWO_AND_FIVE = 22, 4
"""cells a decade needs for its minor ticks to be in different cells"""


class Tick(NamedTuple):
    """A minor tick has no label."""

    value: float
    label: str
    cell: int
    """from the left, or from the top"""


@lru_cache(maxsize=256)
def ticks(axis: Axis, cells: int, dots: int, upright: bool = False) -> tuple[Tick, ...]:
    """Ascending in value, within the limits; labels don't touch.

    The axis is `cells` long, with `dots` dots in each.
    """
    if cells <= 0:
        return ()
    length = _Length(axis, cells, dots, upright)
    if axis.categories:
        return _categories(length)
    if axis.scale == "log":
        return _log(length) or _linear(length)
    return _linear(length)


def label_start(tick: Tick, cells: int) -> int:
    """Column of the first character under a horizontal axis: centred, but not beyond the right end."""
    return min(tick.cell - (len(tick.label) - 1) // 2, cells - len(tick.label))


class _Length(NamedTuple):
    axis: Axis
    cells: int
    dots: int
    upright: bool

    def tick(self, value: float, label: str) -> Tick:
        low, high = self.axis.limits
        value = min(max(value, low), high)
        cell = dot_at(float(self.axis.fractions(value)), self.cells * self.dots) // self.dots
        return Tick(value, label, self.cells - 1 - cell if self.upright else cell)

    def fits(self, marks: Sequence[Tick]) -> bool:
        pairs = list(pairwise(marks))
        if self.upright:
            pitch = min(4, max(2, self.cells // 6))
            return all(one.cell - other.cell >= pitch for one, other in pairs)
        return all(
            other.cell - one.cell >= _PITCH
            and label_start(other, self.cells) - label_start(one, self.cells) >= len(one.label) + _GAP
            for one, other in pairs
        )


def _categories(length: _Length) -> tuple[Tick, ...]:
    low, high = length.axis.limits
    marks = [length.tick(value, name) for value, name in sorted(length.axis.categories) if low <= value <= high]
    for stride in range(1, len(marks) + 1):
        kept = marks[::stride]
        pairs = pairwise(kept)
        if length.upright or all(
            label_start(b, length.cells) > label_start(a, length.cells) + len(a.label) for a, b in pairs
        ):
            return tuple(kept)
    return ()


def _linear(length: _Length) -> tuple[Tick, ...]:
    for mantissa, exponent in _steps(length):
        marks = [length.tick(*place) for place in _multiples(length.axis, mantissa, exponent)]
        if length.fits(marks):
            return tuple(marks)
    return ()


def _steps(length: _Length) -> Iterator[tuple[int, int]]:
    """1, 2, 5, 10, … from what is too fine for the cells to what is coarser than the axis."""
    low, high = length.axis.limits
    finest = (high - low) / length.cells
    if length.axis.unit == "count":
        finest = max(finest, 1.0)
    for exponent in range(math.floor(math.log10(finest)), math.floor(math.log10(high - low)) + 3):
        yield from ((mantissa, exponent) for mantissa in (1, 2, 5) if mantissa * 10.0**exponent >= finest * 0.999)


def _multiples(axis: Axis, mantissa: int, exponent: int) -> Iterable[tuple[float, str]]:
    low, high = axis.limits
    step = mantissa * 10.0**exponent
    for number in range(math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6) + 1):
        # dividing by a whole power of ten rounds once: 3 / 10, not 3 * 0.1
        value = number * mantissa * 10.0**exponent if exponent >= 0 else number * mantissa / 10.0**-exponent
        yield value, write_tick(value, step, max(-low, high), axis.unit)


def _log(length: _Length) -> tuple[Tick, ...]:
    low, high = (math.log10(end) for end in length.axis.limits)
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    plain = first >= -3 and last <= 4
    decades = range(first, last + 1)
    for stride in range(1, len(decades)):
        marks = [_power(length, 1, exponent, plain) for exponent in decades if exponent % stride == 0]
        if len(marks) > 1 and length.fits(marks):
            return tuple(sorted({*marks, *_minor(length, decades, marks, stride)}))
    around = range(first - 1, last + 1)
    for mantissas in _MANTISSAS:
        marks = [
            _power(length, mantissa, exponent, plain)
            for exponent in around
            for mantissa in mantissas
            if low - 1e-9 <= exponent + math.log10(mantissa) <= high + 1e-9
        ]
        if len(marks) > 1 and length.fits(marks):
            return tuple(marks)
    return ()


def _power(length: _Length, mantissa: int, exponent: int, plain: bool) -> Tick:
    value = mantissa * 10.0**exponent if exponent >= 0 else mantissa / 10.0**-exponent
    return length.tick(value, write_power(mantissa, exponent, plain, length.axis.unit))


def _minor(length: _Length, decades: range, marks: Sequence[Tick], stride: int) -> Iterator[Tick]:
    """Unlabelled ticks, in cells that the labelled ones leave free."""
    low, high = (math.log10(end) for end in length.axis.limits)
    cells_per_decade = length.cells / (high - low)
    taken = {mark.cell for mark in marks}
    mantissas: Sequence[int] = (1,)
    if stride == 1 and cells_per_decade >= _CELLS_FOR_TWO_AND_FIVE:
        mantissas = range(2, 10) if cells_per_decade >= _CELLS_FOR_NINE else (2, 5)
    if stride > 1 and cells_per_decade < 2:
        return
    for exponent in range(decades.start - 1, decades.stop):
        for mantissa in mantissas:
            if low <= exponent + math.log10(mantissa) <= high:
                tick = length.tick(mantissa * 10.0**exponent, "")
                if tick.cell not in taken:
                    yield tick
