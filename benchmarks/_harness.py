"""What the benchmarks share: arguments, repetition, clocks, and rows in, a table or JSON out."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from mftui.benchmark import Row, Sheet

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
Rows = Callable[[argparse.Namespace], Iterable[Row]]


def arguments_of(doc: str | None) -> argparse.ArgumentParser:
    """A parser with what all scripts take; `doc` is the script's docstring."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few repetitions, half a minute: for orientation")
    parser.add_argument("--json", action="store_true", help="one JSON document at the end; rows go to stderr")
    return parser


def run(parser: argparse.ArgumentParser, rows: Rows) -> None:
    """Measure, and print each row as it comes; exit. What an error or Ctrl-C leaves is printed as well."""
    given = parser.parse_args()
    load, began, found, status = os.getloadavg()[0], time.monotonic(), list[Row](), 0
    out = sys.stderr if given.json else sys.stdout
    print(_heading(given.quick, load), file=out, flush=True)
    try:
        for row in rows(given):
            found.append(row)
            print(row.line(), file=out, flush=True)
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    except Exception as error:
        traceback.print_exc()
        status = EXIT_FAILED
        found.append(Row("the rest of this script", None, note=f"{type(error).__name__}: {error}", failed=True))
    if given.json:
        environment = {**_environment(), "date": time.strftime("%Y-%m-%d"), "load_average": load}
        about = (parser.description or "").splitlines()[0]
        sheet = Sheet(Path(sys.argv[0]).stem, about, given.quick, time.monotonic() - began, environment, tuple(found))
        print(json.dumps(sheet.document(), ensure_ascii=False, indent=2))
    sys.stdout.flush()
    sys.exit(status)


def _heading(quick: bool, load: float) -> str:
    cores = len(os.sched_getaffinity(0))
    kind = "quick: few repetitions, for orientation" if quick else "median, least – largest"
    return f"load average {load:.1f} on {cores} core{'s' if cores > 1 else ''}; {kind}"


def _environment() -> dict[str, object]:
    """Versions and devices, but not the machine's name. After measuring: it loads torch."""
    from engine.runs.environment import fingerprint, report

    told = {key: value for key, value in fingerprint("cpu").items() if key != "host"}
    return {**told, "cuda_devices": report()["devices"]}


def seconds(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long one call takes."""
    start = clock()
    function()
    return clock() - start


def repeated(function: Callable[[], object], repetitions: int) -> list[float]:
    """Seconds of each of some calls, after one that doesn't count."""
    function()
    return [seconds(function) for _ in range(repetitions)]


def processor_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
