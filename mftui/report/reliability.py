"""How far a run's numbers can be trusted: what went wrong, and how well the samples did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.results import TrialResult, summarize
from mftui.export.contents import Contents
from mftui.formatting import remarks

MOST_REMARKS = 12
"""more are counted; the table of data sets has them all"""
FEW_DATA_SETS = 5
"""with fewer, quartiles are those of the data sets drawn and little else"""
TRUSTED_PARETO_K = 0.7
"""importance weights whose tail index is above this have no mean to trust [Vehtari et al. 2024]"""


@dataclass(frozen=True)
class Remark:
    """A sentence on the run's numbers, and whether it is a warning."""

    text: str
    warning: bool = True


def judge(contents: Contents) -> list[Remark]:
    """Warnings first, then how well Guess & Check's samples did."""
    warnings = list(_warnings(contents))
    if warnings:
        found = [Remark(text) for text in dict.fromkeys(warnings)]
    else:
        found = [Remark("nothing went wrong: every trial came to its end, and none was found unreliable", False)]
    return [*found, *(Remark(text, False) for text in (*_samples(contents), *_few(contents)))]


def _warnings(contents: Contents) -> Iterator[str]:
    experiment, trials = contents.experiment, contents.trials
    yield from contents.gaps()
    yield from contents.departures()
    for event in contents.events:
        if event.get("event") == "remark":
            yield str(event.get("message", ""))
    told = [remark.plain for remark in remarks(summarize(experiment, trials))]
    yield from told[:MOST_REMARKS]
    if len(told) > MOST_REMARKS:
        yield f"{len(told) - MOST_REMARKS} more of these are in the table of data sets"
    yield from _unfit(contents)


def _few(contents: Contents) -> Iterator[str]:
    if (seeds := contents.experiment.seeds) == 1:
        yield "one data set: nothing here tells how others would come out"
    elif seeds < FEW_DATA_SETS:
        yield f"{seeds} data sets: medians and quartiles over so few are rough"


def _unfit(contents: Contents) -> Iterator[str]:
    """Gradient descent that did not train is no evidence of how it generalizes."""
    experiment, places = contents.experiment, list[str]()
    if "gnc" not in experiment.methods:
        return
    for index, point in enumerate(experiment.points):
        losses = [trial.training_loss for trial in contents.trials if (trial.point, trial.method) == (index, "gd")]
        above = [loss for loss in losses if loss is not None and loss > point.gnc.eps_train]
        if above:
            where = f"{experiment.label(index)}: " if experiment.over else ""
            places.append(f"{where}{len(above)} of {len(losses)} (ε_train = {point.gnc.eps_train:g})")
    if places:
        yield f"gradient descent ended above ε_train and so did not fit the data at {'; '.join(places)}"


def _samples(contents: Contents) -> Iterator[str]:
    """The smallest effective sample and the heaviest weights."""
    guesses = [
        (trial, trial.guesses)
        for trial in contents.trials
        if trial.method == "gnc" and trial.guesses and trial.guesses.hits
    ]
    if not guesses:
        return
    least, record = min(guesses, key=lambda pair: pair[1].effective_sample_size)
    size = f"{record.effective_sample_size:,.0f}"
    yield f"G&C: effective sample size at least {size} (at {_where(contents, least)})"
    tails = [(trial, record.pareto_k) for trial, record in guesses if record.pareto_k is not None]
    if tails:
        heaviest, k = max(tails, key=lambda pair: pair[1])
        judged = "the weights can be trusted" if k <= TRUSTED_PARETO_K else "not all weights can be trusted"
        yield f"G&C: Pareto k̂ of the weights at most {k:.2f} (at {_where(contents, heaviest)}; up to 0.7: {judged})"
    counts = _counts([record.sampler for _, record in guesses])
    yield f"G&C: sampled by {counts}"


def _where(contents: Contents, trial: TrialResult) -> str:
    where = f"{contents.experiment.label(trial.point)}, " if contents.experiment.over else ""
    return f"{where}seed {trial.seed}"


def _counts(words: Sequence[str]) -> str:
    """rejection (3 trials), splitting (1 trial)."""
    return ", ".join(
        f"{word} ({words.count(word)} trial{'s' if words.count(word) > 1 else ''})" for word in dict.fromkeys(words)
    )
