"""`mftui runs`: what runs there are, and what to do with them. A list imports nothing slow."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mftui.cli.command import Command, Group
from mftui.cli.options import RUN_HELP, JsonOption, PlotOption, RunArgument, run_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.runs.catalog import Entry, State
    from mftui.cli.listing import Column
    from mftui.live import LiveRun

Request = Literal["stop", "pause", "continue"]
ANSWERED: dict[Request, frozenset[State]] = {
    "stop": frozenset({"stopped", "finished", "failed", "interrupted"}),
    "pause": frozenset({"paused", "stopped", "finished", "failed", "interrupted"}),
    "continue": frozenset({"starting", "queued", "running", "stopped", "finished", "failed", "interrupted"}),
}
"""states in which there is nothing more to wait for"""
WAIT_SECONDS = 10.0
"""how long a request may take to be acted on before we go on without knowing"""
POLL_SECONDS = 0.02

runs = typer.Typer(
    help="List runs; show, stop, rename, delete one, and more.\n\nExample: mftui runs --json",
    invoke_without_command=True,
    cls=Group,
)


@runs.callback()
def _list_by_default(context: typer.Context, json: JsonOption = False) -> None:
    if context.invoked_subcommand is None:
        list_runs(json=json)


@runs.command("list", cls=Command)
def list_runs(json: JsonOption = False) -> None:
    """All runs, the latest first.

    On a narrow terminal notes, presets and the middles of names are cut; in a pipe nothing is.

    Example: mftui runs list --json
    """
    from engine.runs.catalog import entries, runs_directory
    from engine.runs.files import to_json
    from mftui.cli.listing import lines, terminal_width
    from mftui.plain import printable

    found = entries()
    if json:
        typer.echo(to_json([_document(entry) for entry in found], indent=2))
    elif not found:
        typer.echo(f"no runs yet in {printable(str(runs_directory()))}; `mftui run quick-start` makes one", err=True)
    else:
        for line in lines(_columns(found), terminal_width()):
            typer.echo(line)


@runs.command("show", cls=Command)
def show(name: RunArgument, json: JsonOption = False, plot: PlotOption = None) -> None:
    """What a run is, how far it is, its results so far.

    Example: mftui runs show a1b2
    """
    from engine.runs.catalog import RunError, find, look
    from engine.runs.directory import RunDirectory
    from engine.runs.files import to_json
    from mftui.cli.charts import print_plot, wants_plot
    from mftui.cli.listing import pairs
    from mftui.cli.watch import print_tables
    from mftui.live import LiveRun

    live = LiveRun(RunDirectory.open(find(name)))
    entry = look(live.run.path)
    if entry is None:
        raise RunError(f"{live.run.path}: the run's run.json is damaged")
    live.poll()
    if json:
        typer.echo(to_json({**_document(entry), "environment": _environment(live.run.path)}, indent=2))
        return
    for line in pairs([*_status(live, entry), *_settings(live), *_machine(live.run.path)]):
        typer.echo(line)
    if live.results:
        if wants_plot(plot, quiet=False):
            print_plot(live.run)
        print_tables(live)


@runs.command("stop", cls=Command)
def stop(name: RunArgument) -> None:
    """Stop a run; `mftui resume` goes on with it.

    Returns when it has stopped, or after 10 s, saying that it will.

    Example: mftui runs stop a1b2
    """
    _ask(name, "stop")


@runs.command("pause", cls=Command)
def pause(name: RunArgument) -> None:
    """Let a run write a checkpoint and wait.

    It keeps its place in the queue and its memory.

    Example: mftui runs pause a1b2
    """
    _ask(name, "pause")


@runs.command("continue", cls=Command)
def go_on(name: RunArgument) -> None:
    """Let a paused run go on.

    Example: mftui runs continue a1b2
    """
    _ask(name, "continue")


@runs.command("rename", cls=Command)
def rename(name: RunArgument, new: Annotated[str, typer.Argument(metavar="NEW", help="The new name.")]) -> None:
    """Give a run that is not running another name.

    Example: mftui runs rename a1b2 wide-first-try
    """
    from engine.runs.catalog import find
    from engine.runs.catalog import rename as rename_run

    old = find(name)
    typer.echo(f"{old.name} is now {rename_run(old, new).name}", err=True)


@runs.command("note", cls=Command)
def note(
    name: RunArgument, text: Annotated[str, typer.Argument(metavar="TEXT", help="What to note; '' removes the note.")]
) -> None:
    """Write a note on a run, shown in the list.

    Example: mftui runs note a1b2 "learning rate too high"
    """
    from engine.runs.catalog import find, write_note

    write_note(find(name), text)


@runs.command("rm", cls=Command)
def remove(
    names: Annotated[list[str], typer.Argument(metavar="RUN", help=RUN_HELP, autocompletion=run_names)],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete runs that are not running, with all they hold.

    Asks before; where nobody can answer, --yes is needed.

    Exit status: 0 deleted, 1 the answer was no and nothing was deleted, 2 bad input.

    Example: mftui runs rm a1b2 c3d4 --yes
    """
    from engine.runs.catalog import RunError, find, is_alive, look
    from engine.runs.catalog import remove as remove_run
    from mftui.plain import format_size, printable

    found = list(dict.fromkeys(find(name) for name in names))
    if at_work := [path.name for path in found if is_alive(path)]:
        raise RunError(f"{', '.join(at_work)}: at work; stop it first (nothing was deleted)")
    if not yes:
        if not sys.stdin.isatty():
            raise RunError("there is no terminal to ask on; --yes deletes without asking")
        for path in found:
            size = format_size(entry.size) if (entry := look(path)) else "damaged"
            typer.echo(f"{printable(path.name)}  {size}", err=True)
        if not typer.confirm("Delete for good?", err=True):
            typer.echo("nothing was deleted", err=True)
            raise typer.Exit(1)
    for path in found:
        remove_run(path)
        typer.echo(f"deleted {printable(path.name)}", err=True)


