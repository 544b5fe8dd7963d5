"""`mftui queue`: who computes, and who waits."""

from __future__ import annotations

import typer

from mftui.cli.options import JsonOption


def queue(json: JsonOption = False) -> None:
    """Who computes on this machine, and who waits.

    A process a line, device by device: a GPU has one place, the CPU one a core.

    Example: mftui queue --json
    """
    from dataclasses import asdict
    from time import time

    from engine.runs.files import to_json
    from engine.runs.queue import queue as places
    from mftui.cli.listing import Column, lines, terminal_width
    from mftui.plain import format_age, printable

    found = places()
    if json:
        typer.echo(to_json([asdict(place) for place in found], indent=2))
        return
    if not found:
        typer.echo("nobody computes or waits on this machine", err=True)
        return
    now = time()
    columns = [
        Column("DEVICE", [printable(place.device) for place in found]),
        Column("STATE", ["at work" if place.at_work else "waits" for place in found]),
        Column("RUN", [printable(place.run.rsplit("/", 1)[-1]) for place in found], least=16, keep_end=True),
        Column("PROCESS", [str(place.pid) for place in found], right=True),
        Column("SINCE", [format_age(place.drawn, now) for place in found]),
    ]
    for line in lines(columns, terminal_width()):
        typer.echo(line)
