"""The step of gradient descent for many runs at once: a fixed list of operations on fixed buffers, compiled once.

All parameters of a run lie side by side in one row, so that an optimizer's update is one operation whatever the depth.
Features are held transposed, F_j = σ(Z_j)ᵀ of shape n×k, and so are all factors but the last, V_j = W_jᵀ: every large
operand is then read along its rows, which is 1.3 times faster than the other layout at width 40. With Δ_j = ∂ℓ/∂Z_jᵀ:

    forward     Z_1ᵀ = V_1,            Z_{j+1}ᵀ = F_j V_{j+1},              W = W_L F_{L−1}ᵀ
    backward    ∂ℓ/∂W_L = G F_{L−1},   Δ_{L−1} = (Gᵀ W_L) ⊙ σ′(Z_{L−1})ᵀ,   G = ∂ℓ/∂W
                ∂ℓ/∂V_j = F_{j−1}ᵀ Δ_j,   Δ_{j−1} = (Δ_j V_jᵀ) ⊙ σ′(Z_{j−1})ᵀ,   ∂ℓ/∂V_1 = Δ_1

Narrower models are padded with zero units up to the widest. Where σ(0) = 0 (every activation here) a zero unit has no
output and its weights get no gradient, so padding changes nothing but the order in which products are summed.

Linear models of depth 2 that are wider than m + n are not run at their width at all: descent only ever combines the
m + n rows of V_1 and W_L, which therefore stay in the span of the initial ones. Their coordinates in an orthonormal
basis of that span follow the same steps, for every optimizer that treats no entry by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from engine.descent.loss_gradient import (
    Draw,
    EndToEnd,
    LastProduct,
    Operations,
    Scale,
    is_sparse,
    operation,
    sparse_operations,
)
from engine.descent.optimizers import Optimizer, State
from engine.descent.optimizers.stochastic import Batches
from engine.models.activations import Activation
from engine.problems.problem import Problem
from engine.randomness import Stream

MOST_IN_NUMPY = 64**3
"""multiplications in one product up to which numpy beats torch on the CPU (8 runs of 64×64: 76 against 128 µs); beyond
it OpenBLAS starts threads of its own, which get in the way of the samplers' (400×400, loaded: 93 against 32 ms)"""
AT_ONCE = 16
"""steps in the longer of two recordings: at the smallest sizes it takes 0.92 of the time of as many single ones"""
Factors = Sequence[Float[Tensor, "run _ _"]]