def _ask(name: str, request: Request) -> None:
    """Ask a run's worker for something, and wait until it is so."""
    from engine.runs.catalog import RunError, find, is_alive, state
    from engine.runs.control import ControlError, ask

    path = find(name)
    if not is_alive(path):
        raise RunError(f"{path.name}: is not at work, but {state(path)}")
    try:
        ask(path, request)
    except ControlError as error:
        raise RunError(f"{path.name}: {error}") from None
    deadline = time.monotonic() + WAIT_SECONDS
    while (now := state(path)) not in ANSWERED[request] or (request == "stop" and is_alive(path)):
        if time.monotonic() > deadline or (request == "pause" and now == "queued"):
            typer.echo(f"{path.name}: {now}; it was asked to {request}, and will at its next step", err=True)
            return
        time.sleep(POLL_SECONDS)
    typer.echo(f"{path.name}: {now}", err=True)


def _columns(found: Sequence[Entry]) -> list[Column]:
    from mftui.cli.listing import Column
    from mftui.plain import format_age, format_size, printable

    now = time.time()
    return [
        Column("STATE", [entry.state for entry in found]),
        Column("NAME", [printable(entry.name) for entry in found], least=16, keep_end=True),
        Column("PRESET", [printable(entry.preset) for entry in found], least=4),
        Column("DONE", [f"{entry.finished}/{entry.trials}" for entry in found], right=True),
        Column("DEVICE", [printable(entry.device) for entry in found]),
        Column("STARTED", [format_age(entry.started, now) for entry in found], right=True),
        Column("SIZE", [format_size(entry.size) for entry in found], right=True),
        Column("NOTE", [printable(entry.note) for entry in found], least=8),
    ]


def _document(entry: Entry) -> dict[str, object]:
    return {
        "name": entry.name,
        "path": str(entry.path),
        "state": entry.state,
        "preset": entry.preset,
        "title": entry.title,
        "trials": entry.trials,
        "finished": entry.finished,
        "device": entry.device,
        "started": entry.started,
        "size": entry.size,
        "note": entry.note,
    }


def _status(live: LiveRun, entry: Entry) -> list[tuple[str, str]]:
    from engine.runs.catalog import last_sign
    from mftui.cli.watch import how_it_was_interrupted
    from mftui.plain import format_age, format_size, format_time, printable

    now, run = time.time(), live.run
    state, worker = live.state, run.worker()
    told = f"{state}, process {worker}" if worker else state
    if state == "interrupted":
        told = how_it_was_interrupted(run)
    elif state == "failed":
        told = f"{state}: {printable(live.message)}"
    sign = last_sign(run.path)
    return [
        ("name", printable(entry.name)),
        ("title", printable(entry.title)),
        ("note", printable(entry.note)),
        ("state", told),
        ("last sign", f"{format_time(sign)} ({format_age(sign, now)})" if sign else ""),
        ("started", f"{format_time(entry.started)} ({format_age(entry.started, now)})"),
        ("trials", f"{entry.finished} of {entry.trials}"),
        ("device", printable(live.device)),
        ("workers", str(run.workers) if run.workers else "as many as there are cores or GPUs"),
        ("size", format_size(entry.size)),
        ("path", printable(str(entry.path))),
    ]


def _settings(live: LiveRun) -> list[tuple[str, str]]:
    """The methods, the sweep, and what differs from the defaults."""
    from engine.spec.settings import METHOD_LABELS
    from mftui.plain import printable

    experiment = live.experiment
    first = experiment.points[0].problem.seed
    rows = [
        ("preset", printable(experiment.name)),
        ("methods", ", ".join(METHOD_LABELS[method] for method in experiment.methods)),
        ("seeds", f"{first} to {first + experiment.seeds - 1}" if experiment.seeds > 1 else str(first)),
    ]
    if experiment.over:
        rows.append(("sweep", f"{experiment.over} = {', '.join(printable(str(value)) for value in experiment.values)}"))
    for section, fields in experiment.points[0].model_dump(exclude_defaults=True).items():
        own = {
            key: value for key, value in fields.items() if f"{section}.{key}" not in (experiment.over, "problem.seed")
        }
        rows.append((section, ", ".join(f"{key} = {printable(str(value))}" for key, value in own.items())))
    return rows


def _machine(path: Path) -> list[tuple[str, str]]:
    from mftui.plain import printable

    told = {key: value for key, value in _environment(path).items() if key != "device"}
    return [(key.replace("_", " "), printable(str(value))) for key, value in told.items()]


def _environment(path: Path) -> dict[str, object]:
    """Versions and device of the latest attempt; empty before a worker has told them."""
    from engine.runs.files import from_json

    try:
        content = from_json(max(path.glob("environment-*.json")).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
