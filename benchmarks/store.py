"""The store: `python benchmarks/store.py [--rows 1000000] [--json]`.

Rows of 30 float64 written, read back, attached to with thinning and followed; bytes a row. Trust ratios; times only
on an idle machine: the load average is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from engine.runs.store import Reader, Writer

COLUMNS = ["point", "seed", "step", *(f"value_{index}" for index in range(27))]
SCHEMA = {"gd": COLUMNS}
BATCH = 100
MOST = 2_000
FOLLOWED = 200


def measure(count: int) -> dict[str, float]:
    found: dict[str, float] = {"rows": count}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Writer(folder, SCHEMA, 0) as writer:
            began = time.perf_counter()
            for start in range(0, count, BATCH):
                writer.rows("gd", [[0, 0, step, *[0.5] * 27] for step in range(start, start + BATCH)])
            found["rows_written_a_second"] = count / (time.perf_counter() - began)
            found["bytes_a_row"] = (folder / "gd-0000-0001.rec").stat().st_size / count
            began = time.perf_counter()
            reader = Reader(folder, SCHEMA)
            thinned = reader.rows("gd", most=MOST)
            found["attach_thinned_seconds"] = time.perf_counter() - began
            found["attach_thinned_rows"] = len(thinned)
            began = time.perf_counter()
            for step in range(FOLLOWED):
                writer.rows("gd", [[0, 0, count + step, *[0.5] * 27]])
                assert len(reader.rows("gd", most=MOST)) == 1
            found["write_and_follow_a_row_microseconds"] = 1e6 * (time.perf_counter() - began) / FOLLOWED
        began = time.perf_counter()
        every = Reader(folder, SCHEMA).rows("gd")
        found["rows_read_a_second"] = len(every) / (time.perf_counter() - began)
    found["load_average"] = os.getloadavg()[0]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.rows)
    if given.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name.replace('_', ' '):40} {value:12.5g}")


if __name__ == "__main__":
    main()
