"""What a trial and a run come to: plain numbers, JSON in and out. Never imports torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.spec.experiment import Experiment
from engine.spec.settings import Method, PointSettings

Outcome = Literal["finished", "diverged", "no_hits", "unreliable", "failed"]
CONFIDENCE = 0.95
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
HISTOGRAM_EDGES: NDArray[np.float64] = np.linspace(-8, 4, 97)
"""log10 of the generalization loss, eight bins a decade: the same for every trial, so that histograms compare"""


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval; `value` is None when nothing was seen to estimate it from."""

    value: float | None
    low: float
    high: float


@dataclass(frozen=True)
class LossSummary:
    """A (weighted) sample of the generalization loss."""

    mean: float
    standard_error: float
    """of the mean"""
    quantiles: tuple[float, ...]
    """at `QUANTILES`"""
    histogram: tuple[float, ...]
    """share of the weight in each bin of `HISTOGRAM_EDGES`; the first and last bins take what lies outside"""


@dataclass(frozen=True)
class GuessRecord:
    """What every sampler reports of one trial."""

    sampler: str
    draws: int
    hits: int
    """draws that passed, each with its weight"""
    effective_sample_size: float
    log10_acceptance: Interval
    """log10 of P(L_train < ε_train) under the prior; exactly 0 for the prior itself"""
    generalization_loss: LossSummary | None
    """None when no draw passed"""
    best_training_loss: float
    reliable: bool
    advice: str
    """a sentence on how far to trust this, and what to do"""
    pareto_k: float | None = None
    """tail index of the importance weights; None where there are none"""
    choice: str = ""
    """why `auto` took this sampler"""


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error, from independent batches."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class EntryLaw:
    """How far the entries of W, before normalization, are from i.i.d. Gaussian: each number would be 0."""

    excess_kurtosis: Estimate
    """of one entry"""
    row_dependence: Estimate | None
    """correlation between the squares of two entries of a row; None where a row has one"""
    column_dependence: Estimate | None
    """the same for a column"""
    kolmogorov: Estimate | None
    """Kolmogorov distance of one entry's law from the normal of the same variance; None but for the Gaussian prior"""


@dataclass(frozen=True)
class MiddleLaw:
    """How near the product of the middle matrices W_{L−1} ⋯ W_2 is to rank one."""

    log_ratio: Estimate | None
    """mean of the natural logarithm of σ₂/σ₁; None where some σ₂ are 0, or can't be told from it"""
    quantiles: tuple[float, ...]
    """of σ₂/σ₁, at `QUANTILES`"""
    far_from_rank_one: Estimate
    """P(σ₂/σ₁ > ½)"""


@dataclass(frozen=True)
class LawRecord:
    """What the prior's weights themselves show of the theorems' reasons, whatever the data set."""

    entries: EntryLaw | None
    middle: MiddleLaw | None
    remarks: tuple[str, ...] = ()
    """why one of them is missing, a sentence each"""

    @staticmethod
    def from_json(data: dict[str, Any]) -> LawRecord:
        """Inverse of `dataclasses.asdict`. Raises KeyError or TypeError on anything else."""

        def value(given: Any) -> Any:
            return Estimate(**given) if isinstance(given, dict) else tuple(given) if isinstance(given, list) else given

        def values(part: dict[str, Any]) -> dict[str, Any]:
            return {key: value(given) for key, given in part.items()}

        entries, middle = data["entries"], data["middle"]
        return LawRecord(
            entries=None if entries is None else EntryLaw(**values(entries)),
            middle=None if middle is None else MiddleLaw(**values(middle)),
            remarks=tuple(data["remarks"]),
        )


