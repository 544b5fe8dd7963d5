"""`mftui doctor`: what this machine and terminal can do, and what is slow and why."""

from __future__ import annotations

import locale
import os
import shutil
import sys


def doctor() -> None:
    """Versions, devices, memory, terminal, and advice."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    advice: list[str] = []
    table = Table.grid(padding=(0, 2))
    for name, value in [*_software(advice), *_machine(advice), *_terminal(advice)]:
        table.add_row(f"[bold]{name}[/bold]", escape(value))
    console.print(table)
    for line in advice:
        console.print(f"[yellow]advice:[/yellow] {escape(line)}")
    if not advice:
        console.print("[green]nothing to complain about[/green]")


def _software(advice: list[str]) -> list[tuple[str, str]]:
    import platform
    from importlib.metadata import version

    rows = [("python", platform.python_version())]
    rows += [(package, version(package)) for package in ("mftui", "textual", "rich", "plotext", "numpy", "torch")]
    if sys.prefix == sys.base_prefix:
        advice.append("mftui runs outside a virtual environment; `make run` makes one")
    return rows


def _machine(advice: list[str]) -> list[tuple[str, str]]:
    """Asks a process of its own about torch: importing it takes seconds, and a broken driver can end a process."""
    import json
    import subprocess
    import time

    from engine.runs.process import PYTHON_M

    started = time.monotonic()
    probe = subprocess.run([*PYTHON_M, "engine.runs.environment"], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    rows = [("cores", str(len(os.sched_getaffinity(0)))), ("memory", _memory())]
    if probe.returncode != 0:
        last = (probe.stderr.strip().splitlines() or ["no output"])[-1]
        advice.append(f"torch does not work here: {last}")
        return rows
    report = json.loads(probe.stdout)
    rows += [
        ("cpu", f"{report['cpu']} ({report['cpu_capability']})"),
        ("torch build", report["build"]),
        ("cuda devices", ", ".join(report["devices"]) or f"none: {report['why_no_cuda']}"),
        ("engine start", f"{seconds:.1f} s, most of it importing torch"),
    ]
    if not report["devices"] and shutil.which("nvidia-smi"):
        advice.append(f"this machine has NVIDIA tools but torch sees no GPU: {report['why_no_cuda']}")
    if seconds > 5:
        advice.append("torch takes long to import: is the environment on a network file system?")
    return rows


def _memory() -> str:
    try:
        with open("/proc/meminfo", encoding="utf-8") as file:
            kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in file}
        return f"{kilobytes['MemAvailable'] / 2**20:.1f} of {kilobytes['MemTotal'] / 2**20:.1f} GiB available"
    except (OSError, KeyError, ValueError):
        return "unknown"


def _terminal(advice: list[str]) -> list[tuple[str, str]]:
    from rich.console import Console

    from engine.runs.catalog import runs_directory

    size = shutil.get_terminal_size()
    colours = Console().color_system or "none"
    encoding = locale.getpreferredencoding(False)
    remote = "over SSH" if os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY") else "local"
    if sys.stdout.isatty() and (size.columns < 80 or size.lines < 24):
        advice.append(f"the terminal is {size.columns}×{size.lines}; the explorer needs 80×24, 160×45 shows everything")
    if encoding.upper().replace("-", "") != "UTF8":
        advice.append(f"the locale's encoding is {encoding}: plots need UTF-8 for braille; try LANG=C.UTF-8")
    if sys.stdout.isatty() and colours in ("none", "standard") and "NO_COLOR" not in os.environ:
        advice.append(f"few colours (TERM={os.environ.get('TERM')}): try TERM=xterm-256color")
    if remote == "over SSH":
        advice.append("on a slow link use ssh -C, and tmux so that the screen survives a cut")
    runs = runs_directory()
    free = shutil.disk_usage(_existing_parent(os.path.abspath(runs))).free
    if free < 1 << 30:
        advice.append(f"less than 1 GiB is free where runs are stored ({runs})")
    return [
        ("terminal", f"{size.columns}×{size.lines}, {colours} colours, {encoding}, {remote}"),
        ("runs", f"{runs} ({free / 2**30:.1f} GiB free)"),
    ]


def _existing_parent(path: str) -> str:
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path
