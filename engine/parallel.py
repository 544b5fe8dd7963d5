"""Blocks of independent work on every core: threads, since torch and NumPy release the interpreter's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Result = TypeVar("Result")


def cores(device: torch.device) -> int:
    """Blocks worth running at once: the CPU's cores, or one on a GPU."""
    return len(os.sched_getaffinity(0)) if device.type == "cpu" else 1


def map_blocks(device: torch.device, function: Callable[[int], Result], blocks: Iterable[int]) -> list[Result]:
    """`function` of each block, in order."""
    if cores(device) == 1:
        return [function(block) for block in blocks]
    return list(_pool(cores(device)).map(function, blocks))


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="blocks")
