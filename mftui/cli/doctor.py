"""`mftui doctor`: what this machine and terminal can do, and what is slow or missing and why."""

from __future__ import annotations

import locale
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

NETWORK = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "panfs", "afs", "9p"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.beegfs", "orangefs", "wekafs"),
}
"""file systems of other machines, by the names that /proc/self/mounts gives them"""
DRIVER = Path("/proc/driver/nvidia/version")
SMALLEST, WHOLE = (80, 24), (160, 45)
"""columns and lines that the explorer needs, and that show all of it"""
LEAST_FREE_BYTES = 1 << 30
LONG_START_SECONDS = 5.0
PACKAGES = ("mftui", "textual", "rich", "plotext", "typer", "numpy", "torch")

Row = tuple[str, str]


def doctor() -> None:
    """Versions, devices, memory, terminal, and advice.

    Exit status: 0 whatever it advises, 1 torch does not work here, so that nothing could run.

    Example: mftui doctor
    """
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    terminal = Terminal.of(os.environ, console.color_system)
    torch, seconds = _ask_torch()
    rows = [*_software(), *_machine(torch, seconds), *terminal.rows(), *_storage()]
    advice = [
        *_environment_advice(seconds),
        *torch_advice(torch, has_driver(), os.environ.get("CUDA_VISIBLE_DEVICES")),
        *terminal.advice(),
        *_storage_advice(),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        console.print(f"[bold]{name:{width}}[/bold]  {escape(value)}", soft_wrap=True)
    for line in advice:
        console.print(f"[yellow]advice:[/yellow] {escape(line)}", soft_wrap=not terminal.shown)
    if not advice:
        console.print("[green]nothing to complain about[/green]")
    if "error" in torch:
        raise typer.Exit(1)


# --- software --------------------------------------------------------------------------------------------------------


def _software() -> Iterator[Row]:
    import platform
    from importlib.metadata import PackageNotFoundError, requires, version

    yield "python", platform.python_version()
    for package in PACKAGES:
        yield package, version(package)
    present: list[str] = []
    missing: list[str] = []
    for extra, packages in extras(requires("mftui") or []).items():
        try:
            for package in packages:
                version(package)
        except PackageNotFoundError:
            missing.append(f"{extra} (pip install {' '.join(packages)})")
        else:
            present.append(extra)
    if present:
        yield "extras", ", ".join(present)
    if missing:
        yield "not installed", ", ".join(missing)


def extras(requirements: list[str]) -> dict[str, list[str]]:
    """Optional extras and the packages each asks for, from a distribution's requirements; that for developers aside."""
    found: dict[str, list[str]] = {}
    for requirement in requirements:
        package = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        if package and extra and extra[1] != "dev":
            found.setdefault(extra[1], []).append(package[0])
    return found


def _environment_advice(seconds: float) -> Iterator[str]:
    if sys.prefix == sys.base_prefix:
        yield "mftui runs outside a virtual environment; `make run` makes one"
    kind = file_system(Path(sys.prefix), _mounts())
    if kind in NETWORK:
        yield (
            f"Python's packages are on a network file system ({kind}): each start reads them anew "
            f"({seconds:.1f} s this time); a virtual environment on a local disk starts faster"
        )
    elif seconds > LONG_START_SECONDS:
        yield f"torch took {seconds:.1f} s to import: a slow disk, or a machine that is busy"


# --- torch and devices -----------------------------------------------------------------------------------------------


def _ask_torch() -> tuple[dict[str, Any], float]:
    """What torch sees, and the seconds that took.

    Asked in a process of its own: importing torch takes seconds, and a broken driver can end a process.
    """
    import json
    import subprocess
    import time

    from engine.runs.process import PYTHON_M

    started = time.monotonic()
    probe = subprocess.run([*PYTHON_M, "engine.runs.environment"], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if probe.returncode != 0:
        return {"error": (probe.stderr.strip().splitlines() or [f"exit status {probe.returncode}"])[-1]}, seconds
    return {**json.loads(probe.stdout), "warnings": warnings_in(probe.stderr)}, seconds


def warnings_in(stderr: str) -> list[str]:
    """The first sentences of Python's warnings."""
    found = re.findall(r"^\S+:\d+: \w*Warning:\s*(.+?)(?:\. |\.?$)", stderr, re.MULTILINE)
    return list(dict.fromkeys(found))


def has_driver() -> bool:
    """Whether this machine has NVIDIA's driver, or its tools."""
    return DRIVER.exists() or shutil.which("nvidia-smi") is not None


def _machine(torch: Mapping[str, Any], seconds: float) -> Iterator[Row]:
    yield "cores", str(len(os.sched_getaffinity(0)))
    yield "memory", _memory()
    if "error" in torch:
        yield "torch", f"does not work: {torch['error']}"
        return
    yield "cpu", f"{torch['cpu']} ({torch['cpu_capability']})"
    yield "torch build", torch["build"]
    yield "cuda devices", ", ".join(torch["devices"]) or f"none: {torch['why_no_cuda']}"
    yield "engine start", f"{seconds:.1f} s, most of it importing torch"


def _memory() -> str:
    try:
        with open("/proc/meminfo", encoding="utf-8") as file:
            kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in file}
        return f"{kilobytes['MemAvailable'] / 2**20:.1f} of {kilobytes['MemTotal'] / 2**20:.1f} GiB available"
    except (OSError, KeyError, ValueError):
        return "unknown"


def torch_advice(torch: Mapping[str, Any], driver: bool, visible: str | None) -> Iterator[str]:
    """Why a GPU is not used, and what to do; `visible` is CUDA_VISIBLE_DEVICES."""
    if "error" in torch:
        yield f"torch does not work here, so nothing can run: {torch['error']}"
        return
    for warning in torch["warnings"]:
        yield f"torch says: {warning}"
    if torch["devices"] or not driver:
        return
    if torch["build"] == "CPU only":
        yield (
            "this machine has NVIDIA's driver, but this torch is a build for CPUs: put a CUDA build into the same "
            "environment (PyTorch's install page has the command for the driver that `nvidia-smi` names)"
        )
    elif visible is not None and not re.match(r"\d|GPU|MIG", visible.strip()):
        yield f"CUDA_VISIBLE_DEVICES={visible!r} hides all GPUs: unset it"
    else:
        yield (
            f"this machine has NVIDIA's driver, and torch is built for {torch['build']}, but it sees no GPU: that "
            "version must not be newer than the one at the top of `nvidia-smi`; a container must be started with "
            "GPUs, and a cluster's job ask for one"
        )


# --- the terminal ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Terminal:
    """What is known of the terminal that we write to."""

    columns: int
    lines: int
    shown: bool
    """whether there is one at all: in a pipe there is nothing to advise on"""
    colors: str
    """standard (16), 256, truecolor, none"""
    encoding: str
    term: str
    no_color: bool
    remote: bool
    multiplexer: str
    """tmux, screen, or empty"""

    @staticmethod
    def of(environ: Mapping[str, str], colors: str | None) -> Terminal:
        size = shutil.get_terminal_size()
        return Terminal(
            columns=size.columns,
            lines=size.lines,
            shown=sys.stdout.isatty(),
            colors=colors or "none",
            encoding=locale.getencoding(),
            term=environ.get("TERM", ""),
            no_color=bool(environ.get("NO_COLOR")),
            remote=bool(environ.get("SSH_CONNECTION") or environ.get("SSH_TTY")),
            multiplexer="tmux" if environ.get("TMUX") else "screen" if environ.get("STY") else "",
        )

    def rows(self) -> Iterator[Row]:
        where = "over ssh" if self.remote else "local"
        within = f", in {self.multiplexer}" if self.multiplexer else ""
        colors = {"standard": "16 colours", "none": "no colours", "truecolor": "true colours"}.get(
            self.colors, f"{self.colors} colours"
        )
        if not self.shown:
            yield "terminal", f"stdout is not a terminal; {self.encoding}, {where}{within}"
            return
        told = (f"{self.columns}×{self.lines}", f"TERM={self.term or '?'}", colors, self.encoding, where + within)
        yield "terminal", ", ".join(told)

    def advice(self) -> Iterator[str]:
        if "utf" not in self.encoding.lower():
            yield (
                f"the locale's encoding is {self.encoding}, so plots are drawn in ASCII: export LANG=C.UTF-8, and "
                "unset LC_ALL; over ssh, on this side of it"
            )
        if self.shown:
            yield from self._advice_on_the_screen()

    def _advice_on_the_screen(self) -> Iterator[str]:
        if self.columns < SMALLEST[0] or self.lines < SMALLEST[1]:
            yield (
                f"the terminal is {self.columns}×{self.lines}; the explorer needs {SMALLEST[0]}×{SMALLEST[1]}, "
                f"{WHOLE[0]}×{WHOLE[1]} shows everything: enlarge it, or take a smaller font"
            )
        if self.term in ("", "dumb", "unknown"):
            yield f"TERM={self.term!r} names no terminal: export TERM=xterm-256color"
        elif self.no_color:
            yield "NO_COLOR is set: curves are told apart by marks; unset it for colours"
        elif self.colors in ("none", "standard"):
            better = "tmux-256color" if self.multiplexer == "tmux" else "xterm-256color"
            yield f"few colours (TERM={self.term}): export TERM={better}, if your terminal has them"
        if self.remote and not self.multiplexer:
            yield (
                "over ssh a cut ends the screen, though not the run (`mftui attach` shows it again); inside tmux the "
                "screen stays too; `mftui explore --low-bandwidth` is for slow links"
            )


# --- where runs are stored -------------------------------------------------------------------------------------------


def _storage() -> Iterator[Row]:
    from engine.runs.catalog import runs_directory

    folder = runs_directory()
    there = _existing_parent(folder)
    free = shutil.disk_usage(there).free
    yield "runs", f"{folder} ({free / 2**30:.1f} GiB free, {file_system(there, _mounts()) or 'unknown file system'})"


def _storage_advice() -> Iterator[str]:
    from engine.runs.catalog import runs_directory

    folder = runs_directory()
    there = _existing_parent(folder)
    if not os.access(there, os.W_OK | os.X_OK):
        yield f"nothing can be written to {there}, where runs are stored: MFTUI_HOME names another folder"
    if shutil.disk_usage(there).free < LEAST_FREE_BYTES:
        yield f"less than 1 GiB is free where runs are stored ({folder})"
    yield from storage_advice(folder, file_system(there, _mounts()))


def storage_advice(folder: Path, kind: str) -> Iterator[str]:
    """What to know of runs in a folder on a file system of that kind."""
    if kind in NETWORK:
        yield (
            f"runs are stored on a network file system ({kind}): a cluster needs that, but that two hosts don't work "
            "on one run rests on its locks; for one machine, MFTUI_HOME on a local disk is faster"
        )
    elif kind in ("tmpfs", "ramfs"):
        yield f"runs are stored in memory ({folder}, {kind}): they are gone with the machine's next start"


def file_system(path: Path, mounts: str) -> str:
    """The kind of file system that a path lies on, by a table in the form of /proc/self/mounts; empty if unknown."""
    whole = Path(os.path.realpath(path))
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        place = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields[1])
        if whole.is_relative_to(place) and len(place) >= best:
            best, kind = len(place), fields[2]
    return kind


def _mounts() -> str:
    try:
        return Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _existing_parent(path: Path) -> Path:
    return next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