class Layout:
    """Where the factors of a run lie in its row of parameters."""

    def __init__(self, rows: int, columns: int, width: int, depth: int) -> None:
        self.rows, self.columns, self.width, self.depth = rows, columns, width, depth
        hidden = [columns, *[width] * (depth - 1)]
        self.shapes = [*pairwise(hidden), (rows, hidden[-1])]
        """of V_1 … V_{L−1} and W_L"""
        self._ends = list(accumulate(math.prod(shape) for shape in self.shapes))

    @property
    def size(self) -> int:
        return self._ends[-1]

    @property
    def largest_product(self) -> int:
        """Multiplications in the largest product of a step."""
        rows, columns, width = self.rows, self.columns, self.width
        if self.depth == 1:
            return rows * columns
        return width * max(rows * columns, columns * width if self.depth > 2 else 0)

    def split(self, weights: Float[Tensor, "run parameter"]) -> list[Float[Tensor, "run _ _"]]:
        """V_1 … V_{L−1}, W_L as views."""
        parts = weights.tensor_split(self._ends[:-1], dim=1)
        return [part.view(-1, *shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def factors(self, weights: Float[Tensor, "run parameter"]) -> list[Float[Tensor, "run _ _"]]:
        """W_1 … W_L as views."""
        *hidden, last = self.split(weights)
        return [factor.mT for factor in hidden] + [last]

    def pack(self, factors: Factors) -> Float[Tensor, "run parameter"]:
        """The rows of parameters of W_1 … W_L, which may be narrower."""
        weights = factors[0].new_zeros(len(factors[0]), self.size)
        for place, factor in zip(self.factors(weights), factors, strict=True):
            place[:, : factor.shape[-2], : factor.shape[-1]] = factor
        return weights


def compressible(rows: int, columns: int, width: int, depth: int, linear: bool, optimizer: Optimizer) -> bool:
    """Whether the hidden dimension can be turned into m + n coordinates."""
    return linear and depth == 2 and width > rows + columns and optimizer.rotation_equivariant


def compress(factors: Factors) -> list[Float[Tensor, "run _ _"]]:
    """W_1 and W_2 in an orthonormal basis of the span of W_1's columns and W_2's rows: their product is the same."""
    first, last = factors
    coordinates = torch.linalg.qr(torch.cat([first, last.mT], dim=-1)).R
    columns = first.shape[-1]
    return [coordinates[..., :columns], coordinates[..., columns:].mT]


class BatchedStep:
    """Buffers and operations. `load` a state, `run` some steps, `save` it."""

    def __init__(
        self,
        problem: Problem,
        layout: Layout,
        activation: Activation | None,
        optimizer: Optimizer,
        learning_rates: Float[Tensor, "seed point"],
        batches: Batches | None = None,
    ) -> None:
        """`activation` is None where σ is linear; `batches` are the optimizer's, if it takes some."""
        device = problem.targets.device
        self._device = device
        self.layout = layout
        self.sparse = is_sparse(problem, layout.rows, layout.columns, layout.depth)
        small = layout.largest_product <= MOST_IN_NUMPY
        self._backend: Any = np if device.type == "cpu" and small and not self.sparse else torch
        runs = learning_rates.numel()
        self.weights = problem.targets.new_zeros(runs, layout.size)
        self._gradient = torch.zeros_like(self.weights)
        self._optimizer_state = optimizer.init(self.weights)
        self._draw: Draw | None = None
        scale = Scale(learning_rates if optimizer.scaled_gradient else torch.ones_like(learning_rates))
        self._operations = self._compile(problem, activation, scale, batches)
        self._operations.append(
            partial(
                optimizer.step,
                tuple(map(self.array, self._optimizer_state)),
                self.array(self.weights),
                self.array(self._gradient),
                self.array(learning_rates.reshape(-1, 1)),
            )
        )
        recordable = device.type == "cuda" and batches is None  # what draws on the host can't be
        self.unrecorded: str | None = None
        """why a step that might be recorded is not"""
        self._recordings = self._recorded() if recordable else []

    def load(self, step: int, weights: Float[Tensor, "run parameter"], optimizer: State) -> None:
        """Continue from here."""
        self.weights.copy_(weights)
        for buffer, value in zip(self._optimizer_state, optimizer, strict=True):
            buffer.copy_(value)
        if self._draw is not None:
            self._draw.step = step

    def save(self) -> tuple[Float[Tensor, "run parameter"], State]:
        """Copies of the weights and of the optimizer's state."""
        return self.weights.clone(), tuple(buffer.clone() for buffer in self._optimizer_state)

    def run(self, steps: int) -> None:
        """Take this many steps; on a GPU they may still be under way when this returns (`wait`).

        numpy warns of what overflows unless the caller silences it, once for many bursts: it takes 1 % of 100 small
        steps.
        """
        for count, graph in self._recordings:
            for _ in range(steps // count):
                graph.replay()
            steps %= count
        _operate(self._operations * steps)

    def wait(self) -> None:
        """Until the steps are made."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def gradient(self, weights: Float[Tensor, "run parameter"]) -> Float[Tensor, "run parameter"]:
        """∂L_train/∂(V_1 … V_{L−1}, W_L), times the learning rate where the optimizer wants it scaled.

        In a buffer that the next call or step overwrites.
        """
        self.weights.copy_(weights)
        with np.errstate(all="ignore"):
            _operate(self._operations[:-1])
        return self._gradient

    def array(self, tensor: Tensor) -> Any:
        """What the operations act on: the tensor, or its memory as numpy's."""
        return tensor if self._backend is torch else tensor.numpy()

    def _recorded(self) -> list[tuple[int, torch.cuda.CUDAGraph]]:
        """Graphs of `AT_ONCE` steps and of one, with these numbers; none where they can't be relied on.

        One step must come to what the operations come to, up to rounding; many to the bits of as many single ones, or
        the numbers would depend on how many are asked for at once.
        """
        one = _record(self._operations)
        tolerance = 1e3 * torch.finfo(self.weights.dtype).eps
        if one is None:
            self.unrecorded = "this device or library can't record the steps"
        elif not self._agree(one.replay, partial(_operate, self._operations), 1, tolerance):
            self.unrecorded = "a recorded step does not come to what the step itself comes to"
        else:
            many = _record(self._operations, AT_ONCE)
            if many is not None and self._agree(many.replay, one.replay, AT_ONCE, 0.0):
                return [(AT_ONCE, many), (1, one)]
            return [(1, one)]
        return []

    def _agree(self, step: Callable[[], object], single: Callable[[], object], times: int, tolerance: float) -> bool:
        """Whether `step` comes to what `single` does, so many times."""
        width = max(self.layout.shapes[-1])  # keeps the product, and so the gradient, from overflowing
        start = Stream(0, "sketch").normal(*self.weights.shape).to(self.weights) / width**0.5
        fresh = tuple(torch.zeros_like(buffer) for buffer in self._optimizer_state)
        ends = []
        for operations in ([step], [single] * times):
            self.load(0, start, fresh)
            _operate(operations)
            weights, state = self.save()
            ends.append([weights, *state])
        close = partial(torch.allclose, rtol=tolerance, atol=tolerance, equal_nan=True)
        return all(close(one, other) for one, other in zip(*ends, strict=True))

    def _compile(
        self, problem: Problem, activation: Activation | None, scale: Scale, batches: Batches | None
    ) -> Operations:
        operations: Operations = []
        batch = None
        if batches is not None:
            batch = batches.at(0).to(self.weights.device, copy=True)
            self._draw = Draw(batches, batch)
            operations.append(self._draw)
        *hidden, last = self.layout.split(self.weights)
        *hidden_gradients, last_gradient = self.layout.split(self._gradient)
        if not hidden:
            return operations + self._single(problem, scale, batch, last, last_gradient)
        features, slopes = self._forward(operations, hidden, activation)
        deltas = [*(torch.empty_like(feature) for feature in features[1:]), hidden_gradients[0]]
        top = deltas[0]  # the deltas are listed from the last hidden layer down
        if self.sparse:
            products = [LastProduct(*buffers) for buffers in zip(last, features[-1], last_gradient, top, strict=True)]
            operations += sparse_operations(problem, scale, products, batch)
        else:
            end = EndToEnd(problem, scale, self.layout.rows, self.layout.columns, self._backend)
            operations.append(self._product(last, features[-1].mT, end.matrix))
            operations += end.operations(batch)
            operations.append(self._product(end.gradient, features[-1], last_gradient))
            operations.append(self._product(end.gradient.mT, last, top))
        for layer in range(len(hidden) - 1, -1, -1):
            delta = deltas[len(hidden) - 1 - layer]
            if slopes:
                operations.append(self._multiply(delta, slopes[layer]))
            if layer:
                operations.append(self._product(features[layer - 1].mT, delta, hidden_gradients[layer]))
                operations.append(self._product(delta, hidden[layer].mT, deltas[len(hidden) - layer]))
        return operations

    def _single(
        self, problem: Problem, scale: Scale, batch: Tensor | None, weights: Tensor, gradient: Tensor
    ) -> Operations:
        """Depth 1: W is its own factor."""
        end = EndToEnd(problem, scale, self.layout.rows, self.layout.columns, self._backend)
        return [
            partial(end.matrix.copy_, weights),
            *end.operations(batch),
            partial(gradient.copy_, end.gradient),
        ]

    def _forward(
        self, operations: Operations, hidden: list[Tensor], activation: Activation | None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Add the forward pass; the features of each layer, and the slopes σ′ unless σ is linear."""
        features: list[Tensor] = []
        slopes: list[Tensor] = []
        for factor in hidden:
            before = factor
            if features:
                before = factor.new_empty(len(factor), self.layout.columns, self.layout.width)
                operations.append(self._product(features[-1], factor, before))
            if activation is None:
                features.append(before)
                continue
            features.append(torch.empty_like(before, memory_format=torch.contiguous_format))
            slopes.append(torch.empty_like(features[-1]))
            arrays = (self.array(before), self.array(features[-1]), self.array(slopes[-1]))
            operations.append(partial(activation.fill, self._backend, *arrays))
        return features, slopes

    def _product(self, left: Tensor, right: Tensor, out: Tensor) -> Callable[[], object]:
        return operation(self._backend, "matmul", self.array(left), self.array(right), self.array(out))

    def _multiply(self, values: Tensor, factors: Tensor) -> Callable[[], object]:
        array = self.array(values)
        return operation(self._backend, "multiply", array, self.array(factors), array)


def _operate(operations: Iterable[Callable[[], object]]) -> None:
    for operate in operations:
        operate()


def _record(operations: Operations, times: int = 1) -> torch.cuda.CUDAGraph | None:
    """The operations, so many times, as a CUDA graph, or None if this device or library can't record them.

    Runs them on whatever the buffers hold: load a state afterwards. Raises `torch.cuda.OutOfMemoryError`: where a step
    can't be recorded for want of memory, the rest has none either.
    """
    try:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            _operate(operations * 3)  # libraries allocate workspaces on first use, which a recording must not contain
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            _operate(operations * times)
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError:
        return None
    return graph
