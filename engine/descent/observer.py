"""What gradient descent logs beside its losses: the diagnostics, and theory against measurement.

Explicit state, as everywhere: `Observed` holds what later log points need of earlier ones. A batch is ordered by log
point ("mark"), then seed, then sweep point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from engine.descent import theory
from engine.descent.diagnostics import Spectrum, Truth, diagnose, frobenius_norm_of_product
from engine.events import (
    MAX_COMPLETE_SPECTRUM,
    Event,
    Rows,
    aligned_vectors,
    diagnostic_names,
    logged_singular_values,
    theory_names,
)
from engine.models.activations import Activation
from engine.models.factorization import Factors, end_to_end_matrix, factor_gradients, pre_activations
from engine.problems.problem import Problem
from engine.spec.settings import PointSettings

_PLACE = ("point", "seed", "step")


@dataclass(frozen=True)
class Observed:
    """What the log points so far leave behind."""

    comparisons: tuple[theory.Comparison, ...]
    """one per run"""
    start: Float[Tensor, "run m n"] | None = None
    """W where the predicted trajectory begins"""
    steps: tuple[int, ...] = ()
    """log points from there on"""
    values: tuple[Float[Tensor, "run k"], ...] = ()
    """the singular values at `steps`"""


@dataclass(frozen=True)
class Look:
    """Some log points of all runs, as one batch; zeros where a run is not finite."""

    steps: Sequence[int]
    factors: Factors
    """W_1 … W_L"""
    left: Float[Tensor, "batch m k"]
    right: Float[Tensor, "batch n k"]
    """W is left·rightᵀ"""
    spectrum: Spectrum
    shown: Sequence[Sequence[bool]]
    """per log point, per run: whether it is finite, and always was"""


class Observer:
    """Looks at the runs of compatible sweep points."""

    def __init__(
        self,
        points: Mapping[int, PointSettings],
        seeds: Sequence[int],
        problem: Problem,
        activation: Activation,
        rates: Sequence[float],
    ) -> None:
        """`problem` holds the data sets of `seeds`, on the device and in the dtype of the factors; `rates` are the
        runs' learning rates."""
        first = next(iter(points.values()))
        self._point, self._seeds, self._points = first, tuple(seeds), tuple(points)
        self._runs = [(point, seed) for seed in seeds for point in points]
        self._problem, self._activation, self._rates = problem, activation, tuple(rates)
        self._depth = first.model.depth
        self._small = min(first.problem.rows, first.problem.columns) <= MAX_COMPLETE_SPECTRUM
        aligned = aligned_vectors(first) if problem.truth is not None else 0
        self._truth = None if problem.truth is None or not self._small else Truth.of(problem.truth, aligned)
        self._truths: dict[int, Truth] = {}
        """the truth repeated for the number of log points last looked at"""
        self._names = diagnostic_names(self._depth, 0 if self._truth is None else aligned)
        self._theory_names = (*_PLACE, *theory_names(logged_singular_values(first)))
        self._theory = self._small and theory.applies(first)

    def init(self) -> Observed:
        return Observed((theory.Comparison(),) * len(self._runs))

    def look(self, observed: Observed, look: Look) -> tuple[Observed, list[Event]]:
        """The rows of some log points."""
        if self._small:
            matrices = look.left @ look.right.mT
            found = diagnose(look.factors, look.spectrum, self._truth_of_batch(len(look.steps)), matrices)
        else:
            matrices = None
            frobenius = frobenius_norm_of_product(look.left, look.right.mT)
            found = diagnose(look.factors, look.spectrum, None, frobenius_norm=frobenius)
        table = torch.stack(list(found.values()), dim=1).view(len(look.steps), len(self._runs), -1).tolist()
        rows = [
            [*self._runs[run], step, *values]
            for step, shown, of_runs in zip(look.steps, look.shown, table, strict=True)
            for run, values in enumerate(of_runs)
            if shown[run]
        ]
        events: list[Event] = [Rows("diagnostics", rows, (*_PLACE, *self._names))]
        if self._theory and matrices is not None:
            observed, compared = self._compare(observed, look, matrices)
            events.append(compared)
            observed = self._remember(observed, look, matrices)
        return observed, events

    def theory_error(self, observed: Observed, run: int) -> float | None:
        """Largest relative error of the predicted rates of a run so far; None where theory doesn't apply."""
        return observed.comparisons[run].relative_error()

    def trajectory(self, observed: Observed, run: int) -> tuple[float | None, list[Event]]:
        """The predicted course of a run's singular values: its error relative to the largest, and its rows.

        Nothing where none was asked for, or theory doesn't apply.
        """
        if observed.start is None or not observed.steps:
            return None, []
        times = [(step - observed.steps[0]) * self._rates[run] for step in observed.steps]
        problem = self._problem.one(run // len(self._points)).to(torch.device("cpu"), torch.float64)
        predicted = theory.trajectory_of(problem, observed.start[run], times, self._depth)
        measured = torch.stack([values[run] for values in observed.values]).double().cpu().numpy()
        rows = [
            [*self._runs[run], step, *values] for step, values in zip(observed.steps, predicted.tolist(), strict=True)
        ]
        return theory.trajectory_error(measured, predicted), [Rows("trajectory", rows)]

    def _compare(self, observed: Observed, look: Look, matrices: Float[Tensor, "batch m n"]) -> tuple[Observed, Rows]:
        """Rates of change: predicted, and measured over the step that gradient descent takes from here."""
        marks, values = len(look.steps), look.spectrum.values
        outputs = pre_activations(look.factors, self._activation)
        gradient = self._gradient(matrices, marks)
        gradients = factor_gradients(look.factors, outputs, gradient, self._activation)
        rates = torch.tensor(self._rates, dtype=values.dtype, device=values.device).repeat(marks)
        after = [f - rates[:, None, None] * slope for f, slope in zip(look.factors, gradients, strict=True)]
        values_after = torch.linalg.svdvals(torch.nan_to_num(end_to_end_matrix(after, self._activation)))
        measured = theory.measured_rates(values, values_after, rates)
        predicted = theory.predicted_rates(look.spectrum, gradient, self._depth)
        sizes = torch.stack([vectors.norm(dim=-1) for vectors in (values, measured, measured - predicted)], dim=-1)
        rates_of_change = torch.cat([measured, predicted], dim=-1).view(marks, len(self._runs), -1).tolist()
        rows, comparisons = [], list(observed.comparisons)
        per_mark = zip(look.steps, look.shown, rates_of_change, sizes.view(marks, -1, 3).tolist(), strict=True)
        for step, shown, of_runs, sizes_of_runs in per_mark:
            for run, columns in enumerate(of_runs):
                if shown[run]:
                    rows.append([*self._runs[run], step, *columns])
                    size, speed, error = sizes_of_runs[run]
                    comparisons[run] = comparisons[run].extended(size, speed, error, self._rates[run])
        return replace(observed, comparisons=tuple(comparisons)), Rows("theory", rows, self._theory_names)

    def _gradient(self, matrices: Float[Tensor, "batch m n"], marks: int) -> Float[Tensor, "batch m n"]:
        """∂L_train/∂W."""
        seeds, points, shape = len(self._seeds), len(self._points), matrices.shape[1:]
        by_seed = matrices.view(marks, seeds, points, *shape).transpose(0, 1).reshape(seeds, -1, *shape)
        gradient = self._problem.training_gradient(by_seed).view(seeds, marks, points, *shape)
        return gradient.transpose(0, 1).reshape(-1, *shape)

    def _remember(self, observed: Observed, look: Look, matrices: Float[Tensor, "batch m n"]) -> Observed:
        """Keep W at the first log point from `gd.predict_from` on, and the singular values since."""
        count = len(self._runs)
        by_mark = zip(look.steps, torch.split(matrices, count), torch.split(look.spectrum.values, count), strict=True)
        for step, of_runs, values in by_mark:
            if step >= self._point.gd.predict_from:
                start = of_runs if observed.start is None else observed.start
                observed = replace(
                    observed, start=start, steps=(*observed.steps, step), values=(*observed.values, values)
                )
        return observed

    def _truth_of_batch(self, marks: int) -> Truth | None:
        if self._truth is None:
            return None
        if marks in self._truths:
            return self._truths[marks]
        points = len(self._points)

        def each(of_seed: Tensor) -> Tensor:
            return of_seed.repeat_interleave(points, 0).repeat(marks, 1, 1)

        found = Truth(each(self._truth.matrices), each(self._truth.left), each(self._truth.right))
        self._truths = {marks: found}
        return found
