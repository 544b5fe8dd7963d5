"""The fields an experiment is made of: typed, bounded, documented. Never imports torch.

`mftui presets show`, the explorer's form and the preset reference are all generated from here, so each field's meaning
is written once, in the docstring under it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, cast, get_args

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.fields import FieldInfo

ActivationName = Literal["linear", "tanh", "leaky_relu", "relu", "gelu", "erf", "sin"]
DtypeName = Literal["float32", "float64"]
InitName = Literal["default_uniform", "gaussian"]
Method = Literal["gd", "prior", "gnc"]
OptimizerName = Literal["gradient_descent", "group_rmsprop"]
PriorName = Literal["gaussian", "uniform", "uniform_matched", "rademacher", "laplace", "student_t"]
SamplerName = Literal["auto", "rejection", "collapsed", "conditional", "splitting"]

METHODS: tuple[Method, ...] = get_args(Method)
METHOD_LABELS: dict[Method, str] = {"gd": "GD", "prior": "Prior", "gnc": "G&C"}


def _whole(value: Any) -> Any:
    """Accept 1e7 where a count is meant: TOML reads it as a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[Whole, Ge(1)]
Positive = Annotated[float, Gt(0.0)]


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class ProblemSettings(Section):
    """The ground truth and what is measured of it."""

    kind: Literal["sensing", "completion", "file"] = "sensing"
    """sensing: Gaussian measurement matrices of unit norm; completion: single entries, no repeats; file: see path"""
    path: str = ""
    """the .npz file of a problem of kind file: A, y, and W_star or A_test and y_test"""
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
    seed: Annotated[Whole, Ge(0)] = 0
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
    """gradient_descent: the plain step; group_rmsprop: the step over a moving average of the gradient's norm"""
    learning_rate: Positive = 0.1
    """step size η"""
    init: InitName = "default_uniform"
    """default_uniform: U(±1/√fan_in), PyTorch's default for linear layers; gaussian: N(0, 1/fan_in)"""
    init_scale: Positive = 1e-3
    """factor on every initial weight"""
    steps: Count = 10_000
    """number of steps"""
    log_every: Count = 100
    """steps between two logged rows (losses and singular values)"""
    dtype: DtypeName = "float64"
    """floating-point type of the weights"""


class GnCSettings(Section):
    """Guess & Check: weights from the prior, kept when the training loss is under eps_train."""

    eps_train: Positive = 0.02
    """ε_train, the training loss a guess must be under"""
    prior: PriorName = "gaussian"
    """law of a weight before scaling: uniform is U[-1, 1], of variance 1/3 as published; all others have variance 1"""
    scaling: Literal["fan_out", "fan_in"] = "fan_out"
    """weights are divided by the root of this: the layer's output dimension (as published) or input dimension"""
    normalize: bool = False
    """divide the end-to-end matrix by its Frobenius norm + 1e-6"""
    mode: Literal["posterior", "first_hit"] = "posterior"
    """posterior: draw until the posterior is known well enough; first_hit: until the first guess fits"""
    draws: Count = 10_000_000
    """most guesses per trial"""
    effective_samples: Count = 2_000
    """accepted guesses (effective ones, where they carry weights) after which a trial stops"""
    prior_draws: Count = 100_000
    """number of draws per trial for the unconditioned prior"""
    sampler: SamplerName = "auto"
    """how guesses are drawn: rejection is the literal way; auto takes the cheapest that is reliable"""
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


def expected(field: FieldInfo) -> str:
    """What a field accepts, in words: "an integer ≥ 1", "one of gaussian, uniform"."""
    if choices := get_args(field.annotation):
        return "one of " + ", ".join(map(str, choices))
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
    return " ".join([noun, " and ".join(bounds)]).strip()


def bad_combinations(point: PointSettings) -> Iterator[tuple[str, str, object]]:
    """Fields that are each valid but not together, as (dotted name, what was expected, what came)."""
    problem = point.problem
    if problem.kind == "file":
        if not problem.path:
            yield "problem.path", "the path of an .npz file (problem.kind is file)", problem.path
        return
    if problem.path:
        yield "problem.path", "no path (problem.kind is not file)", problem.path
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
