"""Random numbers addressed by (seed, stream, address), never drawn from hidden global state.

A number depends on its address only: not on what ran before, on threads, or on how work was split into steps. Addresses
are hashed by numpy's `SeedSequence`. On the CPU, double-precision numbers (data, initial weights) come from SFC64, and
the bulk, in single precision, from torch's generator, twice as fast; on a GPU all come from torch's Philox. CPU and GPU
therefore give different numbers of the same law.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

StreamName = Literal["truth", "measurements", "init", "prior", "gnc", "pilot", "moves"]
_STREAMS: tuple[StreamName, ...] = get_args(StreamName)


class Stream:
    """The random numbers at one address, drawn in order."""

    def __init__(self, seed: int, name: StreamName, *address: int, device: torch.device | str = "cpu") -> None:
        """`address` is any tuple of integers ≥ 0; its last one usually counts steps or blocks."""
        self.device = torch.device(device)
        self._key = (seed, _STREAMS.index(name), *address)

    @cached_property
    def numpy(self) -> np.random.Generator:
        """For laws that torch lacks; on the CPU whatever the device."""
        seed, *address = self._key
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=tuple(address))))

    @cached_property
    def _torch(self) -> torch.Generator:
        # torch's CPU generator uses the low 32 bits of its seed: adding the last address keeps up to 2³² blocks of a
        # stream apart, where hashing it would let two of them meet.
        seed, *address, last = self._key
        base = np.random.SeedSequence(seed, spawn_key=tuple(address)).generate_state(1, np.uint64)[0]
        return torch.Generator(self.device).manual_seed((int(base) + last) % 2**63)

    @property
    def _in_numpy(self) -> bool:
        return self.device.type == "cpu"

    def normal(self, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Independent N(0, 1) entries."""
        if dtype == torch.float64 and self._in_numpy:
            return torch.from_numpy(self.numpy.standard_normal(shape))
        return torch.randn(shape, generator=self._torch, device=self.device, dtype=dtype)

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Independent U[-1, 1) entries."""
        if dtype == torch.float64 and self._in_numpy:
            return torch.from_numpy(self.numpy.random(shape)).mul_(2).sub_(1)
        return torch.rand(shape, generator=self._torch, device=self.device, dtype=dtype).mul_(2).sub_(1)

    def chi(self, degrees: int, size: int) -> Float[Tensor, " size"]:
        """Independent χ (not χ²) variates in float64."""
        return torch.from_numpy(np.sqrt(self.numpy.chisquare(degrees, size))).to(self.device)

    def subset(self, population: int, size: int) -> Int[Tensor, " size"]:
        """`size` different integers out of 0 … population - 1, sorted, all subsets equally likely."""
        chosen: NDArray[np.int64] = self.numpy.choice(population, size, replace=False, shuffle=False)
        return torch.from_numpy(np.sort(chosen))
