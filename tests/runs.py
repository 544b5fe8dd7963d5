"""Runs for tests: tiny experiments, real workers, waits on conditions."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.runs.directory import RunDirectory
from engine.runs.files import from_json
from engine.samplers import rejection
from engine.spec import preset
from mftui.live import LiveRun

CEILING_SECONDS = 120.0
"""far beyond what anything here takes, so that only a hang reaches it"""
POLL_SECONDS = 0.01

TINY = """
title = "Tiny"
seeds = 2

[gd]
learning_rate = 0.1
steps = 300
log_every = 50

[gnc]
sampler = "rejection"
eps_train = 0.1
draws = 20_000
effective_samples = 1_000_000_000
prior_draws = 2_000

[sweep]
over = "model.width"
values = [3, 6]
"""
"""two widths, two data sets, three methods: about 0.2 s of computing"""

LONG = ["model.width=3", "gd.steps=1_000_000_000", "gnc.draws=1_000_000_000"]
"""overrides of `TINY`: the priors finish at once, nothing else ever does"""


@contextmanager
def small_blocks() -> Iterator[None]:
    """Rejection has a step every few thousand draws, rather than every half a million.

    The draws are others: what is compared is to be made with blocks of the same size.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(rejection.NUMBERS_PER_BLOCK, "cpu", 1 << 15)
        yield


def make_run(path: Path, *overrides: str, text: str = TINY, device: str = "cpu") -> RunDirectory:
    """A run directory at `path`, which must not exist, of the preset `text` with `overrides`."""
    file = path.with_suffix(".toml")
    file.write_text(text, encoding="utf-8")
    return RunDirectory.create(preset.load(file, overrides), device, path)


def wait_until(condition: Callable[[], object], what: str, seen: Callable[[], str] | None = None) -> None:
    """Poll until `condition` holds; if it never does, fails naming `what`, and what is `seen` instead by then."""
    deadline = time.monotonic() + CEILING_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}" + (f"; {seen()}" if seen else "")
        time.sleep(POLL_SECONDS)


def follow(live: LiveRun, condition: Callable[[LiveRun], object], what: str) -> LiveRun:
    """Poll the run until `condition` holds."""

    def holds() -> object:
        live.poll()
        return condition(live)

    wait_until(holds, what, lambda: f"the run is {live.state}: {live.message}")
    return live


def follow_to_end(*lives: LiveRun) -> None:
    """Poll each run until it is over and its worker is gone."""
    for live in lives:
        follow(live, lambda run: run.over, "the end of the run")
        assert live.wait(CEILING_SECONDS)


def results_of(run: RunDirectory) -> dict[str, Any]:
    """results.json without the directory's own name."""
    document = from_json((run.path / "results.json").read_bytes())
    assert document.pop("run") == str(run.path)
    return document


def tables_of(run: RunDirectory) -> dict[str, bytes]:
    """Every table but `progress`, which holds times of day, bit for bit."""
    reader = run.reader()
    tables = {table: reader.rows(table).tobytes() for table in reader.schema if table != "progress"}
    assert reader.damaged == {}
    return tables


def disk_with(room: int) -> Callable[[int, Any], int]:
    """A stand-in for `os.write`: a disk with `room` bytes left."""
    real, left = os.write, [room]

    def write(descriptor: int, data: Any) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(descriptor, bytes(data)[: left[0]])
        left[0] -= written
        return written

    return write
