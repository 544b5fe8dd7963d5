"""Verdicts on gradient descent: whether it generalizes, and moves as the theory says."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from engine.analysis.intervals import mean_interval, median_interval, share_interval
from engine.analysis.verdict import Verdict, alone, plus_minus
from engine.results import TrialResult, fits, log_points_judged, place
from engine.spec.applicability import predicts
from engine.spec.experiment import Experiment
from engine.spec.names import INITS
from engine.spec.settings import PointSettings

GENERALIZES = 0.1
"""of ‖W*‖²/(number of entries), which W = 0 costs on average: below, a data set counts as generalized"""
AS_PREDICTED = 0.02
"""largest relative error of dσ/dt up to which the law counts as met"""


def generalization(experiment: Experiment, results: Sequence[TrialResult]) -> Iterator[Verdict]:
    """How many data sets generalize at every width from the dimensions of W on."""
    drawn = all(point.problem.kind in ("sensing", "completion") for point in experiment.points)
    swept = experiment.over == "model.width" or alone(experiment)
    if not swept or "gd" not in experiment.methods or not drawn:
        return
    name = "gradient descent generalizes once it is as wide as W"
    wide = [_is_wide(point) for point in experiment.points]
    if not any(wide):
        yield Verdict(name, "no width reaches the dimensions of W", None)
        return
    done, generalized = _generalized(experiment, results)
    complete = done[:, wide].all(axis=1)
    count = int(complete.sum())
    if not count:
        yield Verdict(name, "no data set has been through all widths yet", None)
        return
    successes = int(generalized[complete][:, wide].all(axis=1).sum())
    share = share_interval(successes, count)
    problem = experiment.points[0].problem
    at = "at every width" if sum(wide) > 1 else "at width"
    first = min(point.model.width for point, chosen in zip(experiment.points, wide, strict=True) if chosen)
    parts = [
        f"{at} {'≥ ' if sum(wide) > 1 else ''}{first}, {successes} of {count} data sets "
        f"(95 %: {100 * share.low:.0f} to {100 * share.high:.0f} %) end under {_bar(experiment.points[0]):.2g}, "
        f"a tenth of ‖W*‖²/{problem.rows * problem.columns}",
        *_medians(experiment, results, wide),
        *_narrow(done, generalized, wide),
        *_not_fit(experiment, results, wide),
        *_unmet(experiment.points),
    ]
    yield Verdict(name, "; ".join(parts), share)


def _is_wide(point: PointSettings) -> bool:
    return point.model.width >= max(point.problem.rows, point.problem.columns)


def _bar(point: PointSettings) -> float:
    return GENERALIZES * point.problem.norm**2 / (point.problem.rows * point.problem.columns)


def _generalized(
    experiment: Experiment, results: Sequence[TrialResult]
) -> tuple[Bool[ndarray, "seed point"], Bool[ndarray, "seed point"]]:
    """Trials of gradient descent that are over, and those that generalize; those that diverged do not."""
    done = np.zeros((experiment.seeds, len(experiment.points)), dtype=np.bool_)
    generalized = done.copy()
    for result in results:
        if result.method == "gd" and result.outcome != "failed":
            point = experiment.points[result.point]
            trial = place(experiment, result)
            done[trial] = True
            generalized[trial] = result.generalization_loss is not None and result.generalization_loss < _bar(point)
    return done, generalized


def _medians(experiment: Experiment, results: Sequence[TrialResult], wide: Sequence[bool]) -> Iterator[str]:
    """The largest median over the wide widths, and the prior's least."""
    largest = [
        (median_interval(losses), index)
        for index, chosen in enumerate(wide)
        if chosen and (losses := _losses(results, "gd", index))
    ]
    if largest:
        worst, index = max(largest, key=lambda each: each[0].value or 0.0)
        reach = f" ({worst.low:.2g} to {worst.high:.2g})" if math.isfinite(worst.low) else ""
        yield f"the largest median is {worst.value:.2g}{reach}, at width {experiment.points[index].model.width}"
    priors = [float(np.median(losses)) for index in range(len(wide)) if (losses := _losses(results, "prior", index))]
    if priors:
        yield f"the prior's are {min(priors):.2g} and more"


def _losses(results: Sequence[TrialResult], method: str, point: int) -> list[float]:
    return [
        result.generalization_loss
        for result in results
        if (result.method, result.point) == (method, point) and result.generalization_loss is not None
    ]


def _narrow(
    done: Bool[ndarray, "seed point"], generalized: Bool[ndarray, "seed point"], wide: Sequence[bool]
) -> Iterator[str]:
    narrow = ~np.array(wide)
    if done[:, narrow].any():
        yield f"below, {generalized[:, narrow].sum()} of {done[:, narrow].sum()} trials do"


def _not_fit(experiment: Experiment, results: Sequence[TrialResult], wide: Sequence[bool]) -> Iterator[str]:
    if "gnc" not in experiment.methods:
        return
    count = sum(not fits(experiment, result) for result in results if result.method == "gd" and wide[result.point])
    if count:
        yield f"{count} of the wide trials did not fit their training data"


def _unmet(points: Sequence[PointSettings]) -> Iterator[str]:
    """Assumptions of the guarantee [Soltanolkotabi, Stöger, Xie 2023] that the experiment doesn't meet."""
    conditions = {
        "depth 2": all(point.model.depth == 2 for point in points),
        "linear σ": all(point.model.activation == "linear" for point in points),
        "Gaussian sensing": all(point.problem.kind == "sensing" for point in points),
        "plain gradient descent": all(point.gd.optimizer == "gradient_descent" for point in points),
    }
    if missing := [name for name, met in conditions.items() if not met]:
        yield f"the guarantee assumes {', '.join(missing)}"


def dynamics(experiment: Experiment, results: Sequence[TrialResult]) -> Iterator[Verdict]:
    """The largest relative error of the predicted dσ/dt, over log points, sweep points and data sets."""
    if "gd" not in experiment.methods or not any(map(predicts, experiment.points)):
        return
    name = "the singular values' law of motion"
    compared = [result for result in results if result.method == "gd" and result.theory_error is not None]
    if not compared:
        done = any(result.method == "gd" for result in results)
        yield Verdict(name, "no log point could be judged" if done else "no data set is done yet", None)
        return
    worst = max(compared, key=lambda result: result.theory_error or 0.0)
    largest = worst.theory_error or 0.0
    by_seed: dict[int, float] = {}
    for result in compared:
        by_seed[result.seed] = max(by_seed.get(result.seed, 0.0), result.theory_error or 0.0)
    inside = sum(error <= AS_PREDICTED for error in by_seed.values())
    share = share_interval(inside, len(by_seed))
    sets = "data set" if len(by_seed) == 1 else "data sets"
    text = (
        f"dσ/dt is off by at most {100 * largest:.2g} % at {log_points_judged(compared)}"
        f"{f' (most at {experiment.label(worst.point)})' if experiment.over else ''}; "
        f"within {100 * AS_PREDICTED:.0f} % on {inside} of {len(by_seed)} {sets} "
        f"(95 %: {100 * share.low:.0f} to {100 * share.high:.0f} %)"
    )
    if (mean := mean_interval(100 * np.array(list(by_seed.values())))) is not None:
        text += f"; the data sets' largest errors have the mean {plus_minus(mean)} % (95 %)"
    if any(predicts(point) and not INITS[point.gd.init].balanced for point in experiment.points):
        text += "; the law assumes a balanced init"
    yield Verdict(name, text, share)
