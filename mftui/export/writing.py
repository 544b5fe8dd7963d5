"""Writing what an export is made of."""

from __future__ import annotations

from pathlib import Path

from engine.runs.files import SHARED, write_atomically
from mftui.export.formats import Files


def write_into(folder: Path, files: Files, *, make: bool = False) -> list[Path]:
    """Write files into a folder, which is made if asked for. Replaces what is there.

    Raises OSError.
    """
    if make:
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_atomically(folder / name, content, SHARED)
    return [folder / name for name in files]


def write_here(files: Files, otherwise: Path) -> list[Path]:
    """Write files into the current directory; where that can't be written, into another folder. Raises OSError."""
    try:
        return write_into(Path.cwd(), files)
    except OSError:
        return write_into(otherwise, files)
