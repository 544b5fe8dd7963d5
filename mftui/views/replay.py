"""A run that is over, shown again as it went."""

from __future__ import annotations

from dataclasses import dataclass

TICK_SECONDS = 0.1
WHOLE_SECONDS = 10.0
"""that a whole run takes at speed 1, however long it was"""
SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass
class Replay:
    """How fast it goes, and whether it does."""

    playing: bool = False
    level: int = SPEEDS.index(1.0)
    _owed: float = 0.0
    """moments that are due, less than one"""

    def hasten(self, by: int) -> None:
        """One of `SPEEDS` more, or less."""
        self.level = min(max(0, self.level + by), len(SPEEDS) - 1)

    def next(self, row: int, moments: int) -> int | None:
        """The moment to show a tick after number `row`; None at the end of them."""
        self._owed += moments * SPEEDS[self.level] * TICK_SECONDS / WHOLE_SECONDS
        due, self._owed = divmod(self._owed, 1.0)
        return row + int(due) if row + due < moments else None

    def __str__(self) -> str:
        return f"replay ×{SPEEDS[self.level]:g}"
