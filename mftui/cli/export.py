"""`mftui export`: a run as a file for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mftui.cli.options import ForceOption, RunArgument

if TYPE_CHECKING:
    from mftui.cli.output import Place
    from mftui.export.contents import Contents
    from mftui.export.formats import Files, Format


def formats(incomplete: str) -> list[str]:
    """Formats that begin so, for the shell's completion."""
    from mftui.export.formats import FORMATS

    return [form for form in FORMATS if form.startswith(incomplete)]


def tables(context: typer.Context, incomplete: str) -> list[str]:
    """Tables of the run named before that begin so, for the shell's completion."""
    from engine.runs.catalog import RunError, find
    from engine.runs.directory import RunDirectory
    from mftui.export.contents import Contents
    from mftui.export.tables import names

    try:
        found = names(Contents(RunDirectory.open(find(context.params.get("name") or context.args[0]))))
    except (RunError, IndexError):
        return []
    return [name for name in found if name.startswith(incomplete)]


def export(
    name: RunArgument,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="toml|csv|json|npz|parquet",
            help="Default: what --out ends in, else toml.",
            autocompletion=formats,
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            "--table",
            metavar="NAME",
            help="Of csv and parquet: which table. Default: results, or all into a folder.",
            autocompletion=tables,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="FILE_OR_DIR",
            help="Where to. Default: stdout (-), for npz and parquet a file in the current folder.",
        ),
    ] = None,
    force: ForceOption = False,
) -> None:
    """A run as a file for other programs.

    toml: the preset that reproduces it. csv, parquet: a table. json, npz: everything.
    What is missing of the run is told on stderr.

    Example: mftui export a1b2 --format csv --table gd --out gd.csv
    """
    from engine.runs.catalog import find
    from engine.runs.directory import RunDirectory
    from mftui.cli.output import deliver, format_of, place_of
    from mftui.export.contents import Contents
    from mftui.export.formats import BINARY, FORMATS

    chosen = format_of(form, out, FORMATS)
    binary = chosen in BINARY
    place = place_of(out, "here" if binary else "stdout")
    contents = Contents(RunDirectory.open(find(name)))
    everything = table is None and out is not None and place.folder is not None and place.name is None
    deliver(_files(contents, chosen, table, place, everything=everything), place, force=force, binary=binary)
    _tell(contents, chosen, place)


def _files(contents: Contents, form: Format, table: str | None, place: Place, *, everything: bool) -> Files:
    """What is to be written, by the name it gets there; `everything`: all tables, where a file holds one."""
    from engine.runs.catalog import RunError
    from mftui.cli.output import one_of
    from mftui.export.formats import (
        ONE_TABLE,
        as_json,
        as_npz,
        complete,
        heading,
        preset_files,
        preset_text,
        table_files,
    )
    from mftui.export.tables import RESULTS, names

    stem = contents.run.name
    if form in ONE_TABLE:
        known = names(contents)
        chosen = known if everything else [one_of("--table", table or RESULTS, known)]
        files = table_files(contents, form, chosen, stem)
        return files if place.name is None else {place.name: next(iter(files.values()))}
    if table is not None:
        raise RunError(f"--table: expected with csv or parquet, which hold one table a file, not with {form}")
    if form == "toml" and place.folder is None:
        return {f"{stem}.toml": preset_text(complete(contents.experiment), heading(contents))}
    if form == "toml":
        return preset_files(complete(contents.experiment), place.name or f"{stem}.toml", heading(contents))
    return {place.name or f"{stem}.{form}": as_json(contents) if form == "json" else as_npz(contents)}


def _tell(contents: Contents, form: Format, place: Place) -> None:
    """What is missing, and what the preset alone does not say."""
    from mftui.export.formats import has_data_files
    from mftui.plain import printable

    told = contents.gaps() if form != "toml" else contents.departures()
    if form == "toml" and place.folder is None and has_data_files(contents.experiment):
        told.append("the preset names data files inside the run's folder; --out DIR copies them next to it")
    for line in told:
        typer.echo(f"note: {printable(line)}", err=True)
