"""What a sampler is: `init`/`step` over explicit state, and one record at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from engine.problems.problem import Problem
from engine.results import GuessRecord, Interval, LossSummary
from engine.samplers.weighted import Weighted
from engine.spec.settings import PointSettings

KEPT_MATRICES = 256
"""posterior samples of W that a trial keeps for later views"""
ENOUGH_EFFECTIVE_SAMPLES = 30
"""below this the mean's standard error is itself uncertain by more than 13 %"""


@dataclass(frozen=True)
class Target:
    """One trial of Guess & Check: a data set, a model, a prior, a threshold."""

    point: PointSettings
    seed: int
    problem: Problem
    """one data set, in float64 on `device`"""
    device: torch.device

    @property
    def dtype(self) -> torch.dtype:
        """Of literal guesses; weighted samplers compute in float64."""
        dtype: torch.dtype = getattr(torch, self.point.gnc.dtype)
        return dtype

    def training_loss(self, columns: Float[Tensor, "mn batch"]) -> Float[Tensor, " batch"]:
        """L_train of matrices given as columns, in their dtype."""
        return _mean_square(self.problem.measurements, columns, self.problem.targets)

    def generalization_loss(self, columns: Float[Tensor, "mn batch"]) -> Float[Tensor, " batch"]:
        """L_gen of matrices given as columns, in their dtype."""
        return _mean_square(self.problem.held_out, columns, self.problem.held_out_targets)


def _mean_square(operator: Any, columns: Tensor, targets: Float[Tensor, "1 obs"]) -> Tensor:
    residual = operator.to(columns.device, columns.dtype).apply_to_columns(columns)
    residual.sub_(targets[0, :, None].to(columns.dtype))
    means: Tensor = residual.square_().mean(0)
    return means


@dataclass(frozen=True)
class Draws:
    """What is left of some guesses once the others are gone: those that passed, and how many there were."""

    count: int
    """guesses made"""
    best_training_loss: float
    training_loss: Float[Tensor, " hit"]
    generalization_loss: Float[Tensor, " hit"]
    matrices: Float[Tensor, "kept mn"]
    """the end-to-end matrices of the first few hits"""
    matrix_log_weight: Float[Tensor, " kept"]
    log_weight: Float[Tensor, " hit"]
    cluster: Int[Tensor, " hit"]
    """which draws share hidden features, counted from 0 within these guesses"""
    clusters: int
    """clusters tried"""

    @staticmethod
    def of(
        target: Target,
        columns: Float[Tensor, "mn hit"],
        training_loss: Float[Tensor, " hit"],
        *,
        count: int,
        best_training_loss: float,
        log_weight: Float[Tensor, " hit"] | None = None,
        cluster: Int[Tensor, " hit"] | None = None,
        clusters: int | None = None,
    ) -> Draws:
        """Hits given as columns; each has weight 1 and a cluster of its own unless said otherwise."""
        hits = columns.shape[1]
        weights = torch.zeros(hits, dtype=torch.float64) if log_weight is None else log_weight.double().cpu()
        return Draws(
            count=count,
            best_training_loss=best_training_loss,
            training_loss=training_loss.double().cpu(),
            generalization_loss=target.generalization_loss(columns).double().cpu(),
            matrices=columns[:, :KEPT_MATRICES].T.double().cpu(),
            matrix_log_weight=weights[:KEPT_MATRICES],
            log_weight=weights,
            cluster=torch.arange(hits) if cluster is None else cluster.cpu(),
            clusters=count if clusters is None else clusters,
        )


@dataclass(frozen=True)
class GuessState:
    """What every sampler carries from step to step: all that passed so far."""

    stage: int = 0
    """rises when all that passed so far is dropped, because another sampler takes over"""
    step: int = 0
    """blocks done: the address of the next block's randomness"""
    draws: int = 0
    clusters: int = 0
    best_training_loss: float = float("inf")
    training_loss: Float[Tensor, " hit"] = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))
    generalization_loss: Float[Tensor, " hit"] = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))
    log_weight: Float[Tensor, " hit"] = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))
    cluster: Int[Tensor, " hit"] = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    matrices: Float[Tensor, "kept mn"] = field(default_factory=lambda: torch.empty(0, 0, dtype=torch.float64))
    matrix_log_weight: Float[Tensor, " kept"] = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))

    @property
    def hits(self) -> int:
        return len(self.training_loss)

    @property
    def weighted(self) -> Weighted:
        return Weighted(self.log_weight.numpy(), self.cluster.numpy(), self.clusters)

    def extended(self, blocks: Sequence[Draws]) -> GuessState:
        """The state after these further blocks, in their order."""
        clusters, shifted = self.clusters, []
        for block in blocks:
            shifted.append(block.cluster + clusters)
            clusters += block.clusters
        kept = [self.matrices] if len(self.matrices) else []
        return replace(
            self,
            step=self.step + len(blocks),
            draws=self.draws + sum(block.count for block in blocks),
            clusters=clusters,
            best_training_loss=min([self.best_training_loss, *(block.best_training_loss for block in blocks)]),
            training_loss=torch.cat([self.training_loss, *(block.training_loss for block in blocks)]),
            generalization_loss=torch.cat([self.generalization_loss, *(block.generalization_loss for block in blocks)]),
            log_weight=torch.cat([self.log_weight, *(block.log_weight for block in blocks)]),
            cluster=torch.cat([self.cluster, *shifted]),
            matrices=torch.cat([*kept, *(block.matrices for block in blocks)])[:KEPT_MATRICES],
            matrix_log_weight=torch.cat([self.matrix_log_weight, *(block.matrix_log_weight for block in blocks)])[
                :KEPT_MATRICES
            ],
        )

    def loss_summary(self) -> LossSummary | None:
        return self.weighted.summarize(self.generalization_loss.numpy())

    def mean_training_loss(self) -> float | None:
        """Weighted mean over the draws that passed."""
        if not self.hits:
            return None
        return float(np.average(self.training_loss.numpy(), weights=self.weighted.relative_weights()))


@runtime_checkable
class Sampler(Protocol):
    """A way to draw from the posterior P(· | L_train < ε_train)."""

    def init(self, target: Target) -> Any:
        """A `GuessState`, or the sampler's own extension of it."""
        ...

    def step(self, target: Target, state: Any) -> Any:
        """A few tens of milliseconds of work; its randomness comes from (seed, stream, state.step) only."""
        ...

    def fraction(self, target: Target, state: Any) -> float:
        """How much of the work is done, from 0 to 1; at 1 it is finished."""
        ...

    def record(self, target: Target, state: Any) -> GuessRecord: ...


def fraction_of_budget(point: PointSettings, draws: int, effective_sample_size: float, wanted: int) -> float:
    """Of whichever limit is nearer: gnc.draws, or the effective samples wanted."""
    return min(1.0, max(draws / point.gnc.draws, effective_sample_size / wanted))


def no_hits_advice(target: Target, state: GuessState, acceptance: Interval) -> str:
    return (
        f"none of {state.draws:,} guesses fit (so P < 10^{acceptance.high:.1f} at 95 %); the best training loss was "
        f"{state.best_training_loss:.3g}, ε_train is {target.point.gnc.eps_train:g}: raise gnc.eps_train or gnc.draws"
    )
