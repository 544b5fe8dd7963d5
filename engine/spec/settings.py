"""The fields an experiment is made of: typed, bounded, documented. Never imports torch.

`mftui presets show`, the explorer's form and the preset reference are all generated from here, so each field's meaning
is written once, in the docstring under it, and that of a name it may take in `engine.spec.names`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator
from pydantic.fields import FieldInfo

from engine.spec.names import (
    CHOICES,
    OPTIMIZERS,
    ActivationName,
    InitName,
    OptimizerName,
    PriorName,
    SamplerName,
)

DtypeName = Literal["float32", "float64"]
Method = Literal["gd", "prior", "gnc", "nuclear"]
METHODS: tuple[Method, ...] = get_args(Method)
METHOD_LABELS: dict[Method, str] = {"gd": "GD", "prior": "Prior", "gnc": "G&C", "nuclear": "Min nuclear"}
DEFAULT_METHODS: tuple[Method, ...] = ("gd", "prior", "gnc")
"""what runs where a preset names no methods"""


def _whole(value: Any) -> Any:
    """Accept 1e7 where a count is meant: TOML reads it as a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[Whole, Ge(1)]
Positive = Annotated[float, Gt(0.0)]


def _positive_or_auto(value: Any) -> Any:
    if value == "auto":
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError("neither a number > 0 nor auto")
    return float(value)


PositiveOrAuto = Annotated[float | Literal["auto"], PlainValidator(_positive_or_auto)]


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class ProblemSettings(Section):
    """The ground truth and what is measured of it."""

    kind: Literal["sensing", "completion", "file", "ratings"] = "sensing"
    """sensing: Gaussian measurement matrices of unit norm; completion: single entries, no repeats; others: see path"""
    path: str = ""
    """file: .npz with A, y, and W_star or A_test and y_test; ratings: CSV or TSV (.gz too) of row, column, value"""
    first_index: Whole = 0
    """ratings: the number that the files give to the first row and the first column"""
    test_path: str = ""
    """ratings: a file of ratings to hold out; without one a random part of those in path is"""
    test_fraction: Annotated[float, Gt(0.0), Le(0.95)] = 0.1
    """ratings: the share of them held out at random, anew for each data set, where there is no test_path"""
    center: bool = False
    """ratings: subtract the training ratings' mean, so that an untrained entry predicts the mean instead of 0"""
    rows: Annotated[Count, Le(100_000)] = 5
    """rows of the ground truth W*"""
    columns: Annotated[Count, Le(100_000)] = 5
    """columns of the ground truth W*"""
    rank: Count = 1
    """rank of W*, at most min(rows, columns)"""
    norm: Positive = 1.0
    """Frobenius norm of W*"""
    measurements: Count = 15
    """how many measurements make the training set, fewer than rows × columns"""
    seed: Annotated[Whole, Ge(0), Le(2**48)] = 0
    """seed of the first trial; trial i draws its data, init and guesses from seed + i"""


class ModelSettings(Section):
    """The factorization W = W_L σ(W_{L-1} σ(… σ(W_1)))."""

    activation: ActivationName = "linear"
    """σ, between the matrices (never after the last)"""
    negative_slope: Annotated[float, Ge(0.0), Le(1.0)] = 0.2
    """slope of leaky_relu below zero"""
    depth: Annotated[Count, Le(1000)] = 2
    """L, the number of matrices"""
    width: Annotated[Count, Le(100_000_000)] = 5
    """k, the hidden dimension"""


class GDSettings(Section):
    """Gradient descent from a near-zero init."""

    optimizer: OptimizerName = "gradient_descent"
    """how the gradient moves the weights"""
    learning_rate: PositiveOrAuto = 0.1
    """step size η, or auto: half of what the problem's curvature allows (not for the adaptive optimizers)"""
    momentum: Annotated[float, Ge(0.0), Lt(1.0)] = 0.9
    """share of the velocity that an optimizer with momentum keeps from step to step"""
    epsilon: PositiveOrAuto = "auto"
    """ε, added to the root that an adaptive optimizer divides its steps by; auto: 1e-6, for adam 1e-8"""
    batch_size: Count = 5
    """measurements drawn for each step of sgd, without replacement; all of them where there are no more"""
    init: InitName = "default_uniform"
    """the weights to start from, before init_scale"""
    init_scale: Positive = 1e-3
    """factor on every initial weight"""
    steps: Count = 10_000
    """number of steps"""
    log_every: Count = 100
    """steps between two logged rows (losses and singular values)"""
    stop_below: Annotated[float, Ge(0.0)] = 0.0
    """end at the first log point whose training loss is under this; 0: never before the last step"""
    predict_from: Annotated[Whole, Ge(-1)] = -1
    """compare the singular values with theory (linear, gradient_descent): their speed at each log point, and their
    course as predicted from this step on; -1: don't"""
    dtype: DtypeName = "float64"
    """floating-point type of the weights"""

    @property
    def epsilon_in_use(self) -> float:
        """ε, `auto` worked out; 0 for an optimizer that has none."""
        return self.epsilon if self.epsilon != "auto" else OPTIMIZERS[self.optimizer].epsilon or 0.0


