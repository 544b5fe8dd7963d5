"""Rows of a table, for some log points of all runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor


def log_rows(
    runs: Sequence[tuple[int, int]],
    steps: Sequence[int],
    values: Tensor,
    shown: Bool[ndarray, "mark run"],
) -> Float[ndarray, "row column"]:
    """Sweep point, seed, step and a run's `values` (all of them, mark by mark, run by run), where it is `shown`."""
    table = values.reshape(len(steps), len(runs), -1).double().cpu().numpy()
    rows = np.empty((len(steps), len(runs), 3 + table.shape[-1]))
    rows[:, :, :2] = np.array(runs)
    rows[:, :, 2] = np.array(steps)[:, None]
    rows[:, :, 3:] = table
    chosen: Float[ndarray, "row column"] = rows[shown]
    return chosen
