"""`mftui presets`: what is there, what is in it, is it right; and a preset as a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from mftui.cli.command import Command, Group
from mftui.cli.options import ForceOption, PresetArgument

presets = typer.Typer(
    help="List, show, validate and export presets.\n\nExample: mftui presets",
    invoke_without_command=True,
    cls=Group,
)


@presets.callback()
def _list_by_default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_presets()


@presets.command("list", cls=Command)
def list_presets() -> None:
    """The presets with their titles; your own come last and say so.

    Example: mftui presets list
    """
    listed = list(_listed())
    width = max(len(name) for name, _ in listed)
    for name, title in listed:
        typer.echo(f"{name:{width}}  {title}")


def _listed() -> Iterator[tuple[str, str]]:
    """Names and titles; of an own preset that can't run, what is wrong with it."""
    from engine.spec.defects import PresetError
    from engine.spec.preset import load, own, own_directory, shipped
    from mftui.plain import printable

    for name in shipped():
        yield name, load(name).title
    for name in own():
        try:
            title = load(own_directory() / f"{name}.toml").title
        except PresetError as error:
            title = f"can't run: {error.problems[0]}"
        yield printable(name), f"(yours) {printable(title)}"


@presets.command("show", cls=Command)
def show(name: PresetArgument) -> None:
    """A preset as TOML, with what it extends merged in.

    Small ratings are shown as a matrix on stderr.

    Example: mftui presets show width-linear
    """
    from engine.events import shown_entries
    from engine.spec.preset import dump, load

    experiment = load(name)
    typer.echo(dump(experiment), nl=False)
    problem = experiment.points[0].problem
    if problem.kind == "ratings" and shown_entries(experiment.points[0]):
        from rich.console import Console

        from engine.spec.ratings import load as load_ratings
        from mftui.formatting import observed_table

        data = load_ratings(problem.path, problem.test_path, problem.rows, problem.columns, problem.first_index)
        Console(stderr=True).print(observed_table(data.table()))


@presets.command("export", cls=Command)
def export(
    name: PresetArgument,
    out: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="Where to; a folder takes NAME.toml. Default: stdout.", show_default=False),
    ] = None,
    force: ForceOption = False,
) -> None:
    """A preset as a file of its own, with what it extends merged in.

    The data files that it needs are copied next to it.

    Example: mftui presets export width-linear mine.toml
    """
    from engine.spec.preset import load
    from mftui.cli.output import deliver, place_of
    from mftui.export.formats import has_data_files, preset_files, preset_text

    experiment = load(name)
    place = place_of(out, "stdout")
    if place.folder is None:
        deliver({name: preset_text(experiment)}, place, force=force)
        if has_data_files(experiment):
            typer.echo("note: the preset names data files by where they lie; FILE copies them next to it", err=True)
        return
    deliver(preset_files(experiment, place.name or f"{experiment.name}.toml"), place, force=force)


@presets.command("validate", cls=Command)
def validate(files: Annotated[list[Path], typer.Argument(metavar="FILE", help="TOML files.")]) -> None:
    """Check preset files, with a line for each defect.

    Exit status: 0 all are valid, 2 one is not.

    Example: mftui presets validate mine.toml
    """
    from engine.spec.defects import PresetError
    from engine.spec.preset import load

    problems: list[str] = []
    for file in files:
        try:
            experiment = load(file if file.suffix == ".toml" else file.absolute())
        except PresetError as error:
            problems += error.problems
        else:
            count = len(experiment.points)
            typer.echo(f"{file}: valid ({count} sweep point{'s' if count > 1 else ''}, {experiment.seeds} seeds)")
            for told in experiment.remarks():
                typer.echo(f"note: {file}: {told}", err=True)
    if problems:
        raise PresetError(problems)
