"""Which sweep points gradient descent runs as one batch, and how long a step takes: by a measured cost."""

from __future__ import annotations

from collections.abc import Sequence

from engine.descent.batched_step import Layout, compressible
from engine.descent.optimizers import optimizer
from engine.spec.settings import PointSettings

CALL_SECONDS = 0.7e-6
"""an operation on a batch, besides what its runs cost"""
PRODUCT_SECONDS = 0.12e-6
"""one run's product in an operation, besides its multiplications"""
MULTIPLICATION_SECONDS = 0.1e-9
"""eight matrices of 40×40 are multiplied at 26 GFlop/s on one core"""
KERNEL_SECONDS = 2.5e-6
"""one operation of a recorded step on a GPU, whatever it holds (H200: 12.9 µs for 5 of them, 73 for 29)"""
GPU_CORES = 100
"""of a CPU, that a GPU is worth where it has enough to do (H200: 76 at 100×100, 8 runs)"""


def compatible(one: PointSettings, other: PointSettings) -> bool:
    """Whether two points differ in nothing but what a batch can hold: width, learning rate, init, its scale, G&C."""
    return _common(one) == _common(other)


def groups(points: Sequence[PointSettings], seeds: int) -> list[list[int]]:
    """The points as batches, in order. Neighbours share one if that is estimated to save time."""
    batches: list[list[int]] = []
    for index, point in enumerate(points):
        if batches and compatible(points[batches[-1][0]], point):
            together = [points[other] for other in [*batches[-1], index]]
            apart = step_seconds(together[:-1], seeds) + step_seconds([point], seeds)
            if step_seconds(together, seeds) <= apart:
                batches[-1].append(index)
                continue
        batches.append([index])
    return batches


def width_in_batch(point: PointSettings) -> int:
    """The hidden dimension that a step works with."""
    rows, columns, width, depth = point.problem.rows, point.problem.columns, point.model.width, point.model.depth
    linear = point.model.activation == "linear"
    return rows + columns if compressible(rows, columns, width, depth, linear, optimizer(point.gd)) else width


def layout(points: Sequence[PointSettings]) -> Layout:
    """The buffers that hold the widest of some compatible points."""
    first = points[0]
    width = max(map(width_in_batch, points))
    return Layout(first.problem.rows, first.problem.columns, width, first.model.depth)


def step_seconds(points: Sequence[PointSettings], seeds: int, *, on_gpu: bool = False) -> float:
    """Rough time of one step of compatible points as one batch, on one core or on a GPU."""
    shared = layout(points)
    runs, depth, width = len(points) * seeds, shared.depth, shared.width
    ends = shared.rows * shared.columns * width
    hidden = shared.columns * width * width * max(depth - 2, 0)
    products = 3 * max(depth - 1, 1)
    on_a_core = (
        (products + 2) * CALL_SECONDS
        + runs * products * PRODUCT_SECONDS
        + runs * 3 * (ends + hidden) * MULTIPLICATION_SECONDS
    )
    return max((products + 2) * KERNEL_SECONDS, on_a_core / GPU_CORES) if on_gpu else on_a_core


def _common(point: PointSettings) -> tuple[object, ...]:
    anything = {"learning_rate": 1.0, "init": "gaussian", "init_scale": 1.0}
    return (
        point.problem,
        point.model.model_copy(update={"width": 1}),
        point.gd.model_copy(update=anything),
    )
