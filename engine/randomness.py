"""Random numbers addressed by (seed, stream, address), never drawn from hidden global state.

A number depends on its address only: not on what ran before, on threads, or on how work was split into steps. The
address space is numpy's `SeedSequence` spawn tree (O'Neill 2014 hashing), the generator SFC64 on the CPU and torch's
Philox on a GPU; CPU and GPU therefore give different numbers of the same law.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

StreamName = Literal["truth", "measurements", "init", "prior", "gnc"]
_STREAMS: tuple[StreamName, ...] = get_args(StreamName)


class Stream:
    """The random numbers at one address, drawn in order."""

    def __init__(self, seed: int, name: StreamName, *address: int, device: torch.device | str = "cpu") -> None:
        """`address` is any tuple of integers ≥ 0, usually a step or block index."""
        self.device = torch.device(device)
        sequence = np.random.SeedSequence(seed, spawn_key=(_STREAMS.index(name), *address))
        if self.device.type == "cpu":
            self._numpy = np.random.Generator(np.random.SFC64(sequence))
        else:
            key = int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
            self._torch = torch.Generator(self.device).manual_seed(key)

    def normal(self, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Independent N(0, 1) entries."""
        if self.device.type == "cpu":
            return torch.from_numpy(self._numpy.standard_normal(shape, dtype=_NUMPY_DTYPES[dtype]))
        return torch.randn(shape, generator=self._torch, device=self.device, dtype=dtype)

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Independent U[-1, 1) entries."""
        if self.device.type == "cpu":
            return torch.from_numpy(self._numpy.random(shape, dtype=_NUMPY_DTYPES[dtype])).mul_(2).sub_(1)
        return torch.rand(shape, generator=self._torch, device=self.device, dtype=dtype).mul_(2).sub_(1)

    def subset(self, population: int, size: int) -> Tensor:
        """`size` different integers out of 0 … population - 1, sorted, all subsets equally likely (CPU only)."""
        chosen = self._numpy.choice(population, size, replace=False, shuffle=False)
        return torch.from_numpy(np.sort(chosen))


_NUMPY_DTYPES: dict[torch.dtype, type[np.float32] | type[np.float64]] = {
    torch.float32: np.float32,
    torch.float64: np.float64,
}
