"""The paper's statements as measurements: what the results of a run say of each, in a sentence, with an interval.

Statements, formulas and sources: docs/theory.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.analysis.descent_verdicts import dynamics, generalization
from engine.analysis.guess_verdicts import independence, small_threshold, theorem
from engine.analysis.law_verdicts import entries, middle
from engine.analysis.need_verdict import need
from engine.analysis.theorems import measure
from engine.analysis.verdict import Verdict
from engine.results import TrialResult
from engine.spec.experiment import Experiment

__all__ = ["Verdict", "verdicts"]


def verdicts(experiment: Experiment, results: Sequence[TrialResult]) -> tuple[Verdict, ...]:
    """One verdict for each statement that the experiment measures; for none of them an empty tuple."""
    measured = measure(experiment, results)
    return (
        *need(experiment, results),
        *theorem(measured),
        *independence(experiment, results, measured),
        *entries(experiment, results),
        *middle(experiment, results),
        *generalization(experiment, results),
        *dynamics(experiment, results),
        *small_threshold(experiment, results),
    )
