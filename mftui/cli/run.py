"""`mftui run` and `mftui resume`: an experiment without a screen. stdout is data, stderr is diagnostics."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mftui.cli.options import DeviceOption, PresetArgument, SeedOption, SetOption, overrides

if TYPE_CHECKING:
    from engine.runs.directory import RunDirectory
    from mftui.live import LiveRun

POLL_SECONDS = 0.1
EXIT_SECONDS = 10.0
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of the table.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress display.")]


def run(
    preset: PresetArgument,
    settings: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The run's directory, new or empty. Default: a new one of its own."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run a preset to its end and print the results.

    Ctrl-C stops cleanly and keeps what is finished. Exit status: 0 finished, 1 failed, 2 bad input, 130 stopped.
    """
    from engine.runs.directory import RunDirectory
    from engine.runs.launch import check_device
    from engine.spec.preset import load

    experiment = load(preset, overrides(settings, seed))
    check_device(device)
    _follow(RunDirectory.create(experiment, device, out), json=json, quiet=quiet)


def resume(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's name or directory.")],
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Go on with a run that was stopped or died: finished trials are kept, the others start anew."""
    from engine.runs.catalog import find
    from engine.runs.directory import RunDirectory

    _follow(RunDirectory.open(find(name)), json=json, quiet=quiet)


def _follow(directory: RunDirectory, *, json: bool, quiet: bool) -> None:
    """Start a worker and stay with it until it is done; Ctrl-C asks it to stop."""
    from mftui.live import LiveRun
    from mftui.progress import ProgressDisplay

    live = LiveRun.start(directory)
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        live.stop()

    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        with ProgressDisplay(live, quiet=quiet) as display:
            while not live.over:
                live.poll()
                display.update()
                time.sleep(POLL_SECONDS)
    finally:
        signal.signal(signal.SIGINT, previous)
    live.wait(EXIT_SECONDS)  # so that the run can be resumed at once
    _print_results(live, json=json)
    _end(live, interrupted)


def _print_results(live: LiveRun, *, json: bool) -> None:
    from rich.console import Console

    from engine.results import summarize
    from engine.runs.files import to_json
    from mftui.formatting import notes, observed_table, recovered_table, remarks, results_table

    if json:
        typer.echo(to_json({**live.run.results(live.results), "state": live.state}, indent=2))
        return
    if live.results:
        wide_enough = None if sys.stdout.isatty() else 120
        console = Console(width=wide_enough)
        console.print(results_table(live.experiment, live.results))
        summary = summarize(live.experiment, live.results)
        for note in notes(summary):
            console.print(note, soft_wrap=True)
        first_seed = [matrix for _, matrix in sorted(live.recovered.items()) if matrix.seed == min(live.recovered)[1]]
        for matrix in first_seed[:1]:
            console.print(observed_table(matrix.observed))
        for matrix in first_seed:
            console.print(recovered_table(matrix, live.experiment.label(matrix.point)))
        diagnostics = Console(stderr=True)
        for remark in remarks(summary):
            diagnostics.print(remark, soft_wrap=True)


def _end(live: LiveRun, interrupted: bool) -> None:
    go_on = f"mftui resume {live.run.location}"
    if live.state == "finished":
        typer.echo(f"run: {live.run.path}", err=True)
        return
    done = f"{len(live.results)} finished trial{'' if len(live.results) == 1 else 's'} kept"
    if live.state == "stopped":
        typer.echo(f"stopped, {done}; go on with: {go_on}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED if interrupted else EXIT_FAILED)
    typer.echo(f"error: {live.message}\n{done}; go on with: {go_on}", err=True)
    raise typer.Exit(EXIT_FAILED)
