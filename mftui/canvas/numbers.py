"""How numbers are written beside axes and in readouts: few characters, and neighbours never alike."""

from __future__ import annotations

import math
from typing import Literal

Unit = Literal["number", "count", "percent"]

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SMALLEST_FIXED_STEP = 1e-3
_LARGEST_FIXED: dict[Unit, float] = {"number": 1e5, "count": 1e3, "percent": 1e5}


def write_tick(value: float, step: float, largest: float, unit: Unit) -> str:
    """A multiple of `step` on an axis up to `largest` in magnitude: 0.25, 5e-8, 10k, 1.5M, 20%."""
    sign = "%" if unit == "percent" else ""
    if value == 0:
        return "0" + sign
    if step >= _SMALLEST_FIXED_STEP and largest < _LARGEST_FIXED[unit]:
        return f"{value:.{_decimals(step)}f}{sign}"
    for size, prefix in _PREFIXES:
        if size <= abs(value) < 1e15 and step >= _SMALLEST_FIXED_STEP:
            return _trim(f"{value / size:.{_decimals(step / size)}f}") + prefix + sign
    if largest < 1e15 and step >= _SMALLEST_FIXED_STEP:
        return _trim(f"{value:.{_decimals(step)}f}") + sign
    return _exponential(value, max(0, _exponent(value) - _exponent(step))) + sign


def write_power(mantissa: int, exponent: int, plain: bool, unit: Unit) -> str:
    """A tick of a log axis, `mantissa`·10^`exponent`: 1e-8 or 0.01 (`plain`), 10k, 0.1%."""
    if unit == "number" and (mantissa, exponent) != (1, 0) and not plain:
        return f"{mantissa}e{exponent}"
    if unit == "count" and 0 <= exponent < 15:
        return f"{mantissa}{'0' * (exponent % 3)}{('', 'k', 'M', 'G', 'T')[exponent // 3]}"
    digits = f"{mantissa}{'0' * exponent}" if exponent >= 0 else f"{mantissa / 10.0**-exponent:.{-exponent}f}"
    sign = "%" if unit == "percent" else ""
    return (digits if len(digits) <= 5 else f"{mantissa}e{exponent}") + sign


def write_value(value: float, unit: Unit = "number") -> str:
    """Four significant digits, counts in full: 0.2263, 3.4e-8, 12300; NaN and inf as such."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if unit == "count" and value == round(value) and abs(value) < 1e12:
        return f"{value:.0f}"
    text = f"{value:.4g}" if value == 0 or 1e-3 <= abs(value) < 1e5 else _exponential(value, 3)
    return text + ("%" if unit == "percent" else "")


def _decimals(step: float) -> int:
    return max(0, -_exponent(step))


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value)) + 1e-9)


def _trim(digits: str) -> str:
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _exponential(value: float, digits: int) -> str:
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{_trim(mantissa)}e{int(exponent)}"
