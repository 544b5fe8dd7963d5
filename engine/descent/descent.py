"""Gradient descent on the training loss: all data sets of one or more sweep points as one batch."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from engine.descent import grouping
from engine.descent.batched_step import BatchedStep, compress
from engine.descent.inits import initial_factors
from engine.descent.learning_rate import LearningRates, checked, learning_rates
from engine.descent.log_rows import log_rows
from engine.descent.observer import Look, Mark, Observed, Observer
from engine.descent.optimizers import State, optimizer
from engine.descent.optimizers.stochastic import Batches
from engine.descent.spectrum import estimated_seconds, spectrum, spectrum_of_product
from engine.events import LEADING_VALUES, Event, Finished, Recovered, Rows, logged_singular_values, shown_entries
from engine.models.activations import activation
from engine.problems.problem import Problem, ratings_tables
from engine.results import TrialResult, held_out_rmse
from engine.spec.names import OPTIMIZERS
from engine.spec.settings import Method, PointSettings

STEP_SECONDS = 0.02
"""how long one `step` may hold the loop, so that pause and stop act at once"""
LOOKS = 8
"""looks at the clock in `STEP_SECONDS`, at least: a GPU stands still for each"""
LOG_SECONDS = 0.25
"""estimated time of steps whose log points are worked out together: at the smallest sizes, eight at a time cost 25 % of
the steps, 32 cost 12 %, 128 cost 8 %, 428 cost 6 %"""
LOOK_SECONDS = 0.2
"""estimated time of these log points themselves, on one core: a single one may take more"""
MOST_MARKS = 512
MOST_ROOM = 1 << 26
"""bytes of them: weights, W, and its singular vectors"""
FAR_ABOVE = 10.0
"""A descent whose last training loss is more than this many times what it began with has diverged, though no number has
overflowed yet. It began with the larger of the loss of its initial weights and that of W = 0, (1/n) Σ y²: from a lucky
init the noise of SGD may well climb. Neither that noise nor the swing of a heavy ball stays that high on data that can
be fit: both die down with the residuals."""


@dataclass(frozen=True)
class DescentState:
    """Everything the next step needs."""

    step: int
    weights: Float[Tensor, "run parameter"]
    """a row per data set and sweep point, all points of a data set together"""
    optimizer: State
    learning_rates: LearningRates
    """in force from `step` on"""
    marks: tuple[Mark, ...]
    """steps to be logged"""
    last_finite: tuple[tuple[int, float, float] | None, ...]
    """per run: step, training and generalization loss of the last logged row that was finite"""
    diverged: tuple[float | None, ...]
    """per run: the learning rate at which its loss was found not to be finite; None as long as it is"""
    ended: tuple[bool, ...]
    """per run: whether its training loss came under `gd.stop_below`; what it does afterwards is of no account"""
    final: Float[Tensor, "run parameter"]
    """the weights of the runs that have ended, where they did"""
    observed: Observed
    """what `engine.descent.observer` keeps of earlier log points"""


class Descent:
    """Gradient descent at compatible sweep points (`grouping.compatible`).

    The weights depend on settings and seeds only, not on the chunking; on which points share the batch only up to the
    order in which products are summed. Up to that, what is logged depends on which log points are worked out together:
    on `finely`, never on the clock or a crash.
    """

    method: Method = "gd"
    resumable = True

    def __init__(
        self,
        points: Mapping[int, PointSettings],
        seeds: Sequence[int],
        problem: Problem,
        device: torch.device,
        changes: Mapping[int, float] = MappingProxyType({}),
    ) -> None:
        """`points` are sweep points by index; `problem` holds the data sets of `seeds`, in float64 on the CPU.

        `changes` are learning rates by the step from which on they are to be in force: those that an interrupted
        attempt came to have by `change_learning_rate`. Following them takes the same steps, bit for bit.
        """
        first = next(iter(points.values()))
        self.index = next(iter(points))
        self.seeds = tuple(seeds)
        self._points = dict(points)
        self._settings = first.gd
        self._total = first.gd.steps
        self._device = device
        self._dtype = getattr(torch, first.gd.dtype)
        self._problem = problem.to(device, self._dtype)
        self._optimizer = optimizer(first.gd)
        self._activation = activation(first.model)
        self._linear = first.model.activation == "linear"
        self._layout = grouping.layout(list(points.values()))
        self._initial_weights, rates = self._start(problem)
        self._rates: list[float] = rates.flatten().tolist()
        self._changes = {step: checked(rate) for step, rate in changes.items()}
        self._batches: Batches | None = None
        if OPTIMIZERS[first.gd.optimizer].batches:
            measurements = problem.targets.shape[-1]
            self._batches = Batches(seeds, measurements, min(first.gd.batch_size, measurements))
        self._rates_of_steps = rates.flatten()
        self._steps = self._compiled(self._rates_of_steps)
        self._singular_values = logged_singular_values(first)
        self._small = min(first.problem.rows, first.problem.columns) == self._singular_values
        """whether all singular values are logged: W is then small enough to be held"""
        self._observer = Observer(points, seeds, self._problem, self._activation, self._layout)
        self.finely = False
        """whether every log point is to be seen as soon as it is reached, rather than some together; the weights do not
        depend on it"""
        self._marks_at_once = self._most_marks()
        self._weights_of_marks = torch.empty(0, device=device, dtype=self._dtype)
        self._burst = 1
        """steps between two looks at the clock; nothing but the time they take depends on it"""

    @cached_property
    def runs(self) -> list[tuple[int, int]]:
        """(sweep point, seed) of every run, in the order of the batch."""
        return [(point, seed) for seed in self.seeds for point in self._points]

    @property
    def rates(self) -> list[float]:
        """The learning rate that every run begins with, `auto` worked out."""
        return self._rates

    @property
    def remark(self) -> str | None:
        """Why it is slower on this device than it might be."""
        why = self._steps.unrecorded
        return None if why is None else f"gradient descent runs without a CUDA graph, and so slower: {why}"

    def init(self) -> tuple[DescentState, list[Event]]:
        """The state before the first step, and its rows."""
        weights = self._initial_weights.to(self._device, self._dtype)
        count = len(weights)
        rates = LearningRates.initial(torch.tensor(self._rates, dtype=torch.float64))
        state = DescentState(
            step=0,
            weights=weights,
            optimizer=self._optimizer.init(weights),
            learning_rates=rates,
            marks=(Mark(0, weights, rates),),
            last_finite=(None,) * count,
            diverged=(None,) * count,
            ended=(False,) * count,
            final=weights,
            observed=self._observer.init(),
        )
        return self._log(replace(state, observed=self._observer.predict(state.observed, state.marks, math.inf)))

    def change_learning_rate(self, state: DescentState, rate: float) -> DescentState:
        """With `rate` in force from the next step on, for all runs of the batch; `ValueError` if it can't be one.

        `changes` that lie ahead stay.
        """
        self._changes[state.step] = checked(rate)  # over any that an earlier attempt made at this very step
        return replace(state, learning_rates=state.learning_rates.changed(state.step, rate))

    def step(self, state: DescentState) -> tuple[DescentState, list[Event]]:
        """Some steps, or some of the predicted course, or the rows of the log points that have come together."""
        deadline = time.monotonic() + STEP_SECONDS
        if not self._is_full(state):
            return self._descend(state, deadline), []
        if not self._observer.ready(state.observed, state.marks):
            return replace(state, observed=self._observer.predict(state.observed, state.marks, deadline)), []
        return self._log(state)

    def done(self, state: DescentState) -> int:
        return state.step

    def fraction(self, state: DescentState) -> float:
        """Of the steps; nothing is left to do once every run has diverged or ended. A step is done when logged."""
        if all(rate is not None or ended for rate, ended in zip(state.diverged, state.ended, strict=True)):
            return 1.0
        return (state.step - bool(state.marks)) / self._total

    def finish(self, state: DescentState) -> list[Event]:
        return [event for run in range(len(self.runs)) for event in self._end(state, run)]

    def _end(self, state: DescentState, run: int) -> list[Event]:
        result = self._result(state, run)
        if result.outcome != "finished":
            return [Finished(result)]
        result = replace(
            result,
            held_out_rmse=held_out_rmse(self._points[result.point], result.generalization_loss),
            trajectory_error=self._observer.trajectory_error(state.observed, run),
        )
        if (comparison := self._observer.comparison(state.observed, run)) is not None:
            result = replace(
                result,
                theory_error=comparison.relative_error(),
                theory_judged=comparison.judged,
                theory_passed_over=comparison.passed_over,
            )
        events: list[Event] = []
        point = self._points[result.point]
        if point.problem.kind == "ratings" and shown_entries(point):
            weights = state.final if state.ended[run] else state.weights
            left, right = self._last_product(weights[run : run + 1])
            problem = self._problem.one(run // len(self._points))
            events.append(Recovered(result.point, result.seed, *ratings_tables(problem, (left @ right.mT)[0])))
        return [*events, Finished(result)]

    def _start(self, problem: Problem) -> tuple[Float[Tensor, "run parameter"], Float[Tensor, "seed point"]]:
        """Initial weights and learning rates, in float64 on the CPU."""
        rows, rates = [], []
        for point in self._points.values():
            factors = initial_factors(point, self.seeds)
            rates.append(learning_rates(point, problem, factors))
            if grouping.width_in_batch(point) < point.model.width:
                factors = compress(factors)
            rows.append(self._layout.pack(factors))
        return torch.stack(rows, dim=1).flatten(0, 1), torch.stack(rates, dim=1)

    def _compiled(self, rates: Float[Tensor, " run"]) -> BatchedStep:
        return BatchedStep(
            self._problem,
            self._layout,
            None if self._linear else self._activation,
            self._optimizer,
            rates.view(len(self.seeds), len(self._points)).to(self._device, self._dtype),
            self._batches,
        )

    def _most_marks(self) -> int:
        """How many log points are worked out together where they need not be seen at once; by the settings alone."""
        points, runs = list(self._points.values()), len(self.runs)
        step_seconds = grouping.step_seconds(points, len(self.seeds), on_gpu=self._device.type == "cuda")
        rows, columns = self._layout.rows, self._layout.columns
        room, size = self._initial_weights[0].numel(), torch.finfo(self._dtype).bits // 8
        if self._small:
            room += rows * columns + (rows + columns) * min(rows, columns)
        return max(
            1,
            min(
                math.ceil(self._total / self._settings.log_every),
                MOST_MARKS,
                int(LOG_SECONDS / (self._settings.log_every * step_seconds)),
                int(LOOK_SECONDS / (runs * estimated_seconds(rows, columns, self._layout.width))),
                MOST_ROOM // (runs * room * size),
            ),
        )

    @property
    def _marks_wanted(self) -> int:
        return 1 if self.finely else self._marks_at_once

    def _is_full(self, state: DescentState) -> bool:
        """Whether enough log points have come together, or all there will be."""
        return len(state.marks) >= self._marks_wanted or state.step == self._total

    def _descend(self, state: DescentState, deadline: float) -> DescentState:
        """Steps up to the next change of the learning rate, the deadline, or the last log point that is awaited."""
        every, step = self._settings.log_every, state.step
        rates = state.learning_rates
        if step in self._changes:
            rates = rates.changed(step, self._changes[step])
        if not torch.equal(rates.of_run, self._rates_of_steps):
            self._steps, self._rates_of_steps = self._compiled(rates.of_run), rates.of_run
        self._steps.load(step, state.weights, state.optimizer)
        end = min((change for change in self._changes if step < change < self._total), default=self._total)
        wanted = self._marks_wanted - len(state.marks)
        kept = self._room(wanted)
        places, weights = self._steps.array(kept), self._steps.array(self._steps.weights)
        reached: list[int] = []
        began, taken = time.monotonic(), 0
        with np.errstate(all="ignore"):  # a run that diverges is found at the next log point
            while step < end and len(reached) < wanted:
                mark = min(step - step % every + every, self._total)
                count = min(self._burst - taken, mark - step, end - step)
                self._steps.run(count)
                step, taken = step + count, taken + count
                if step == mark:
                    places[len(reached)] = weights
                    reached.append(step)
                if taken == self._burst:
                    self._steps.wait()
                    now = time.monotonic()
                    self._adapt(now - began)
                    if now > deadline:
                        break
                    began, taken = now, 0
        marks = [Mark(*mark, rates) for mark in zip(reached, kept[: len(reached)].clone(), strict=True)]
        weights, optimizer_state = self._steps.save()
        return replace(
            state,
            step=step,
            weights=weights,
            optimizer=optimizer_state,
            learning_rates=rates,
            marks=(*state.marks, *marks),
        )

    def _adapt(self, seconds: float) -> None:
        """The next burst, after one that took so long."""
        wanted = STEP_SECONDS / LOOKS
        if seconds < wanted / 2:
            self._burst *= 2
        elif seconds > wanted:
            self._burst = max(1, self._burst // 2)

    def _log(self, state: DescentState) -> tuple[DescentState, list[Event]]:
        """Rows of all the marks, together; the diverged runs are known from here on."""
        measured, look = self._measure(state.marks)
        gone = np.array(
            [rate is not None or ended for rate, ended in zip(state.diverged, state.ended, strict=True)], np.bool_
        )
        finite, losses = measured[..., 0].cpu().numpy() > 0, measured[..., 1:3].double().cpu().numpy()
        diverged, ended, final = list(state.diverged), list(state.ended), state.final
        over = ~finite | (losses[..., 0] < self._settings.stop_below)
        logged = ~gone & (over.cumsum(axis=0) - over == 0)
        for run in np.flatnonzero((logged & over).any(axis=0)).tolist():
            index = int(over[:, run].argmax())
            if finite[index, run]:
                ended[run] = True
                final = final.clone()
                final[run] = state.marks[index].weights[run]
            else:
                diverged[run] = float(state.marks[index].rates.of_run[run])
        shown, last_finite = logged & finite, list(state.last_finite)
        for run in np.flatnonzero(shown.any(axis=0)).tolist():
            last = int(shown[:, run].nonzero()[0][-1])
            last_finite[run] = (state.marks[last].step, *losses[last, run].tolist())
        rows = log_rows(self.runs, look.steps, measured[..., 1:], logged)
        observed, events = self._observer.look(state.observed, replace(look, shown=shown))
        state = replace(
            state,
            marks=(),
            last_finite=tuple(last_finite),
            diverged=tuple(diverged),
            ended=tuple(ended),
            final=final,
            observed=observed,
        )
        return state, [Rows("gd", rows), *events]

    def _measure(self, of_steps: Sequence[Mark]) -> tuple[Float[Tensor, "mark run column"], Look]:
        """Whether the losses are finite, both losses, and the singular values, NaN where not; and what to look at."""
        weights = self._stacked(of_steps)
        marks, count = weights.shape[:2]
        left, right = self._last_product(weights.flatten(0, 1))
        matrices = left @ right.mT if self._small or not self._steps.sparse else None
        if matrices is None or self._steps.sparse:
            losses = self._losses_of_products(left, right, marks)
        else:
            losses = self._losses(matrices, marks)
        finite = torch.isfinite(losses).all(-1)
        *hidden, last = self._layout.split(weights.flatten(0, 1))
        factors = [*(factor.mT for factor in hidden), last]
        if not bool(finite.all()):
            left, right, *factors = (torch.where(finite[:, None, None], f, 0.0) for f in (left, right, *factors))
            matrices = None if matrices is None else torch.where(finite[:, None, None], matrices, 0.0)
        if matrices is not None and self._small:
            found = spectrum(matrices)
        else:
            matrices, found = None, spectrum_of_product(left, right.mT, LEADING_VALUES)
        first = found.values[:, : self._singular_values]
        padded = torch.nn.functional.pad(first, (0, self._singular_values - first.shape[1]))
        values = torch.where(finite[:, None], padded, torch.nan)
        table = torch.cat([finite[:, None].to(losses), losses, values], dim=1).view(marks, count, -1)
        steps, rates = [mark.step for mark in of_steps], torch.cat([mark.rates.of_run for mark in of_steps])
        return table, Look(
            steps, rates, factors, left, right, matrices, losses, found, shown=np.empty((0, 0), np.bool_)
        )

    def _stacked(self, marks: Sequence[Mark]) -> Float[Tensor, "mark run parameter"]:
        """Their weights, in `_room`."""
        return torch.stack([mark.weights for mark in marks], out=self._room(len(marks)))

    def _room(self, marks: int) -> Float[Tensor, "mark run parameter"]:
        """Memory for the weights of so many log points, until the next call: fresh pages cost more than the copies."""
        if len(self._weights_of_marks) < marks:
            most = max(marks, self._marks_at_once)
            self._weights_of_marks = torch.empty(
                most, *self._initial_weights.shape, device=self._device, dtype=self._dtype
            )
        return self._weights_of_marks[:marks]

    def _last_product(
        self, weights: Float[Tensor, "run parameter"]
    ) -> tuple[Float[Tensor, "run m k"], Float[Tensor, "run n k"]]:
        """Both sides of W = W_L Fᵀ; at depth 1, F is the identity."""
        *hidden, last = self._layout.split(weights)
        if not hidden:
            return last, torch.eye(self._layout.columns, dtype=last.dtype, device=last.device).expand(len(last), -1, -1)
        features = self._activation.function(hidden[0])
        for factor in hidden[1:]:
            features = self._activation.function(features @ factor)
        return last, features

    def _losses(self, matrices: Float[Tensor, "run m n"], marks: int) -> Float[Tensor, "run 2"]:
        """Training and generalization loss of each matrix; the runs of each mark in turn."""
        seeds, points, shape = len(self.seeds), len(self._points), matrices.shape[1:]
        by_seed = matrices.view(marks, seeds, points, *shape).transpose(0, 1).reshape(seeds, -1, *shape)
        both = [self._problem.training_loss(by_seed), self._problem.generalization_loss(by_seed)]
        return torch.stack(both, dim=-1).view(seeds, marks, points, 2).transpose(0, 1).reshape(-1, 2)

    def _losses_of_products(
        self, left: Float[Tensor, "run m k"], right: Float[Tensor, "run n k"], marks: int
    ) -> Float[Tensor, "run 2"]:
        """The same without the matrices."""
        count, points = len(self.seeds), len(self._points)
        left, right = (side.reshape(marks, count, points, *side.shape[1:]) for side in (left, right))
        found = [
            torch.stack(self._problem.losses_of_product(left[mark, :, point], right[mark, :, point]), dim=-1)
            for mark in range(marks)
            for point in range(points)
        ]
        return torch.stack(found).view(marks, points, count, 2).transpose(1, 2).reshape(-1, 2)

    def _result(self, state: DescentState, run: int) -> TrialResult:
        point, seed = self.runs[run]
        last = state.last_finite[run]
        message = self._divergence(state, run)
        if message is None and last is not None:
            return TrialResult(
                point=point,
                method="gd",
                seed=seed,
                outcome="finished",
                training_loss=last[1],
                generalization_loss=last[2],
            )
        return TrialResult(
            point=point,
            method="gd",
            seed=seed,
            outcome="diverged",
            training_loss=None,
            generalization_loss=None,
            message=f"gradient descent diverged: {message}",
        )

    def _divergence(self, state: DescentState, run: int) -> str | None:
        """How a run diverged, and what to try; None where it did not."""
        last, rate, first = state.last_finite[run], state.diverged[run], self._first_losses[run]
        if last is None:
            return "the loss of the initial weights is not finite; try a smaller gd.init_scale"
        step, loss, _ = last
        if rate is not None:
            within = f"within {self._settings.log_every} steps after step {step} (training loss {loss:.3g})"
            told = f"the loss was no longer finite {within}"
        elif loss > FAR_ABOVE * first:
            rate = float(state.learning_rates.of_run[run])
            told = f"the training loss rose from {first:.3g} to {loss:.3g} by step {step}"
        else:
            return None
        return f"{told}, at learning rate {rate:g}; try a smaller gd.learning_rate"

    @cached_property
    def _first_losses(self) -> list[float]:
        """Per run: the training loss of the initial weights or of W = 0, whichever is larger."""
        weights = self._initial_weights.to(self._device, self._dtype)
        initial = self._losses_of_products(*self._last_product(weights), 1)[:, 0]
        of_zero = self._problem.targets.square().mean(-1).repeat_interleave(len(self._points))
        return torch.maximum(initial, of_zero).tolist()
