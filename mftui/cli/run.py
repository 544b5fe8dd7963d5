"""`mftui run`, `attach` and `resume`: an experiment without a screen. stdout is data, stderr is diagnostics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mftui.cli.options import (
    RUN_HELP,
    ClusterOption,
    ClusterSettingOption,
    DetachOption,
    DeviceOption,
    JsonOption,
    PlotOption,
    PresetArgument,
    QuietRunOption,
    RunArgument,
    SeedOption,
    SetOption,
    overrides,
    run_names,
)


def run(
    preset: PresetArgument,
    settings: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    workers: Annotated[
        int, typer.Option("--workers", min=0, metavar="N", help="Processes to share the work; 0: all cores or GPUs.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The run's directory, new or empty. Default: a new one of its own."),
    ] = None,
    detach: DetachOption = False,
    cluster: ClusterOption = None,
    cluster_options: ClusterSettingOption = None,
    json: JsonOption = False,
    plot: PlotOption = None,
    quiet: QuietRunOption = False,
) -> None:
    """Run a preset to its end and print the results.

    Ctrl-C stops cleanly and keeps what is finished; without this terminal the run goes on (`mftui attach`).

    Exit status: 0 finished, 1 failed or stopped from elsewhere (`mftui runs stop`), 2 bad input, 129 the terminal is
    gone, 130 stopped by Ctrl-C.

    Example: mftui run width-linear --set seeds=2 --detach
    """
    from engine.runs.directory import RunDirectory
    from engine.runs.launch import check_device
    from engine.spec.preset import load
    from mftui.cli.watch import job_of, start

    experiment = load(preset, overrides(settings, seed))
    job = job_of(cluster, cluster_options, new=True)
    if job is None:
        check_device(device)
    directory = RunDirectory.create(experiment, device, out, workers=workers)
    for told in experiment.remarks():
        typer.echo(f"note: {told}", err=True)
    start(directory, job, detach=detach, json=json, plot=plot, quiet=quiet)


def resume(
    name: RunArgument,
    detach: DetachOption = False,
    cluster: ClusterOption = None,
    cluster_options: ClusterSettingOption = None,
    json: JsonOption = False,
    plot: PlotOption = None,
    quiet: QuietRunOption = False,
) -> None:
    """Go on with a run that was stopped or died.

    It goes on from its last checkpoints, to the numbers that it would have had. A finished run's results are printed.

    Exit status: as of `mftui run`.

    Example: mftui resume a1b2
    """
    from engine.runs.catalog import find, state
    from engine.runs.directory import RunDirectory
    from mftui.cli.watch import follow, job_of, start, tell
    from mftui.live import LiveRun
    from mftui.plain import printable

    job, run = job_of(cluster, cluster_options), RunDirectory.open(find(name))
    if state(run.path) != "finished":
        start(run, job, detach=detach, json=json, plot=plot, quiet=quiet)
        return
    if not quiet:
        typer.echo(f"{printable(run.name)} is finished, nothing is left to do", err=True)
    if detach:
        tell(run, json=json)
    else:
        follow(LiveRun(run), json=json, plot=plot, quiet=quiet)


def attach(
    name: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help=f"{RUN_HELP} Default: the latest.", autocompletion=run_names),
    ] = None,
    json: JsonOption = False,
    plot: PlotOption = None,
    quiet: QuietRunOption = False,
) -> None:
    """Watch a run to its end and print its results.

    Those of a run that is over come at once. Ctrl-C ends the watching, not the run.

    Exit status: as of `mftui run`, but 0 after Ctrl-C.

    Example: mftui attach a1b2
    """
    from engine.runs.catalog import find, latest
    from engine.runs.directory import RunDirectory
    from mftui.cli.watch import follow
    from mftui.live import LiveRun

    run = RunDirectory.open(find(name) if name is not None else latest())
    follow(LiveRun(run), json=json, plot=plot, quiet=quiet)
