"""Arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

PresetArgument = Annotated[
    str, typer.Argument(metavar="PRESET_OR_FILE", help="A preset's name (see `mftui presets`), or a .toml file.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a field, such as model.width=64. Repeatable."),
]
SeedOption = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="Seed of the first trial (the same as --set problem.seed=N)."),
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda[:i]", help="Where to compute.")]


def overrides(settings: list[str] | None, seed: int | None) -> list[str]:
    """All overrides in order; --seed comes last."""
    return [*(settings or []), *([] if seed is None else [f"problem.seed={seed}"])]
