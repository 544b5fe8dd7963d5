"""`mftui report`: a run as one file to send to a colleague."""

from __future__ import annotations

from typing import Annotated

import typer

from mftui.cli.options import ForceOption, RunArgument

FORMATS = ("html", "md")


def formats(incomplete: str) -> list[str]:
    """Formats that begin so, for the shell's completion."""
    return [form for form in FORMATS if form.startswith(incomplete)]


def report(
    name: RunArgument,
    form: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="html|md", help="Default: what --out ends in, else html.", autocompletion=formats
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="Where to; - is stdout. Default: RUN.html in the current folder."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """A run as one file to send to a colleague.

    Settings, figures, tables, verdicts, environment, reliability, how to repeat it; the file needs nothing else.

    Example: mftui report a1b2 --out report.html
    """
    from engine.runs.catalog import find
    from engine.runs.directory import RunDirectory
    from mftui.cli.output import deliver, format_of, place_of
    from mftui.export.contents import Contents
    from mftui.report import content, html, markdown

    chosen = format_of(form, out, FORMATS)
    place = place_of(out, "here")
    run = RunDirectory.open(find(name))
    told = content.report(Contents(run))
    page = html.page(told) if chosen == "html" else markdown.page(told)
    deliver({place.name or f"{run.name}.{chosen}": page.encode(errors="backslashreplace")}, place, force=force)
