"""`mftui presets`: what is there, what is in it, is it right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

presets = typer.Typer(help="List, show and validate presets.", invoke_without_command=True)


@presets.callback()
def _list_by_default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_presets()


@presets.command("list")
def list_presets() -> None:
    """The shipped presets with their titles."""
    from engine.spec.preset import load, shipped

    names = shipped()
    width = max(map(len, names))
    for name in names:
        typer.echo(f"{name:{width}}  {load(name).title}")


@presets.command("show")
def show(name: Annotated[str, typer.Argument(metavar="PRESET_OR_FILE")]) -> None:
    """A preset as TOML, with what it extends merged in; small ratings as a matrix on stderr."""
    from engine.events import MOST_SHOWN_ENTRIES
    from engine.spec.preset import dump, load

    experiment = load(name)
    typer.echo(dump(experiment), nl=False)
    problem = experiment.points[0].problem
    if problem.kind == "ratings" and problem.rows * problem.columns <= MOST_SHOWN_ENTRIES:
        from rich.console import Console

        from engine.spec.ratings import load as load_ratings
        from mftui.formatting import observed_table

        data = load_ratings(problem.path, problem.test_path, problem.rows, problem.columns, problem.first_index)
        Console(stderr=True).print(observed_table(data.table()))


@presets.command("validate")
def validate(files: Annotated[list[Path], typer.Argument(metavar="FILE...")]) -> None:
    """Check preset files; exit status 2 and a line for each defect if any is wrong."""
    from engine.spec.preset import PresetError, load

    problems: list[str] = []
    for file in files:
        try:
            experiment = load(file if file.suffix == ".toml" else file.absolute())
        except PresetError as error:
            problems += error.problems
        else:
            count = len(experiment.points)
            typer.echo(f"{file}: valid ({count} sweep point{'s' if count > 1 else ''}, {experiment.seeds} seeds)")
    if problems:
        raise PresetError(problems)
