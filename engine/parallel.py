"""Blocks of independent work on every core: threads, since torch and NumPy release the interpreter's lock."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Result = TypeVar("Result")


_limit = sys.maxsize
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8


def keep_freed_memory() -> None:
    """Tell the C library (glibc; elsewhere nothing happens) to keep what is freed, in one arena.

    Blocks of a few megabytes come and go a thousand times a second. Given back to the system and faulted in anew each
    time, they cost 100 of 350 ns a guess at width 5, depth 2.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_MMAP_THRESHOLD, 1 << 25)
    mallopt(_M_TOP_PAD, 1 << 26)
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def limit_cores(count: int) -> None:
    """From here on this process uses at most so many cores: those it shares a run with use the others."""
    global _limit
    _limit = count


def cores(device: torch.device) -> int:
    """Blocks worth running at once: the CPU's cores, as far as they are ours, or one on a GPU."""
    return min(len(os.sched_getaffinity(0)), _limit) if device.type == "cpu" else 1


def map_blocks(device: torch.device, function: Callable[[int], Result], blocks: Iterable[int]) -> list[Result]:
    """`function` of each block, in order."""
    if cores(device) == 1:
        return [function(block) for block in blocks]
    return list(_pool(cores(device)).map(function, blocks))


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    # Libraries count the threads they may start thread by thread, and round by them: here, as in a worker, none.
    return ThreadPoolExecutor(workers, "blocks", torch.set_num_threads, (1,))
