"""The command line. Each command is a file; slow imports wait until the command needs them."""

from __future__ import annotations

import errno
import io
import sys
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer

from mftui.cli.bench import bench
from mftui.cli.command import Command, Group
from mftui.cli.completion import InstallOption, ShowOption, teach_shells
from mftui.cli.doctor import doctor
from mftui.cli.explain import explain
from mftui.cli.explore import explore
from mftui.cli.export import export
from mftui.cli.figure import figure
from mftui.cli.presets import presets
from mftui.cli.queue import queue
from mftui.cli.report import report
from mftui.cli.run import attach, resume, run
from mftui.cli.runs import runs
from mftui.encoding import legible

HELP = """Is gradient descent needed for generalization in deep matrix factorization?

    Without a command it opens the explorer.

    Exit status: 0 done, 1 failed, 2 bad input, 129 the terminal is gone, 130 stopped by Ctrl-C.

    Example: mftui run quick-start"""
app = typer.Typer(
    name="mftui",
    help=HELP,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,  # `mftui.cli.completion` does it
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _explore_by_default(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    _install_completion: InstallOption = False,
    _show_completion: ShowOption = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"mftui {installed('mftui')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        explore("quick-start")


app.add_typer(runs, name="runs")
app.add_typer(presets, name="presets")
for each in (run, attach, resume, queue, explore, explain, figure, export, report, doctor, bench):
    app.command(cls=Command)(each)


def main() -> None:
    """Entry point. Expected errors become a sentence on stderr and exit status 2."""
    from engine.runs.catalog import RunError
    from engine.spec.defects import PresetError

    teach_shells()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may hold what the terminal can't show
    sys.stdout, sys.stderr = legible(sys.stdout), legible(sys.stderr)
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except (RunError, PresetError) as error:
        _refuse(str(error))
    except typer.Abort:
        _say("aborted")
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.EIO, errno.EPIPE):  # where the terminal is gone there is nobody to tell
            _say(error.strerror or str(error))
        sys.exit(1)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        _say_how_to_call(error)


def _say_how_to_call(error: Any) -> NoReturn:
    """Answer a command line that Typer can't read. Its errors have no name that all its versions share."""
    if (context := getattr(error, "ctx", None)) is not None:
        typer.echo(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.\n", err=True)
    _refuse(error.format_message())


def _refuse(message: str) -> NoReturn:
    for line in message.splitlines():
        _say(line)
    sys.exit(2)


def _say(error: str) -> None:
    with suppress(OSError):
        typer.echo(f"error: {error}", err=True)
