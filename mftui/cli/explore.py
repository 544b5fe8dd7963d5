"""`mftui explore`, and `mftui` alone: the live screen."""

from __future__ import annotations

import gc
import sys

import typer

from mftui.cli.options import DeviceOption, PresetArgument, SeedOption, SetOption, overrides


def explore(
    preset: PresetArgument = "quick-start",
    settings: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Open the explorer on a preset and run it live.

    Example: mftui explore wide-linear --set model.depth=3
    """
    from engine.spec.preset import load

    experiment = load(preset, overrides(settings, seed))
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        typer.echo("error: the explorer needs a terminal; without one: mftui run " + preset, err=True)
        raise typer.Exit(2)
    gc.disable()  # what imports make is there to stay: 7 % of the time until the first picture
    from mftui.app import Explorer

    gc.enable()
    Explorer(experiment, device).run()
