"""Where a command puts the files that it made: standard output, a folder, or a file of a given name."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import typer

from engine.runs.catalog import RunError
from mftui.export.formats import Files
from mftui.export.writing import write_into
from mftui.plain import printable

STDOUT = "-"


@dataclass(frozen=True)
class Place:
    """`folder` is None for standard output; `name` is that of the one file asked for, None for a folder's own."""

    folder: Path | None
    name: str | None = None


def place_of(out: str | None, default: Literal["stdout", "here"]) -> Place:
    """What --out names: "-" standard output, a folder, or a file; without it `default`. Raises `RunError`."""
    if out is None:
        return Place(None if default == "stdout" else Path())
    if out == STDOUT:
        return Place(None)
    path = Path(out).expanduser()
    if not out or "\0" in out:
        raise RunError(f"--out: expected a file, a folder or -, got {out!r}")
    if path.is_dir() or out.endswith("/"):
        return Place(path)
    if path.exists() and not path.is_file():
        raise RunError(f"--out {printable(out)}: expected a file, a folder or -, got something else")
    return Place(path.parent, path.name)


F = TypeVar("F", bound=str)


def format_of(given: str | None, out: str | None, known: Sequence[F]) -> F:
    """The format asked for, else what --out ends in, else the first. Raises `RunError`."""
    if given:
        return one_of("--format", given, known)
    ending = Path(out).suffix.removeprefix(".") if out and not Path(out).is_dir() else ""
    return one_of("--out, the name's ending", ending, known) if ending else known[0]


def one_of(option: str, given: str, known: Sequence[F]) -> F:
    """What is known by that name. Raises `RunError` if nothing is."""
    for each in known:
        if each == given:
            return each
    close = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise RunError(f"{option}: expected one of {', '.join(known)}, got {given!r}{hint}")


def deliver(files: Files, place: Place, *, force: bool, binary: bool = False) -> None:
    """Write to a place, and say on stderr what is where; replaces what is there if `force`. Raises `RunError`."""
    if place.folder is None:
        (content,) = files.values()
        _print(content, binary=binary)
        return
    try:
        for path in [place.folder / name for name in files]:
            if (path.exists() or path.is_symlink()) and not force:
                raise RunError(f"{printable(str(path))}: is there already; --force replaces it")
        for path in write_into(place.folder, files, make=place.name is None):
            typer.echo(f"wrote {printable(str(path))}", err=True)
    except OSError as error:
        raise RunError(f"{printable(str(place.folder))}: can't be written to: {error.strerror or error}") from None


def _print(content: bytes, *, binary: bool) -> None:
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    elif binary:
        raise RunError("this is binary, which is not for a terminal: --out FILE writes it to a file")
    else:
        for line in content.decode(errors="backslashreplace").splitlines():
            typer.echo(printable(line))
