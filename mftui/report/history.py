"""How long a run computed, by what it wrote: pauses, and waits for a device or to be resumed, are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_BEGIN = ("device", "continued")
_END = ("paused", "stopped", "finished", "failed")


def computing_seconds(events: Iterable[Mapping[str, Any]], signs: Iterable[float]) -> float:
    """Seconds from when a device was had to the end of the attempt, over all attempts.

    `signs` are further times of day at which the run was at work: where it died, the last of them is its end.
    """
    moments = [(sign, "") for sign in signs]
    for event in events:
        time = event.get("time")
        if isinstance(time, int | float) and not isinstance(time, bool):
            moments.append((float(time), str(event.get("event"))))
    moments.sort(key=lambda moment: moment[0])
    total, began, last = 0.0, None, 0.0
    for time, kind in moments:
        if kind == "started" and began is not None:  # the attempt before it died
            total, began = total + last - began, None
        elif kind in _BEGIN and began is None:
            began = time
        elif kind in _END and began is not None:
            total, began = total + time - began, None
        last = time
    return total if began is None else total + last - began