@dataclass(frozen=True)
class TrialResult:
    """One method on one data set at one sweep point."""

    point: int
    method: Method
    seed: int
    outcome: Outcome
    generalization_loss: float | None
    """GD: of the last iterate; Prior and G&C: mean over the (accepted) draws. None if there is no such number"""
    training_loss: float | None
    """GD: of the last iterate; Prior and G&C: mean over the (accepted) draws"""
    message: str = ""
    guesses: GuessRecord | None = None
    held_out_rmse: float | None = None
    """ratings only: root of the generalization loss, in units of the ratings"""
    theory_error: float | None = None
    """GD with linear σ: largest relative error of the predicted dσ/dt over the log points judged
    (`engine.descent.theory`)"""
    theory_judged: int | None = None
    """how many log points were judged; None in runs of earlier versions"""
    theory_passed_over: int | None = None
    """how many were not: a step moved the singular values too little or too much to measure a rate, or two are equal"""
    trajectory_error: float | None = None
    """the same for the integrated trajectory: largest |σ_r − predicted| over the log points, relative to the largest
    σ seen; None where none was asked for"""
    laws: LawRecord | None = None
    """Prior only, where gnc.measure_laws asks for it"""
    nuclear_norm: float | None = None
    """minimum nuclear norm only, as the two below; gradient descent logs its own at each log point"""
    effective_rank: float | None = None
    """exp of the entropy of σ/Σσ"""
    distance_to_truth: float | None = None
    """‖W − W*‖_F; None where W* is unknown"""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> TrialResult:
        """Inverse of `to_json`. Raises KeyError or TypeError on anything else."""
        guesses = data.get("guesses")
        if guesses is not None:
            loss = guesses["generalization_loss"]
            if loss is not None:
                loss = LossSummary(
                    **{**loss, "quantiles": tuple(loss["quantiles"]), "histogram": tuple(loss["histogram"])}
                )
            guesses = GuessRecord(
                **{
                    **guesses,
                    "log10_acceptance": Interval(**guesses["log10_acceptance"]),
                    "generalization_loss": loss,
                }
            )
        laws = data.get("laws")
        return TrialResult(**{**data, "guesses": guesses, "laws": None if laws is None else LawRecord.from_json(laws)})


def place(experiment: Experiment, trial: TrialResult) -> tuple[int, int]:
    """Row and column of a trial in a table of data sets by sweep points."""
    return trial.seed - experiment.points[trial.point].problem.seed, trial.point


def trial_of(event: dict[str, Any]) -> TrialResult:
    """The result that a stored `trial` event carries. Raises KeyError or TypeError if it is damaged."""
    return TrialResult.from_json({key: value for key, value in event.items() if key not in ("event", "time")})


@dataclass(frozen=True)
class PointSummary:
    """One method at one sweep point, over its data sets."""

    point: int
    label: str
    method: Method
    trials: int
    """trials that gave a generalization loss"""
    generalization_loss: tuple[float, float, float] | None
    """quartiles over the data sets: 25 %, median, 75 %"""
    training_loss: float | None
    """median over the data sets"""
    acceptance: Interval | None
    """log10 acceptance probability of the median data set; None for GD and the prior"""
    remarks: tuple[str, ...]
    """what went wrong, a sentence each"""
    notes: tuple[str, ...] = ()
    """further results, a sentence each"""


def to_plain(summary: PointSummary) -> dict[str, Any]:
    """As nested dicts and lists, for JSON."""
    return asdict(summary)


def binomial_interval(hits: int, draws: int) -> Interval:
    """log10 of a success probability with its exact interval [Clopper, Pearson 1934]."""
    from scipy.special import betaincinv  # here: front ends, which never need it, would wait 0.1 s for it

    tail = (1 - CONFIDENCE) / 2
    low = betaincinv(hits, draws - hits + 1, tail) if hits else 0.0
    high = betaincinv(hits + 1, draws - hits, 1 - tail) if hits < draws else 1.0
    return Interval(
        value=math.log10(hits / draws) if hits else None,
        low=math.log10(low) if low > 0 else -math.inf,
        high=math.log10(high),
    )


def geometric_interval(draws: int) -> Interval:
    """log10 of a success probability whose first success was number `draws`, with its exact interval."""
    tail = (1 - CONFIDENCE) / 2
    low = -math.expm1(math.log1p(-tail) / draws)
    high = -math.expm1(math.log(tail) / (draws - 1)) if draws > 1 else 1.0
    return Interval(math.log10(1 / draws), math.log10(low), math.log10(high))


def histogram(losses: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, ...]:
    """Weight in each bin of `HISTOGRAM_EDGES`; `weights` sum to 1."""
    with np.errstate(divide="ignore"):
        inside = np.clip(np.log10(losses), HISTOGRAM_EDGES[0], HISTOGRAM_EDGES[-1])
    counts, _ = np.histogram(inside, HISTOGRAM_EDGES, weights=weights)
    return tuple(map(float, counts))


def effective_rank(singular_values: NDArray[np.float64]) -> float:
    """exp of the entropy of σ/Σσ, from 1 to the number of values [Roy, Vetterli 2007]; 0 for the zero matrix."""
    shares = singular_values[singular_values > 0] / (singular_values.sum() or 1.0)
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0


def held_out_rmse(point: PointSettings, generalization_loss: float | None) -> float | None:
    """Root of the mean squared error over the held-out ratings; None for other kinds of problem."""
    if point.problem.kind != "ratings" or generalization_loss is None:
        return None
    return math.sqrt(generalization_loss)


