from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import torch
from coverage import Coverage
from hypothesis import settings

from tests.commands import mftui, no_worker_is_left  # noqa: F401 (fixtures)

settings.register_profile("seeded", derandomize=True)
settings.load_profile("seeded")
_TRACED: set[str] = set()
LONGEST = ("terminal", "cluster", "queue", "harm", "docs", "figures", "explorer", "tour", "control", "run", "packaging")
"""modules that take long, the longest first: one begun last would leave the other processes with nothing to do"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long modules first."""
    rank = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Coverage is of one case for each first argument of a test: tracing doubles the time, and others add no line."""
    coverage, first = Coverage.current(), f"{item.location[0]}::{item.location[2]}".partition("-")[0]
    if coverage is None or first not in _TRACED:
        _TRACED.add(first)
        return (yield)
    coverage.stop()
    try:
        return (yield)
    finally:
        coverage.start()


@pytest.fixture(autouse=True)
def _own_runs_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into the user's data directory."""
    monkeypatch.setenv("MFTUI_HOME", str(tmp_path / "home"))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Small products run slower, and sum in another order, on more threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
