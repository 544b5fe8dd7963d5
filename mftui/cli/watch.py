"""Staying with a run: its progress on stderr until it is over, then its results on stdout."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NoReturn

import typer
from rich.console import Console

from engine.analysis.verdicts import verdicts
from engine.results import summarize
from engine.runs import catalog
from engine.runs.catalog import FORMAT, RunError, last_sign
from engine.runs.directory import RunDirectory
from engine.runs.files import to_json
from mftui.cli.charts import print_plot, wants_plot
from mftui.formatting import notes, observed_table, recovered_table, remarks, results_table, verdict_lines
from mftui.live import LiveRun
from mftui.plain import format_time, printable
from mftui.progress import ProgressDisplay, TerminalLostError

POLL_SECONDS = 0.1
LOCK_POLL_SECONDS = 0.02
EXIT_SECONDS = 10.0
EXIT_FAILED = 1
EXIT_TERMINAL_LOST = 129
"""what a shell makes of a hangup"""
EXIT_INTERRUPTED = 130
PIPED_WIDTH = 120


Begin = Callable[[RunDirectory], LiveRun]


def job_of(cluster: str | None, settings: list[str] | None, *, new: bool = False) -> Begin | None:
    """How to begin a run as a job of a cluster; None to begin it here. Raises `RunError`.

    A `new` run whose job is refused is deleted again: nothing was begun.
    """
    if cluster is None:
        if settings:
            raise RunError("--cluster-option: expected --cluster as well")
        return None
    from engine.runs.cluster import options, submit

    chosen = options(settings or [])

    def begin(directory: RunDirectory) -> LiveRun:
        try:
            submit(directory, cluster, chosen)
        except RunError:
            if new:
                catalog.remove(directory.path)
            raise
        return LiveRun(directory)

    return begin


def start(
    directory: RunDirectory, job: Begin | None, *, detach: bool, json: bool, plot: bool | None, quiet: bool
) -> None:
    """Start a worker and stay with it, or leave it to itself. Raises `RunError` if the run has one already."""
    begin = job or LiveRun.start
    if detach:
        _start_and_leave(begin(directory), json=json, quiet=quiet)
        return
    with _interrupts() as interrupts:
        live = begin(directory)
        _follow(live, interrupts, ours=True, json=json, plot=plot, quiet=quiet)


def follow(live: LiveRun, *, json: bool, plot: bool | None, quiet: bool) -> None:
    """Stay with a run that is somebody else's."""
    with _interrupts() as interrupts:
        _follow(live, interrupts, ours=False, json=json, plot=plot, quiet=quiet)


def see_to_its_end(run: RunDirectory, *, ours: bool, quiet: bool) -> LiveRun:
    """Start a worker on a run of ours, or stay with one at work; ours is stopped by Ctrl-C. Prints no results.

    The run as it was left: over, or at work if somebody lost patience. Raises `RunError` as `LiveRun.start` does.
    """
    with _interrupts() as interrupts:
        live = LiveRun.start(run) if ours else LiveRun(run)
        try:
            _watch(live, interrupts, ours=ours, quiet=quiet)
        except TerminalLostError:
            _go_quietly()
        live.wait(EXIT_SECONDS)
    return live


def _start_and_leave(live: LiveRun, *, json: bool, quiet: bool) -> None:
    directory = live.run
    while not live.over and not _has_begun(live):  # or `attach` would find nobody there
        live.poll()
        time.sleep(LOCK_POLL_SECONDS)
    if live.state in ("failed", "interrupted"):
        _end(live, interrupted=False)
    tell(directory, json=json)
    if not quiet:
        name = _named(directory)
        typer.echo(f"it goes on by itself; watch it: mftui attach {name}; stop it: mftui runs stop {name}", err=True)


def tell(run: RunDirectory, *, json: bool) -> None:
    """Which run it is, on stdout, for a script."""
    about = {"name": run.name, "run": str(run.path)}
    typer.echo(to_json(about, indent=2) if json else run.location)


def _has_begun(live: LiveRun) -> bool:
    """Whether our worker says so, or a scheduler holds our job."""
    if live.process is not None:
        return live.leader == live.process.pid
    return catalog.state(live.run.path) != "interrupted"


