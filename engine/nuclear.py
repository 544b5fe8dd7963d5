"""The convex rival: among the matrices that fit the training data, the one of least nuclear norm.

min ‖W‖_* subject to <A_i, W> = y_i [Recht, Fazel, Parrilo 2010; the rival in Arora, Cohen, Hu, Luo 2019], written for
cvxpy, an optional extra, and solved as a semidefinite program by SCS.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.events import Event, Finished, Recovered, shown_entries
from engine.problems.problem import EntryOperator, Problem, ratings_tables
from engine.results import TrialResult, effective_rank, held_out_rmse
from engine.spec.settings import Method, PointSettings

TOLERANCE = 1e-6
"""of the solver, absolute and relative; its entries then fit to about 1e-7 of the largest"""
MAX_ITERATIONS = 50_000
POLL_SECONDS = 0.02
"""how long one `step` waits for the solver, so that pause and stop act at once"""


@dataclass
class Solution:
    """What the solver's thread leaves."""

    matrix: NDArray[np.float64] | None = None
    why_not: str = ""
    """a sentence where there is no matrix"""
    over: threading.Event = field(default_factory=threading.Event)


def solve(problem: Problem, rows: int, columns: int) -> Solution:
    """The matrix of least nuclear norm that fits the one data set in `problem`."""
    solution = Solution()
    if find_spec("cvxpy") is None:
        solution.why_not = "the minimum nuclear norm needs cvxpy, which is not installed: pip install 'mftui[nuclear]'"
        return solution
    cvxpy: Any = import_module("cvxpy")
    matrix = cvxpy.Variable((rows, columns))
    flat = cvxpy.vec(matrix, order="C")
    operator, targets = problem.measurements, problem.targets[0].double().cpu().numpy()
    scale = float(np.abs(targets).max(initial=0.0)) or 1.0  # the solver's absolute tolerance is made for numbers near 1
    if isinstance(operator, EntryOperator):
        measured = flat[operator.indices[0].cpu().numpy()]
    else:
        measured = operator.dense(rows * columns)[0].double().cpu().numpy() @ flat
    program = cvxpy.Problem(cvxpy.Minimize(cvxpy.normNuc(matrix)), [measured == targets / scale])
    try:
        program.solve(solver=cvxpy.SCS, eps_abs=TOLERANCE, eps_rel=TOLERANCE, max_iters=MAX_ITERATIONS)
    except cvxpy.error.SolverError as error:
        solution.why_not = f"the solver gave up: {error}"
        return solution
    if program.status == cvxpy.OPTIMAL:
        solution.matrix = np.asarray(matrix.value) * scale
    elif program.status in (cvxpy.INFEASIBLE, cvxpy.INFEASIBLE_INACCURATE):
        solution.why_not = "no matrix fits all of the training data"
    else:
        solution.why_not = f"the solver was not done after {MAX_ITERATIONS:,} iterations ({program.status})"
    return solution


class MinimumNuclearNorm:
    """The solver on one data set. It runs in a thread of its own, as the solver can't be interrupted."""

    method: Method = "nuclear"
    resumable = False

    def __init__(self, index: int, point: PointSettings, seed: int, problem: Problem) -> None:
        """`problem` holds the one data set, in float64 on the CPU."""
        self.index = index
        self.seeds: tuple[int, ...] = (seed,)
        self._point = point
        self._shape = (point.problem.rows, point.problem.columns)
        self._problem = problem

    def init(self) -> tuple[Solution, list[Event]]:
        solution = Solution()

        def work() -> None:
            try:
                found = solve(self._problem, *self._shape)
                solution.matrix, solution.why_not = found.matrix, found.why_not
            except Exception as error:  # a thread's exception would be lost, and the run would wait for ever
                solution.why_not = f"the solver failed: {type(error).__name__}: {error}"
            finally:
                solution.over.set()

        threading.Thread(target=work, name="nuclear", daemon=True).start()
        return solution, []

    def step(self, state: Solution) -> tuple[Solution, list[Event]]:
        state.over.wait(POLL_SECONDS)
        return state, []

    def done(self, state: Solution) -> int:
        return int(state.over.is_set())

    def fraction(self, state: Solution) -> float:
        return float(state.over.is_set())

    def finish(self, state: Solution) -> list[Event]:
        if state.matrix is None:
            return [Finished(TrialResult(self.index, "nuclear", self.seeds[0], "failed", None, None, state.why_not))]
        matrix, truth = torch.from_numpy(state.matrix), self._problem.truth
        generalization = float(self._problem.generalization_loss(matrix[None, None]))
        singular_values = torch.linalg.svdvals(matrix).numpy()
        result = TrialResult(
            point=self.index,
            method="nuclear",
            seed=self.seeds[0],
            outcome="finished",
            training_loss=float(self._problem.training_loss(matrix[None, None])),
            generalization_loss=generalization,
            held_out_rmse=held_out_rmse(self._point, generalization),
            nuclear_norm=float(singular_values.sum()),
            effective_rank=effective_rank(singular_values),
            distance_to_truth=None if truth is None else float((matrix - truth[0]).norm()),
        )
        events: list[Event] = [Finished(result)]
        if self._point.problem.kind == "ratings" and shown_entries(self._point):
            observed, recovered = ratings_tables(self._problem, matrix)
            events.insert(0, Recovered(self.index, self.seeds[0], observed, recovered, "nuclear"))
        return events
