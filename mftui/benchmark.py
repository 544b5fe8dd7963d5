"""What a benchmark found: rows, one shape for all scripts of `benchmarks/`. Imports nothing slow."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

_NAME_CELLS, _RANGE_CELLS = 66, 21


@dataclass(frozen=True)
class Row:
    """One measured number."""

    name: str
    value: float | None
    """None: not measured, `note` says why"""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    """least and largest of the repetitions, whose median `value` is; of a fitted exponent, its 95 % interval; of a loss
    over data sets, its quartiles"""
    against: str = ""
    """what it is compared with"""
    on: str = ""
    """what it is measured on, where the name doesn't say"""
    at_least: float | None = None
    at_most: float | None = None
    """targets"""
    note: str = ""
    failed: bool = False
    """whether an error kept it from being measured"""

    @staticmethod
    def of(name: str, values: Sequence[float], unit: str, **more: Any) -> Row:
        """The median of some repetitions, with their range."""
        if len(values) == 1:
            return Row(name, values[0], unit, **more)
        return Row(name, statistics.median(values), unit, min(values), max(values), **more)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if there is none, or no value."""
        if self.value is None or (self.at_least is None and self.at_most is None):
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    @property
    def figure(self) -> str:
        """The value with its unit."""
        if self.value is None:
            return "failed" if self.failed else "skipped"
        return f"{number(self.value)} {self.unit}".rstrip()

    @property
    def range(self) -> str:
        return "" if self.low is None or self.high is None else f"{number(self.low)} – {number(self.high)}"

    @property
    def target(self) -> str:
        bounds = [("≥", self.at_least), ("≤", self.at_most)]
        return " ".join(f"{sign} {number(bound)}" for sign, bound in bounds if bound is not None)

    @property
    def verdict(self) -> str:
        return {None: "", True: "met", False: "missed"}[self.met]

    def line(self) -> str:
        """For a script that prints rows as they come."""
        cells = f"{self.name:{_NAME_CELLS}} {self.figure:>14}  {self.range:{_RANGE_CELLS}} {self.target} {self.verdict}"
        below = "; ".join(
            filter(None, [self.on and f"on {self.on}", self.against and f"against {self.against}", self.note])
        )
        return cells.rstrip() + (f"\n    {below}" if below else "")


@dataclass(frozen=True)
class Sheet:
    """What one script found."""

    script: str
    about: str
    quick: bool
    """measured with few repetitions, for orientation"""
    seconds: float
    environment: Mapping[str, Any]
    """versions, cores, device, `date`, and `load_average` at the start"""
    rows: tuple[Row, ...]

    def document(self) -> dict[str, Any]:
        """As JSON has it; `from_document` reads it back."""
        rows = [asdict(row) for row in self.rows]
        return {**{each.name: getattr(self, each.name) for each in fields(self)}, "rows": rows}

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> Sheet:
        """Raises `KeyError` or `TypeError` if it is none."""
        known = {each.name: document[each.name] for each in fields(Sheet)}
        return Sheet(**{**known, "rows": tuple(Row(**row) for row in document["rows"])})


def number(value: float) -> str:
    """Three figures; whole from a thousand on."""
    if abs(value) >= 1e6:
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def folder() -> Path:
    """Where the scripts lie: inside the installed package, or beside `mftui/` in a checkout."""
    here = Path(__file__).parent
    installed = here / "benchmarks"
    return installed if installed.is_dir() else here.parent / "benchmarks"


def scripts(place: Path) -> list[str]:
    """Names of the scripts in a folder; files whose names begin with an underscore are helpers."""
    return sorted(path.stem for path in place.glob("[!_]*.py"))
