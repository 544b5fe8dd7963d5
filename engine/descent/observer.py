"""What gradient descent logs beside its losses: the diagnostics, and theory against measurement.

Explicit state, as everywhere: `Observed` holds what later log points need of earlier ones; its size does not grow. A
batch is ordered by log point ("mark"), then seed, then sweep point.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from numpy.typing import NDArray
from torch import Tensor

from engine.descent import theory
from engine.descent.batched_step import Layout
from engine.descent.diagnostics import Truth, diagnose, frobenius_norm_of_product
from engine.descent.learning_rate import LearningRates
from engine.descent.log_rows import log_rows
from engine.descent.prediction import Course, Flow
from engine.descent.spectrum import Spectrum, singular_values
from engine.events import (
    MAX_COMPLETE_SPECTRUM,
    Event,
    Rows,
    aligned_vectors,
    diagnostic_names,
    entry_names,
    logged_singular_values,
    shown_entries,
    theory_names,
)
from engine.models.activations import Activation
from engine.models.factorization import Factors, end_to_end_matrix, factor_gradients, pre_activations
from engine.problems.problem import Problem
from engine.spec.applicability import predicts
from engine.spec.settings import PointSettings

_PLACE = ("point", "seed", "step")


@dataclass(frozen=True)
class Mark:
    """A step to be logged."""

    step: int
    weights: Float[Tensor, "run parameter"]
    rates: LearningRates
    """in force until then"""


@dataclass(frozen=True)
class Observed:
    """What the log points so far leave behind."""

    comparisons: tuple[theory.Comparison, ...]
    """one per run"""
    course: Course | None = None
    """where the predicted course is, once it has begun"""
    predicted: tuple[tuple[int, NDArray[np.float64]], ...] = ()
    """the singular values (run, k) that it had at the log points not yet looked at, by step"""
    deviation: NDArray[np.float64] | None = None
    """per run: largest |σ_r − predicted| so far"""
    largest: NDArray[np.float64] | None = None
    """per run: largest σ_r since the course began"""


@dataclass(frozen=True)
class Look:
    """Some log points of all runs, as one batch; zeros where a run is not finite."""

    steps: Sequence[int]
    rates: Float[Tensor, " batch"]
    """learning rates"""
    factors: Factors
    """W_1 … W_L"""
    left: Float[Tensor, "batch m k"]
    right: Float[Tensor, "batch n k"]
    matrices: Float[Tensor, "batch m n"] | None
    """W = left·rightᵀ; None where that is too large"""
    losses: Float[Tensor, "batch 2"]
    """on the training set, and on what is held out"""
    spectrum: Spectrum
    shown: Bool[ndarray, "mark run"]
    """per log point, per run: whether it is finite, and always was"""


class Observer:
    """Looks at the runs of compatible sweep points."""

    def __init__(
        self,
        points: Mapping[int, PointSettings],
        seeds: Sequence[int],
        problem: Problem,
        activation: Activation,
        layout: Layout,
    ) -> None:
        """`problem` holds the data sets of `seeds`, on the device and in the dtype of the factors; `layout` is that of
        a mark's weights."""
        first = next(iter(points.values()))
        self._point, self._seeds, self._points = first, tuple(seeds), tuple(points)
        self._runs = [(point, seed) for seed in seeds for point in points]
        self._problem, self._activation, self._layout = problem, activation, layout
        self._depth = first.model.depth
        self._small = min(first.problem.rows, first.problem.columns) <= MAX_COMPLETE_SPECTRUM
        aligned = aligned_vectors(first) if problem.truth is not None else 0
        self._truth = None if problem.truth is None else Truth.of(problem.truth, aligned)
        self._truths: dict[int, Truth] = {}
        """the truth repeated for the number of log points last looked at"""
        self._names = diagnostic_names(self._depth, 0 if self._truth is None else aligned)
        self._entry_names = entry_names(shown_entries(first))
        self._theory_names = (*_PLACE, *theory_names(logged_singular_values(first)))
        self._theory = self._small and predicts(first)
        self._flow = Flow(list(points.values()), len(self._seeds), problem) if self._theory else None

    def init(self) -> Observed:
        return Observed((theory.Comparison(),) * len(self._runs))

    def predict(self, observed: Observed, marks: Sequence[Mark], deadline: float) -> Observed:
        """Bring the predicted course on towards the last of the marks to be looked at, as long as there is time.

        It begins at the first log point from `gd.predict_from` on. Some headway is always made.
        """
        for mark in marks:
            course = observed.course
            if self._flow is None or mark.step < self._point.gd.predict_from or (course and mark.step <= course.step):
                continue
            now = mark.rates.time_at(mark.step)
            if course is None:
                matrices = end_to_end_matrix(self._layout.factors(mark.weights), self._activation)
                course = self._flow.begin(matrices, mark.step, now)
            else:
                course = self._flow.advance(course, mark.step, now, deadline)
            observed = replace(observed, course=course)
            if course.step == mark.step:
                values = self._flow.singular_values(course)
                observed = replace(observed, predicted=(*observed.predicted, (mark.step, values)))
            if time.monotonic() > deadline:
                break
        return observed

    def ready(self, observed: Observed, marks: Sequence[Mark]) -> bool:
        """Whether the predicted course has come to all the marks."""
        last = marks[-1].step
        waits = self._flow is not None and last >= self._point.gd.predict_from
        return not waits or (observed.course is not None and observed.course.step == last)

    def look(self, observed: Observed, look: Look) -> tuple[Observed, list[Event]]:
        """The rows of some log points."""
        matrices, truth = look.matrices, self._truth_of_batch(len(look.steps))
        if matrices is not None:
            found = diagnose(look.factors, look.spectrum, truth, matrices)
        else:
            frobenius = frobenius_norm_of_product(look.left, look.right.mT)
            distance = self._problem.distance_to_truth(*look.losses.unbind(-1))
            found = diagnose(look.factors, look.spectrum, truth, None, frobenius, distance)
        rows = log_rows(self._runs, look.steps, torch.stack(list(found.values()), dim=1), look.shown)
        events: list[Event] = [Rows("diagnostics", rows, (*_PLACE, *self._names))]
        if matrices is not None and self._entry_names:
            events.append(self._entries(look, matrices))
        if self._theory and matrices is not None:
            observed, compared = self._compare(observed, look, matrices)
            observed, course = self._follow(observed, look)
            events += [compared, course]
        return observed, events

    def comparison(self, observed: Observed, run: int) -> theory.Comparison | None:
        """The predicted rates of a run against the measured ones so far; None where theory isn't asked."""
        return observed.comparisons[run] if self._theory else None

    def trajectory_error(self, observed: Observed, run: int) -> float | None:
        """The largest |σ_r − predicted| of a run so far, over the largest σ_r; infinite where the prediction ended.

        None where none was asked for, or theory doesn't apply.
        """
        if observed.deviation is None or observed.largest is None:
            return None
        return float(observed.deviation[run] / max(observed.largest[run], 1e-300))

    def _entries(self, look: Look, matrices: Float[Tensor, "batch m n"]) -> Rows:
        """W itself."""
        rows = log_rows(self._runs, look.steps, matrices, look.shown)
        return Rows("matrices", rows, (*_PLACE, *self._entry_names))

    def _compare(self, observed: Observed, look: Look, matrices: Float[Tensor, "batch m n"]) -> tuple[Observed, Rows]:
        """Rates of change: predicted, and measured over the step that gradient descent takes from here."""
        marks, values = len(look.steps), look.spectrum.values
        outputs = pre_activations(look.factors, self._activation)
        gradient = self._gradient(matrices, marks)
        gradients = factor_gradients(look.factors, outputs, gradient, self._activation)
        rates = look.rates.to(values)
        after = [f - rates[:, None, None] * slope for f, slope in zip(look.factors, gradients, strict=True)]
        values_after = singular_values(torch.nan_to_num(end_to_end_matrix(after, self._activation)))
        measured = theory.measured_rates(values, values_after, rates)
        predicted = theory.predicted_rates(look.spectrum, gradient, self._depth)
        directions = torch.stack(theory.gradient_between_singular_vectors(look.spectrum, gradient), dim=-1)
        columns = torch.cat([measured, predicted, directions], dim=-1)
        rows = log_rows(self._runs, look.steps, columns, look.shown)
        sizes = torch.stack([vectors.norm(dim=-1) for vectors in (measured, measured - predicted)], dim=-1)
        resolved = theory.resolves(values, measured, rates)
        comparisons = list(observed.comparisons)
        by_mark = (table.view(marks, len(self._runs), -1).tolist() for table in (sizes, resolved))
        for shown, *of_runs in zip(look.shown, *by_mark, strict=True):
            for run, ((speed, error), (judged,)) in enumerate(zip(*of_runs, strict=True)):
                if shown[run]:
                    comparisons[run] = comparisons[run].extended(speed, error, judged)
        return replace(observed, comparisons=tuple(comparisons)), Rows("theory", rows, self._theory_names)

    def _gradient(self, matrices: Float[Tensor, "batch m n"], marks: int) -> Float[Tensor, "batch m n"]:
        """∂L_train/∂W."""
        seeds, points, shape = len(self._seeds), len(self._points), matrices.shape[1:]
        by_seed = matrices.view(marks, seeds, points, *shape).transpose(0, 1).reshape(seeds, -1, *shape)
        gradient = self._problem.training_gradient(by_seed).view(seeds, marks, points, *shape)
        return gradient.transpose(0, 1).reshape(-1, *shape)

    def _follow(self, observed: Observed, look: Look) -> tuple[Observed, Rows]:
        """The rows of the predicted course, and how far off it is."""
        rows = []
        deviation, largest = observed.deviation, observed.largest
        measured = look.spectrum.values.double().cpu().numpy().reshape(len(look.steps), len(self._runs), -1)
        at = dict(zip(look.steps, range(len(look.steps)), strict=True))
        for step, predicted in observed.predicted:
            shown, values = look.shown[at[step]], measured[at[step]]
            off = np.nan_to_num(np.abs(values - predicted).max(1), nan=np.inf, posinf=np.inf)
            highest = values.max(1)
            deviation = off if deviation is None else np.where(shown, np.maximum(deviation, off), deviation)
            largest = highest if largest is None else np.where(shown, np.maximum(largest, highest), largest)
            rows += [[*self._runs[run], step, *of_run] for run, of_run in enumerate(predicted.tolist()) if shown[run]]
        return replace(observed, predicted=(), deviation=deviation, largest=largest), Rows("trajectory", rows)

    def _truth_of_batch(self, marks: int) -> Truth | None:
        if self._truth is None:
            return None
        if marks in self._truths:
            return self._truths[marks]
        points = len(self._points)

        def each(of_seed: Tensor) -> Tensor:
            return of_seed.repeat_interleave(points, 0).repeat(marks, 1, 1)

        matrices = None if self._truth.matrices is None else each(self._truth.matrices)
        found = Truth(matrices, each(self._truth.left), each(self._truth.right))
        self._truths = {marks: found}
        return found