class GnCSettings(Section):
    """Guess & Check: weights from the prior, kept when the training loss is under eps_train."""

    eps_train: Positive = 0.02
    """ε_train, the training loss a guess must be under"""
    prior: PriorName = "gaussian"
    """law of a weight before scaling, of variance 1 for all but uniform"""
    scaling: Literal["fan_out", "fan_in"] = "fan_out"
    """weights are divided by the root of this: the layer's output dimension (as published) or input dimension"""
    normalize: bool = False
    """divide the end-to-end matrix by its Frobenius norm + 1e-6"""
    mode: Literal["posterior", "first_hit"] = "posterior"
    """posterior: draw until the posterior is known well enough; first_hit: until the first guess fits"""
    draws: Count = 10_000_000
    """most guesses per trial; the conditional sampler counts guesses of hidden features, splitting its particles'
    moves (eight replicates are made in any case)"""
    effective_samples: Count = 2_000
    """accepted guesses (effective ones, where they carry weights) after which a trial stops"""
    prior_draws: Count = 100_000
    """number of draws per trial for the unconditioned prior"""
    measure_laws: bool = False
    """also measure, on draws of their own: how near W's entries are to i.i.d. Gaussian, and the middle layers' product
    to rank one (linear, depth 3 or more)"""
    sampler: SamplerName = "auto"
    """how guesses are drawn"""
    dtype: DtypeName = "float32"
    """floating-point type of the guesses"""


class PointSettings(Section):
    """One sweep point: everything that fixes its numbers, together with a trial's seed."""

    problem: ProblemSettings = ProblemSettings()
    model: ModelSettings = ModelSettings()
    gd: GDSettings = GDSettings()
    gnc: GnCSettings = GnCSettings()


SECTIONS: dict[str, type[Section]] = {
    "problem": ProblemSettings,
    "model": ModelSettings,
    "gd": GDSettings,
    "gnc": GnCSettings,
}


def fields() -> dict[str, FieldInfo]:
    """Every settable field by its dotted name, in the order of the preset file."""
    return {
        f"{section}.{name}": field
        for section, settings in SECTIONS.items()
        for name, field in settings.model_fields.items()
    }


def choices(field: FieldInfo) -> tuple[str, ...]:
    """The values of a field that takes one of a few."""
    return get_args(field.annotation) if get_origin(field.annotation) is Literal else ()


def meaning(key: str, *chosen: str) -> str:
    """What a field means, by its dotted name, and what is chosen for it, or else each name that it may take."""
    told = CHOICES.get(key, {})
    names = [name for name in told if name in chosen] or told
    field = " ".join((fields()[key].description or "").split())
    return "; ".join([field, *(f"{name}: {told[name].meaning}" for name in names)])


def expected(field: FieldInfo) -> str:
    """What a field accepts, in words: "an integer ≥ 1", "one of gaussian, uniform"."""
    if options := choices(field):
        return "one of " + ", ".join(options)
    if get_args(field.annotation):
        return "a number > 0 or auto"
    noun = {int: "an integer", float: "a number", bool: "true or false"}.get(cast(type, field.annotation), "text")
    bounds = []
    for bound in field.metadata:
        match bound:
            case Gt(gt=value):
                bounds.append(f"> {value:g}")
            case Ge(ge=value):
                bounds.append(f"≥ {value:g}")
            case Le(le=value):
                bounds.append(f"≤ {value:g}")
            case Lt(lt=value):
                bounds.append(f"< {value:g}")
    return " ".join([noun, " and ".join(bounds)]).strip()


def bad_combinations(point: PointSettings) -> Iterator[tuple[str, str, object]]:
    """Fields that are each valid but not together, as (dotted name, what was expected, what came)."""
    problem = point.problem
    if point.gd.learning_rate == "auto" and OPTIMIZERS[point.gd.optimizer].adaptive:
        yield "gd.learning_rate", f"a number > 0 ({point.gd.optimizer} scales its steps by itself)", "auto"
    yield from _bad_files(problem)
    if problem.kind in ("file", "ratings"):
        return
    smaller = min(problem.rows, problem.columns)
    if problem.rank > smaller:
        yield (
            "problem.rank",
            f"an integer ≤ min(rows, columns) = {smaller}",
            problem.rank,
        )
    entries = problem.rows * problem.columns
    if problem.measurements >= entries:
        yield (
            "problem.measurements",
            f"an integer < rows × columns = {entries} (generalization needs something left unmeasured)",
            problem.measurements,
        )


def _bad_files(problem: ProblemSettings) -> Iterator[tuple[str, str, object]]:
    """What is wrong with the fields that belong to some kinds of problem only."""
    wanted = {"file": "the path of an .npz file", "ratings": "the path of a file of row, column, value"}
    if problem.kind in wanted and not problem.path:
        yield "problem.path", f"{wanted[problem.kind]} (problem.kind is {problem.kind})", problem.path
    if problem.kind not in wanted and problem.path:
        yield "problem.path", "no path (problem.kind is neither file nor ratings)", problem.path
    if problem.kind != "ratings":
        if problem.test_path:
            yield "problem.test_path", "no path (problem.kind is not ratings)", problem.test_path
        if problem.first_index:
            yield "problem.first_index", "nothing (problem.kind is not ratings)", problem.first_index
        if problem.center:
            yield "problem.center", "false (problem.kind is not ratings)", problem.center
