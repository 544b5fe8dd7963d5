"""Texts from files, sizes and times as they are written in a terminal. Imports nothing slow."""

from __future__ import annotations

import time

WEEK = 7 * 86_400
WRAPPED_AT = 120
"""cells of a line of text in a preset file; a break that this width did not need is meant"""


def printable(text: str) -> str:
    """Text from a file or a file's name, with all that could move a terminal's cursor written out."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def paragraphs(text: str) -> list[str]:
    """Text as wrapped in a preset file, each paragraph in one line again."""
    found: list[str] = []
    room = -1
    for line in text.strip().splitlines():
        first = line.split(" ", 1)[0]
        if found and line.strip() and room <= len(first):
            found[-1] += f" {line.strip()}"
        elif line.strip():
            found.append(line.strip())
        room = WRAPPED_AT - len(line) - 1 if line.strip() else WRAPPED_AT
    return found


def format_size(size: float) -> str:
    """812 B, 3.4 kB, 56 MB: powers of 1000, as in `ls -h --si`."""
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= limit:
            return f"{size / limit:.{1 if size < 10 * limit else 0}f} {unit}"
    return f"{size:.0f} B"


def format_age(moment: float, now: float) -> str:
    """12s ago, 5m ago, 3h ago, 6d ago; the date where that is more than a week."""
    age = max(0.0, now - moment)
    if not age < WEEK:
        return format_time(moment)[:10]
    for seconds, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if age >= seconds:
            return f"{age / seconds:.0f}{unit} ago"
    return f"{age:.0f}s ago"


def format_time(moment: float) -> str:
    """2026-11-23 21:40:05, local time."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
    except (OverflowError, ValueError, OSError):  # as a damaged file may have it
        return "unknown"