def summarize(experiment: Experiment, results: Sequence[TrialResult]) -> list[PointSummary]:
    """The results table: sweep points in order, each with its methods; points without any trial are left out."""
    table = []
    for point in range(len(experiment.points)):
        for method in experiment.methods:
            trials = [result for result in results if (result.point, result.method) == (point, method)]
            if trials:
                eps_train = experiment.points[point].gnc.eps_train if "gnc" in experiment.methods else math.inf
                table.append(_summarize_point(point, experiment.label(point), method, trials, eps_train))
    return table


def fits(experiment: Experiment, trial: TrialResult) -> bool:
    """Whether gradient descent ended where Guess & Check would keep a guess."""
    return trial.training_loss is not None and trial.training_loss <= experiment.points[trial.point].gnc.eps_train


def _unfit(trials: Sequence[TrialResult], eps_train: float) -> Iterable[str]:
    """Gradient descent that did not train is no evidence of how it generalizes."""
    count = sum(trial.training_loss is not None and trial.training_loss > eps_train for trial in trials)
    if count:
        yield (
            f"{count} of {len(trials)} ended above ε_train = {eps_train:g} and so have not fit the data: "
            "try more gd.steps, another gd.learning_rate or gd.init_scale"
        )


def _summarize_point(
    point: int, label: str, method: Method, trials: Sequence[TrialResult], eps_train: float
) -> PointSummary:
    generalization = [t.generalization_loss for t in trials if t.generalization_loss is not None]
    training = [t.training_loss for t in trials if t.training_loss is not None]
    quartiles = tuple(map(float, np.quantile(generalization, (0.25, 0.5, 0.75)))) if generalization else None
    return PointSummary(
        point=point,
        label=label,
        method=method,
        trials=len(generalization),
        generalization_loss=quartiles,  # type: ignore[arg-type]
        training_loss=float(np.median(training)) if training else None,
        acceptance=_median_acceptance(trials) if method == "gnc" else None,
        remarks=tuple(_remarks(trials)),
        notes=(*_notes(trials), *_unfit(trials, eps_train if method == "gd" else math.inf)),
    )


def _median_acceptance(trials: Iterable[TrialResult]) -> Interval | None:
    """The acceptance of the (lower) median data set, with that data set's own interval."""
    intervals = [trial.guesses.log10_acceptance for trial in trials if trial.guesses]
    intervals.sort(key=lambda interval: (-math.inf if interval.value is None else interval.value, interval.high))
    return intervals[(len(intervals) - 1) // 2] if intervals else None


def _remarks(trials: Iterable[TrialResult]) -> Iterable[str]:
    for trial in trials:
        if trial.outcome != "finished":
            yield f"seed {trial.seed}: {trial.message}"


def log_points_judged(trials: Iterable[TrialResult]) -> str:
    """At which log points dσ/dt was compared with theory, in words."""
    counts = [(trial.theory_judged, trial.theory_passed_over) for trial in trials if trial.theory_error is not None]
    known = [(judged, passed_over) for judged, passed_over in counts if judged and passed_over is not None]
    if len(known) < len(counts):
        return "the log points that were judged"
    judged, total = sum(judged for judged, _ in known), sum(map(sum, known))
    if judged == total:
        return f"all {total:,} log points"
    return f"{judged:,} of {total:,} log points (the others don't resolve it)"


def _notes(trials: Sequence[TrialResult]) -> Iterable[str]:
    rmse = [trial.held_out_rmse for trial in trials if trial.held_out_rmse is not None]
    if rmse:
        yield f"held-out RMSE {np.median(rmse):.4g}" + (" (median data set)" if len(rmse) > 1 else "")
    rates = [trial.theory_error for trial in trials if trial.theory_error is not None]
    if rates:
        yield f"theory: dσ/dt predicted within {100 * max(rates):.2g} % at {log_points_judged(trials)}"
    elif any(trial.theory_passed_over for trial in trials):
        yield "theory: dσ/dt could be judged at no log point: a step moves the singular values too little or too much"
    paths = [trial.trajectory_error for trial in trials if trial.trajectory_error is not None]
    lost = sum(map(math.isinf, paths))
    if lost:
        yield (
            f"theory: the predicted course of {lost} of {len(paths)} data sets could not be followed to the end: "
            "the steps are longer than any stable descent's; try a smaller gd.learning_rate"
        )
    elif paths:
        yield f"theory: the singular values' whole course predicted within {100 * max(paths):.2g} % of the largest"
    norms = [trial.nuclear_norm for trial in trials if trial.nuclear_norm is not None]
    ranks = [trial.effective_rank for trial in trials if trial.effective_rank is not None]
    if norms and ranks:
        several = " (medians over the data sets)" if len(norms) > 1 else ""
        yield f"nuclear norm {np.median(norms):.4g}, effective rank {np.median(ranks):.3g}{several}"
