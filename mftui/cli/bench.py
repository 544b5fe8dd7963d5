"""`mftui bench`: the benchmarks, one after another, as one table of ratios or one JSON document."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mftui.cli.options import ForceOption, JsonOption

if TYPE_CHECKING:
    import subprocess

    from mftui.benchmark import Row, Sheet

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
PIPED_WIDTH = 160
PATIENCE_SECONDS = 30.0
"""for a script that was interrupted to say what it has"""
MARKS = {None: "", True: "met", False: "[yellow]missed[/yellow]"}


def script_names(incomplete: str) -> list[str]:
    """Benchmarks that begin so, for the shell's completion."""
    from mftui import benchmark

    return [name for name in benchmark.scripts(benchmark.folder()) if name.startswith(incomplete)]


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Few repetitions, minutes in all: for orientation.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="This one alone. Repeatable.", autocompletion=script_names),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the JSON document to a file as well.")
    ] = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Measure this machine: speed against plain loops, memory.

    Ratios against plain PyTorch loops, how cost grows, how soon screen and commands answer. Best on a machine that
    does nothing else. Ctrl-C prints what there is.

    Exit status: 0 measured, 1 a benchmark failed, 2 bad input, 130 interrupted.

    Example: mftui bench --quick --only samplers
    """
    from engine.runs.catalog import RunError
    from engine.runs.files import SHARED, to_json, write_atomically
    from mftui import benchmark
    from mftui.plain import printable

    place = benchmark.folder()
    chosen = _chosen(only, benchmark.scripts(place))
    if out is not None and out.exists() and not force:
        raise RunError(f"{printable(str(out))}: is there already; --force replaces it")
    if out is not None and not out.absolute().parent.is_dir():
        raise RunError(f"--out {printable(str(out))}: expected a file in a folder that exists")
    sheets: list[Sheet] = []
    status = 0
    for index, name in enumerate(chosen):
        typer.echo(f"{index + 1}/{len(chosen)} {name}", err=True)
        sheet, status = _measured(place / f"{name}.py", quick=quick)
        sheets.append(sheet)
        if status == EXIT_INTERRUPTED:
            break
    document = to_json({"benchmarks": [sheet.document() for sheet in sheets]}, indent=2)
    if out is not None:
        write_atomically(out.absolute(), document.encode() + b"\n", SHARED)
        typer.echo(f"wrote {printable(str(out))}", err=True)
    if json:
        typer.echo(document)
    else:
        _print(sheets)
    failed = any(row.failed for sheet in sheets for row in sheet.rows)
    raise typer.Exit(status if status == EXIT_INTERRUPTED else EXIT_FAILED if failed else 0)


def _chosen(only: list[str] | None, known: list[str]) -> list[str]:
    """Raises `RunError` if one is unknown."""
    from engine.runs.catalog import RunError
    from mftui.cli.output import one_of

    if not known:
        raise RunError("the benchmarks are not installed; they lie in benchmarks/ of the source")
    wanted = {one_of("--only", name, known) for name in only or known}
    return [name for name in known if name in wanted]


def _measured(script: Path, *, quick: bool) -> tuple[Sheet, int]:
    """What a script found, and its exit status; a script that does not say what it found is one row that failed."""
    import json
    import os
    import subprocess
    import sys
    import tempfile
    import time

    from mftui.benchmark import Row, Sheet

    began = time.monotonic()
    # Its helpers lie beside it, so its folder must be searched; no bytecode, as the folder may be read only.
    environment = {**os.environ, "PYTHONSAFEPATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(script), "--json", *(["--quick"] if quick else [])]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, env=environment, process_group=0)
        interrupted = _wait(process)
        output.seek(0)
        said = output.read()
    status = EXIT_INTERRUPTED if interrupted else process.returncode
    try:
        return Sheet.from_document(json.loads(said)), status
    except (ValueError, KeyError, TypeError):
        why = "interrupted" if interrupted else f"exit status {status}, and no rows on its standard output"
        row = Row(script.stem, None, note=why, failed=not interrupted)
        return Sheet(script.stem, "", quick, time.monotonic() - began, {}, (row,)), status


def _wait(process: subprocess.Popen[bytes]) -> bool:
    """Wait for its end; whether Ctrl-C came, which it is told of. A second one, or too long a wait, kills it."""
    import os
    import signal
    import subprocess

    try:
        process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
    else:
        return False
    try:
        process.wait(PATIENCE_SECONDS)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return True


def _print(sheets: list[Sheet]) -> None:
    import sys

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)
    for sheet in sheets:
        load = sheet.environment.get("load_average")
        about = "" if load is None else f" (load average {load:.1f} when it began)"
        table = Table(title=f"{sheet.script}: {escape(sheet.about)}{about}", title_justify="left", box=None)
        for column in ("", "against", "value", "least – largest", "target", ""):
            table.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
        for row in sheet.rows:
            table.add_row(*_cells(row))
        console.print(table)
        for row in sheet.rows:
            if row.note:
                console.print(f"   {escape(row.name)}: {escape(row.note)}", style="dim")
        console.print()
    if sheets:
        console.print(_told(sheets[0]), soft_wrap=True)


def _cells(row: Row) -> list[str]:
    from rich.markup import escape

    name = escape(row.name + (f" ({row.on})" if row.on else ""))
    return [name, escape(row.against), row.figure, row.range, row.target, MARKS[row.met]]


def _told(sheet: Sheet) -> str:
    """Where and how it was measured."""
    about = sheet.environment
    where = ", ".join(str(about[key]) for key in ("device_name", "system") if key in about) + "".join(
        f", {key} {about[key]}" for key in ("cores", "python", "torch", "numpy") if key in about
    )
    kind = "--quick: few repetitions, for orientation only" if sheet.quick else "medians over the repetitions"
    return f"{kind}; {where}" if about else kind
