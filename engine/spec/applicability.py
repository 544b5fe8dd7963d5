"""What can serve which settings. Never imports torch, so that a preset can be refused before anything runs."""

from __future__ import annotations

from engine.spec.names import SamplerName
from engine.spec.settings import PointSettings

MAX_CONDITIONED_MEASUREMENTS = 300
MAX_CONDITIONING_NUMBERS = 25_000_000
"""200 MB"""


MAX_NUCLEAR_SIDE = 200
"""a semidefinite program of twice this size: about 5 s on one core, for single entries"""
MAX_NUCLEAR_COEFFICIENTS = 2_000_000
"""entries of all measurement matrices together, which the solver factors: about 5 s"""


def nuclear_refusal(point: PointSettings) -> str | None:
    """Why the minimum nuclear norm is not worth trying at these settings; None if it is."""
    problem = point.problem
    larger = max(problem.rows, problem.columns)
    if larger > MAX_NUCLEAR_SIDE:
        return f"the solver takes matrices of up to {MAX_NUCLEAR_SIDE}×{MAX_NUCLEAR_SIDE}"
    dense = problem.kind in ("sensing", "file")
    coefficients = problem.measurements * problem.rows * problem.columns
    if dense and coefficients > MAX_NUCLEAR_COEFFICIENTS:
        return (
            f"the solver takes dense measurements of up to {MAX_NUCLEAR_COEFFICIENTS:,} entries in all, "
            f"not {coefficients:,}"
        )
    return None


def theory_applies(point: PointSettings) -> bool:
    """Whether theory says how the singular values move (`engine.descent.theory`): linear σ, plain gradient descent."""
    return point.model.activation == "linear" and point.gd.optimizer == "gradient_descent"


def predicts(point: PointSettings) -> bool:
    """Whether theory applies to a point, and its `gd.predict_from` asks for the comparison."""
    return theory_applies(point) and point.gd.predict_from >= 0


def refusal(sampler: SamplerName, point: PointSettings) -> str | None:
    """Why `sampler` can't serve these settings, and which one can; None if it can."""
    prior, first_hit = point.gnc.prior, point.gnc.mode == "first_hit"
    match sampler:
        case "collapsed" | "conditional" if prior != "gaussian":
            return f"{sampler} needs the Gaussian prior, not {prior}; rejection and splitting take any"
        case "conditional" | "splitting" if first_hit:
            return f"{sampler} makes no literal guesses to count up to a first hit; rejection does"
        case "conditional" if point.problem.measurements > MAX_CONDITIONED_MEASUREMENTS:
            return (
                f"conditional factors an n×n matrix a draw, too much for {point.problem.measurements} measurements "
                f"(at most {MAX_CONDITIONED_MEASUREMENTS}); splitting needs none"
            )
        case "conditional" if (point.problem.measurements * point.problem.columns) ** 2 > MAX_CONDITIONING_NUMBERS:
            return (
                f"conditional prepares (measurements × columns)² numbers, too much for {point.problem.measurements} "
                f"measurements of {point.problem.columns} columns; splitting needs none"
            )
    return None