def _follow(live: LiveRun, interrupts: list[int], *, ours: bool, json: bool, plot: bool | None, quiet: bool) -> None:
    try:
        outcome = _watch(live, interrupts, ours=ours, quiet=quiet)
    except TerminalLostError:
        _go_quietly()
    if outcome == "left":
        name = _named(live.run)
        what = "stops at its next step" if ours else f"goes on; stop it: mftui runs stop {name}"
        typer.echo(f"{live.run.name} {what}; watch it: mftui attach {name}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED if ours else 0)
    live.wait(EXIT_SECONDS)  # so that the run can be resumed at once
    _print_results(live, json=json, plot=wants_plot(plot, quiet=quiet))
    _end(live, interrupted=bool(interrupts))


def _watch(live: LiveRun, interrupts: list[int], *, ours: bool, quiet: bool) -> Literal["over", "left"]:
    """Show progress. Ctrl-C asks our run to stop, a second one ends the wait for that; others' runs are left alone."""
    patience = 1 if ours else 0
    asked = False
    hint = "Ctrl-C stops it, a closed terminal does not" if ours else "Ctrl-C leaves it to itself"
    with ProgressDisplay(live, quiet=quiet, hint=hint) as display:
        while True:
            live.poll()
            display.update()
            if live.over:
                return "over"
            if len(interrupts) > patience:
                return "left"
            if interrupts and not asked:
                live.stop()
                asked = True
            time.sleep(POLL_SECONDS)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Collects Ctrl-C instead of being ended by it."""
    received: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, previous)


def _go_quietly() -> NoReturn:
    """Nobody reads any more: end without a word, not even about what is still buffered; the worker goes on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    raise typer.Exit(EXIT_TERMINAL_LOST)


def _print_results(live: LiveRun, *, json: bool, plot: bool) -> None:
    if json:
        typer.echo(to_json({**live.run.results(live.results), "state": live.state}, indent=2))
        return
    if live.results:
        if plot:
            print_plot(live.run)
        print_tables(live)
        diagnostics = Console(stderr=True)
        for remark in remarks(summarize(live.experiment, live.results)):
            diagnostics.print(remark, soft_wrap=True)


def print_tables(live: LiveRun) -> None:
    """The results so far, on stdout."""
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    console.print(results_table(live.experiment, live.results))
    for note in notes(summarize(live.experiment, live.results)):
        console.print(note, soft_wrap=True)
    for line in verdict_lines(verdicts(live.experiment, live.results)):
        console.print(line, soft_wrap=not sys.stdout.isatty())  # on a terminal broken between words
    recovered = [matrix for _, matrix in sorted(live.recovered.items())]
    first_seed = [matrix for matrix in recovered if matrix.seed == recovered[0].seed]
    for matrix in first_seed[:1]:
        console.print(observed_table(matrix.observed))
    for matrix in first_seed:
        console.print(recovered_table(matrix, live.experiment.label(matrix.point)))


def _end(live: LiveRun, *, interrupted: bool) -> None:
    if live.state == "finished":
        typer.echo(f"run: {live.run.path}", err=True)
        return
    kept = f"{len(live.results)} finished trial{'' if len(live.results) == 1 else 's'} kept"
    if live.state == "stopped":
        typer.echo(f"stopped, {kept}; go on with: {_go_on(live.run)}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED if interrupted else EXIT_FAILED)
    typer.echo(f"error: {live.message}", err=True)
    if live.state == "interrupted":
        typer.echo(f"{kept}; {how_it_was_interrupted(live.run)}", err=True)
    else:
        typer.echo(f"{kept}; go on with: {_go_on(live.run)}", err=True)
    raise typer.Exit(EXIT_FAILED)


def how_it_was_interrupted(run: RunDirectory) -> str:
    """When a dead run was last heard of, and how to go on with it."""
    when = last_sign(run.path)
    return f"interrupted at {format_time(when)}, resume with: {_go_on(run)}" if when else f"begin with: {_go_on(run)}"


def _go_on(run: RunDirectory) -> str:
    """The command that goes on with a run; one of an earlier version can only be begun anew."""
    return f"mftui resume {_named(run)}" if run.format == FORMAT else f"mftui run {run.path / 'spec.toml'}"


def _named(run: RunDirectory) -> str:
    """The run's name or path as a shell takes it."""
    return printable(shlex.quote(run.location))
