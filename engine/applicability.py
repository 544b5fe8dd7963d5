"""Which sampler can serve which settings. Never imports torch, so that a preset can be refused before anything runs."""

from __future__ import annotations

from engine.settings import PointSettings, SamplerName

MAX_CONDITIONED_MEASUREMENTS = 300


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
    return None
