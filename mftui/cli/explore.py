"""`mftui explore`, and `mftui` alone: the live screen."""

from __future__ import annotations

import gc
import os
import sys
from typing import Annotated

import typer

from mftui.cli.options import DeviceOption, PresetArgument, SeedOption, SetOption, overrides


def explore(
    preset: PresetArgument = "quick-start",
    settings: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    low_bandwidth: Annotated[
        bool, typer.Option("--low-bandwidth", help="Two frames and 8 KB a second, at most.")
    ] = False,
    max_rate: Annotated[
        int | None, typer.Option("--max-rate", min=1, metavar="BYTES", help="A second; over ssh 48000 by default.")
    ] = None,
) -> None:
    """Open the explorer on a preset and run it live.

    Leaving it stops its run, unless by D, which lets the run go on; ? shows all keys.

    Exit status: 0 left, 1 failed, 2 bad input, or no terminal.

    Example: mftui explore width-linear --set model.depth=3
    """
    gc.disable()  # until the app is ready: what comes into being before that is there to stay
    from engine.runs.launch import Spare

    # with a core for each, the worker loads torch while the screen loads what it needs: the run begins a second earlier
    has_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    spare = Spare() if has_terminal and len(os.sched_getaffinity(0)) > 1 else None
    try:
        from engine.spec.preset import load

        experiment = load(preset, overrides(settings, seed))
    except BaseException:
        if spare is not None:
            spare.dismiss()
        raise
    if not has_terminal:
        typer.echo("error: the explorer needs a terminal; without one: mftui run " + preset, err=True)
        raise typer.Exit(2)
    os.environ.setdefault("TEXTUAL_FPS", "500")  # what a key changed waits for the next of these, 1 ms on average
    from mftui.app import Explorer

    Explorer(experiment, device, low_bandwidth=low_bandwidth, max_rate=max_rate, spare=spare).run()
