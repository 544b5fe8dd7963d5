"""Limits that stay put while data grows, and then move in round steps: an axis that moves every frame costs ten times
the bytes of one that doubles."""

from __future__ import annotations

import math

from mftui.canvas.axis import Scale

Limits = tuple[float, float]

_TOO_LARGE = 8
"""times as long as the data: then the axis shrinks"""
_LOWEST_DECADE = -290
_ROUND = (1.0, 2.0, 5.0, 10.0)


def sticky_limits(before: Limits | None, low: float, high: float, scale: Scale = "linear") -> Limits:
    """Round limits around `low` to `high`: `before` for as long as the data stay inside and fill an eighth of them.

    An end that data outgrew moves out so that the axis doubles (or more); the other end stays. On a log scale the ends
    are decades. Without finite data, `before`.
    """
    fallback = (0.1, 1.0) if scale == "log" else (0.0, 1.0)
    if not (math.isfinite(low) and math.isfinite(high)) or (scale == "log" and high <= 0):
        return before or fallback
    low, high = min(low, high), max(low, high)
    if scale == "log":
        exponents = (math.log10(before[0]), math.log10(before[1])) if before and before[0] > 0 else None
        bottom, top = _sticky_decades(exponents, math.log10(low if low > 0 else high / 1000), math.log10(high))
        return 10.0 ** max(bottom, _LOWEST_DECADE), 10.0 ** min(top, -_LOWEST_DECADE)
    return _sticky_linear(before, low, high)


def from_zero(before: Limits | None, high: float, cap: float = math.inf) -> Limits:
    """From 0 to 1, 2 or 5 times a power of ten at or above `high`, at most `cap`; never shrinks.

    For steps and counts, which only grow.
    """
    top = min(cap, round_up(high))
    return 0.0, max(top, before[1]) if before else top


def round_up(value: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is ≥ `value`; 1 for what isn't finite or above zero."""
    if not math.isfinite(value) or value <= 0:
        return 1.0
    scale = 10.0 ** math.floor(math.log10(value))
    return next((m * scale for m in _ROUND if m * scale >= value * (1 - 1e-9)), 10 * scale)


def _sticky_linear(before: Limits | None, low: float, high: float) -> Limits:
    data = max(abs(low), abs(high), 1e-290) if _is_constant(low, high) else high - low
    if before is None or not data / 1e6 < before[1] - before[0] <= _TOO_LARGE * data:
        return _rounded(low, high)
    bottom, top = before
    if bottom <= low and high <= top:
        return before
    top = bottom + _doubled(top - bottom, high - bottom)
    bottom = top - _doubled(top - bottom, top - low)
    return (bottom, top) if math.isfinite(bottom) and math.isfinite(top) else _rounded(low, high)


def _doubled(length: float, wanted: float) -> float:
    """`length` times the least power of two that makes it `wanted` or more."""
    return length * 2.0 ** max(0, math.ceil(math.log2(wanted / length) - 1e-9)) if wanted > length else length


def _is_constant(low: float, high: float) -> bool:
    return high - low <= 1e-6 * max(abs(low), abs(high))


def _rounded(low: float, high: float) -> Limits:
    """Outwards to tenths of the length, rounded; zero is an end where it is near, or the data are constant."""
    if low >= 0 and (low <= 0.5 * high or _is_constant(low, high)):
        return 0.0, round_up(high)
    if high <= 0 and (high >= 0.5 * low or _is_constant(low, high)):
        return -round_up(-low), 0.0
    step = round_up((high - low) / 10)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def _sticky_decades(before: Limits | None, low: float, high: float) -> tuple[int, int]:
    """Whole exponents; an end that data outgrew moves by at least two decades, so that it doesn't every frame."""
    bottom, top = math.floor(low + 1e-9), max(math.ceil(high - 1e-9), math.floor(low + 1e-9) + 1)
    if before is None:
        return bottom, top
    old_bottom, old_top = round(before[0]), round(before[1])
    if old_top - old_bottom > _TOO_LARGE // 2 * (top - bottom):
        return bottom, top
    return (
        old_bottom if bottom >= old_bottom else min(bottom, old_bottom - 2),
        old_top if top <= old_top else max(top, old_top + 2),
    )
