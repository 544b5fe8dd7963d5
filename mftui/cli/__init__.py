"""The command line. Each command is a file; slow imports wait until the command needs them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mftui.cli.doctor import doctor
from mftui.cli.explore import explore
from mftui.cli.presets import presets
from mftui.cli.run import resume, run

app = typer.Typer(
    name="mftui",
    help="Is gradient descent needed for generalization in deep matrix factorization? Without a command: the explorer.",
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _explore_by_default(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"mftui {installed('mftui')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        explore("quick-start")


app.command()(run)
app.command()(resume)
app.command()(explore)
app.add_typer(presets, name="presets")
app.command()(doctor)


def main() -> None:
    """Entry point. Expected errors become a sentence on stderr and exit status 2."""
    from engine.runs.catalog import RunError
    from engine.spec.preset import PresetError

    try:
        app()
    except (PresetError, RunError) as error:
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        sys.exit(2)
    except OSError as error:
        typer.echo(f"error: {error.strerror or error}", err=True)
        sys.exit(1)
