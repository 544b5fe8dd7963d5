"""How fast the store takes rows and gives them back.

    python benchmarks/store.py [--rows 1000000] [--turns 3] [--quick] [--json]

Rows of 30 float64 written, read back, attached to with thinning and followed; bytes a row.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from _harness import arguments_of, run, seconds

from engine.runs.store import Reader, Writer
from mftui.benchmark import Row

COLUMNS = ["point", "seed", "step", *(f"value_{index}" for index in range(27))]
SCHEMA = {"gd": COLUMNS}
BATCH = 100
MOST = 2_000
FOLLOWED = 200
QUICK_ROWS, QUICK_TURNS = 100_000, 2


def measure(count: int) -> dict[tuple[str, str], float]:
    """By name and unit."""
    found: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Writer(folder, SCHEMA, 0) as writer:
            began = time.perf_counter()
            for start in range(0, count, BATCH):
                writer.rows("gd", [[0, 0, step, *[0.5] * 27] for step in range(start, start + BATCH)])
            found["written", "rows/s"] = count / (time.perf_counter() - began)
            found["on disk", "bytes/row"] = (folder / "gd-0000-0001.rec").stat().st_size / count
            began = time.perf_counter()
            reader = Reader(folder, SCHEMA)
            thinned = reader.rows("gd", most=MOST)
            found[f"attached to, thinned to {len(thinned):,} rows", "s"] = time.perf_counter() - began
            began = time.perf_counter()
            for step in range(FOLLOWED):
                writer.rows("gd", [[0, 0, count + step, *[0.5] * 27]])
                assert len(reader.rows("gd", most=MOST)) == 1
            found["a row written and followed", "µs"] = 1e6 * (time.perf_counter() - began) / FOLLOWED
        took = seconds(lambda: Reader(folder, SCHEMA).rows("gd"))
        found["read", "rows/s"] = (count + FOLLOWED) / took
    return found


def rows(given: argparse.Namespace) -> Iterator[Row]:
    count = min(given.rows, QUICK_ROWS) if given.quick else given.rows
    turns = [measure(count) for _ in range(QUICK_TURNS if given.quick else given.turns)]
    for name, unit in turns[0]:
        yield Row.of(name, [turn[name, unit] for turn in turns], unit, on=f"{count:,} rows of {len(COLUMNS)} numbers")


if __name__ == "__main__":
    parser = arguments_of(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=3)
    run(parser, rows)
