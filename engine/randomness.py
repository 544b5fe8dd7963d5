"""Random numbers addressed by (seed, stream, address), never drawn from hidden global state.

A number depends on its address only: not on what ran before, on threads, or on how work was split into steps. Addresses
are hashed by numpy's `SeedSequence`. On the CPU numbers come from SFC64, or from a lagged product that it seeds where
many are wanted fast, on a GPU from torch's Philox; the two give different numbers of the same law.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

StreamName = Literal["truth", "measurements", "init", "prior", "gnc", "moves", "split", "sketch", "batches", "laws"]
_STREAMS: tuple[StreamName, ...] = get_args(StreamName)
_LANES = 512
"""long enough for vector operations, short enough that all 63 words of all lanes, 260 kB, stay in a core's cache"""


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
    def _products(self) -> _LaggedProducts:
        return _LaggedProducts(self.numpy.bit_generator)

    @cached_property
    def _torch(self) -> torch.Generator:
        seed, *address = self._key
        key = np.random.SeedSequence(seed, spawn_key=tuple(address)).generate_state(1, np.uint64)[0]
        return torch.Generator(self.device).manual_seed(int(key) % 2**63)

    def normal(self, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Independent N(0, 1) entries."""
        if self.device.type != "cpu":
            return torch.randn(shape, generator=self._torch, device=self.device, dtype=dtype)
        if dtype == torch.float32:
            return torch.from_numpy(_single_precision_normals(self._products, math.prod(shape))).view(shape)
        return torch.from_numpy(self.numpy.standard_normal(shape))

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Independent U[-1, 1) entries."""
        if self.device.type != "cpu":
            return torch.rand(shape, generator=self._torch, device=self.device, dtype=dtype).mul_(2).sub_(1)
        if dtype == torch.float32:
            return torch.from_numpy(self.numpy.random(shape, dtype=np.float32)).mul_(2).sub_(1)
        return torch.from_numpy(self.numpy.random(shape)).mul_(2).sub_(1)

    def chi(self, degrees: int, size: int) -> Float[Tensor, " size"]:
        """Independent χ (not χ²) variates in float64."""
        return torch.from_numpy(np.sqrt(self.numpy.chisquare(degrees, size))).to(self.device)

    def subset(self, population: int, size: int) -> Int[Tensor, " size"]:
        """`size` different integers out of 0 … population - 1, sorted, all subsets equally likely."""
        chosen: NDArray[np.int64] = self.numpy.choice(population, size, replace=False, shuffle=False)
        return torch.from_numpy(np.sort(chosen))


class _LaggedProducts:
    """Random words x_n = x_{n−63} x_{n−31} mod 2⁶⁴, all odd: 512 interleaved sequences with seeds of their own.

    The generator known as mlfg6331_64, of period 2¹²⁴ [Mascagni, Srinivasan 2004, Parameterizing parallel
    multiplicative lagged-Fibonacci generators]. A word is one multiplication in a vector operation, 0.3 ns, where a
    call of SFC64 takes 1.7.
    """

    def __init__(self, seeds: np.random.BitGenerator) -> None:
        self._seeds = seeds
        self._words = np.empty((63, _LANES), np.uint64)
        self._taken = 0
        self._seeded = False

    def take(self, most: int) -> NDArray[np.uint64]:
        """The next words, at least one and at most `most`; valid until the next call."""
        if self._taken == self._words.size:
            self._renew()
        words = self._words.reshape(-1)[self._taken :][:most]
        if not self._seeded:
            np.bitwise_or(self._seeds.random_raw(words.size), np.uint64(1), out=words)
        self._taken += words.size
        return words

    def _renew(self) -> None:
        """Each word gives way to the one 63 later, in the order in which they are needed."""
        words = self._words
        words[:31] *= words[32:]
        words[31:62] *= words[:31]
        words[62] *= words[31]
        self._taken, self._seeded = 0, True


def _single_precision_normals(source: _LaggedProducts, count: int) -> NDArray[np.float32]:
    """Box and Muller (1958) on 64 random bits a pair, with numpy's vector functions: 1.6 ns a number, where torch's
    generator takes 3.4 and numpy's own 7.5. The radius has 31 bits, so that the tails end at 6.7."""
    numbers = np.empty(count + count % 2, np.float32)
    done = 0
    while done < count:
        halves = source.take((len(numbers) - done) // 2).view(np.int32).astype(np.float32)
        size = len(halves) // 2
        radius, angle = halves[:size], halves[size:]
        radius += 0.5
        np.divide(2.0**31, radius, out=radius)
        np.square(radius, out=radius)
        np.log(radius, out=radius)  # −2 log u, for u = |radius + 0.5| / 2³¹ uniform on (0, 1]
        np.sqrt(radius, out=radius)
        angle *= math.pi * 2.0**-31
        cosine, sine = numbers[done:][:size], numbers[done + size :][:size]
        np.cos(angle, out=cosine)
        np.sin(angle, out=sine)
        cosine *= radius
        sine *= radius
        done += 2 * size
    return numbers[:count]
