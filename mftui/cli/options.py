"""Arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer


def run_names(incomplete: str) -> list[str]:
    """Names of runs that begin so, for the shell's completion."""
    from engine.runs.catalog import runs_directory

    try:
        return sorted(path.name for path in runs_directory().iterdir() if path.name.startswith(incomplete))
    except OSError:
        return []


def preset_names(incomplete: str) -> list[str]:
    """Names of presets, shipped and the user's own, that begin so, for the shell's completion."""
    from engine.spec.preset import own, shipped

    return [name for name in (*shipped(), *own()) if name.startswith(incomplete)]


PresetArgument = Annotated[
    str,
    typer.Argument(
        metavar="PRESET_OR_FILE",
        help="A preset's name (see `mftui presets`), or a .toml file.",
        autocompletion=preset_names,
    ),
]
RUN_HELP = "A run's name, a part of it that no other has, or its directory."
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP, autocompletion=run_names)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a field, such as model.width=64. Repeatable."),
]
SeedOption = Annotated[
    int | None,
    typer.Option("--seed", min=0, metavar="N", help="Seed of the first trial (the same as --set problem.seed=N)."),
]
ClusterOption = Annotated[
    str | None, typer.Option("--cluster", metavar="slurm|local", help="Run as a job of a cluster, by submitit.")
]
ClusterSettingOption = Annotated[
    list[str] | None,
    typer.Option("--cluster-option", metavar="KEY=VALUE", help="Of the job, such as timeout_min=120. Repeatable."),
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda[:i]", help="Where to compute.")]
DetachOption = Annotated[bool, typer.Option("--detach", help="Return at once and print the run's name; it goes on.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Replace files that are there.")]
PlotOption = Annotated[
    bool | None,
    typer.Option("--plot/--no-plot", help="Plot the results. Default: on a terminal; never in JSON."),
]
QuietRunOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress display, and no plot unless by --plot.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress display.")]


def overrides(settings: list[str] | None, seed: int | None) -> list[str]:
    """All overrides in order; --seed comes last."""
    return [*(settings or []), *([] if seed is None else [f"problem.seed={seed}"])]
