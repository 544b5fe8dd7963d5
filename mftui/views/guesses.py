"""Guess & Check: how it goes, and the generalization loss under the prior and under G&C, with GD marked."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from rich.text import Text
from textual.containers import Container
from textual.widget import Widget
from textual.widgets import Static

from engine.results import binomial_interval
from engine.spec.names import SAMPLERS
from engine.spec.settings import DEFAULT_METHODS, METHOD_LABELS, METHODS, Method
from mftui.canvas import Axis, Label, Plot, Rule, Steps, from_zero, sticky_limits
from mftui.formatting import NOTHING, format_acceptance, format_count, format_loss
from mftui.live import Guesses
from mftui.views.pane import Pane
from mftui.views.roles import color
from mftui.views.trial import Look, TrialView

NARROW, LOW = 75, 16
"""cells; where a pane is narrower, and higher, the numbers are above the histogram rather than beside it"""
MOST_BINS = 40
MOST_DECADES = 6
"""shown below the largest loss: the far tail and GD's 1e-20 would squeeze everything else"""


class GuessesPane(Pane):
    """Numbers on the left, histogram on the right."""

    DEFAULT_CSS = """
    GuessesPane #guess-numbers { width: 40; height: 100%; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    GuessesPane #guess-halves { layout: horizontal; height: 1fr; }
    GuessesPane.-upright #guess-halves { layout: vertical; }
    GuessesPane.-upright #guess-numbers { width: 1fr; height: auto; max-height: 50%; }
    """

    name_of_pane = "Guess & Check · generalization loss of the draws"
    can_log_y = True

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.numbers = Static(id="guess-numbers")
        self._lines = 0

    def content(self) -> list[Widget]:
        return [Container(self.numbers, self.canvas, id="guess-halves")]

    def on_resize(self) -> None:
        self.set_class(self.size.width < NARROW and self.size.height > LOW, "-upright")

    def show(self, trial: TrialView, look: Look) -> None:
        self.start_anew((trial.key, self.log_y))
        scale = f"y: {'log' if self.log_y else 'linear'}"
        if look.cursor is None:
            self.subtitle(scale)
        else:
            share = " · the same share of the draws as of the steps" if len(trial.curve) else ""
            self.subtitle(f"{scale} · {trial.moment(look)}{share}")
        then = trial.at(look)
        lines = numbers(then, self.app.current_theme.dark)
        self.numbers.update(Text("\n").join(lines), layout=len(lines) != self._lines)
        self._lines = len(lines)
        self.say(_remark(then))
        self.canvas.show(self.plot(trial, look))

    def plot(self, trial: TrialView, look: Look) -> Plot:
        """Share of the draws per bin, the same bins for both; means upright, at the edge if off the scale."""
        trial = trial.at(look)
        methods: tuple[Method, ...] = ("prior", "gnc")
        samples = {method: _losses(trial, method) for method in methods}
        everything = np.concatenate([losses for losses, _ in samples.values()])
        smallest, largest = np.quantile(everything, (0.002, 0.998)).tolist() if len(everything) else (0.01, 1.0)
        before = self._limits.get("losses")
        low, high = sticky_limits(before, max(smallest, largest / 10**MOST_DECADES), largest, "log")
        self._limits["losses"] = low, high
        decades = round(math.log10(high / low))
        per_decade = max(count for count in (2, 5, 10, 20) if count * decades <= MOST_BINS or count == 2)
        edges = np.geomspace(low, high, decades * per_decade + 1)
        steps, tallest = [], 0.0
        for method, (losses, weights) in samples.items():
            if len(losses):
                inside = losses.clip(low * (1 + 1e-12), high * (1 - 1e-12))
                shares = 100 * np.histogram(inside, edges, weights=weights)[0]
                tallest = max(tallest, float(shares.max()))
                steps.append(Steps(edges, shares, name=METHOD_LABELS[method], style=method))
        if self.log_y:
            shares_axis = replace(self.y_axis(*(np.asarray(each.heights) for each in steps), log=True), unit="percent")
        else:
            self._limits["share"] = top = from_zero(self._limits.get("share"), tallest or 10.0, 100.0)
            shares_axis = Axis(*top, unit="percent")
        rules, labels = [], []
        for row, method in enumerate(("gd", *methods)):
            mean = _generalization_loss(trial, method)
            if mean is None or mean <= 0:
                continue
            at = min(max(mean, low), high)
            rules.append(Rule(at=at, upright=True, style=method))
            arrow = "" if at == mean else "◂ " if mean < low else "▸ "
            name = "GD" if method == "gd" else f"{METHOD_LABELS[method]} mean"
            height = shares_axis.value(0.97 - 0.12 * row)
            labels.append(Label(f" {arrow}{name}", at, height, method, ending=at > high / 10))
        return Plot(Axis(low, high, "log"), shares_axis, tuple(steps), tuple(rules), tuple(labels), legend="none")


def numbers(trial: TrialView, dark: bool) -> list[Text]:
    """Guesses so far and a second, best training loss, hits, acceptance, and every method's generalization loss."""
    settings, result = trial.settings.gnc, trial.results.get("gnc")
    gnc, progress = trial.guesses.get("gnc"), trial.progress.get("gnc")
    running = progress is not None and progress.fraction < 1
    far = f"  ({progress.fraction:.0%})" if progress and running else ""
    best = gnc.best_training_loss if gnc and math.isfinite(gnc.best_training_loss) else None
    rows: list[tuple[str | Text, str]] = [
        ("guesses", f"{format_count(gnc.draws if gnc else 0)}{far}"),
        ("a second", format_count(progress.rate) if progress and running and progress.rate else NOTHING),
        ("best L_train", f"{format_loss(best)}  (ε {settings.eps_train:g})"),
        ("hits", f"{gnc.hits:,}" if gnc else NOTHING),
        ("log10 P(hit)", _acceptance(trial)),
        ("sampler", result.guesses.sampler if result and result.guesses else settings.sampler),
    ]
    methods = [method for method in METHODS if method in DEFAULT_METHODS or method in trial.results]
    for method in methods:
        note = f"train {format_loss(_training_loss(trial))}" if method == "gd" else "mean"
        name = Text.assemble("L_gen ", (METHOD_LABELS[method], color(method, dark)))
        rows.append((name, f"{format_loss(_generalization_loss(trial, method))}  ({note})"))
    names = [name if isinstance(name, Text) else Text(name) for name, _ in rows]
    room = max(name.cell_len for name in names) + 1
    for name in names:
        name.pad_right(room - name.cell_len)
    return [name.append(value) for name, (_, value) in zip(names, rows, strict=True)]


def _acceptance(trial: TrialView) -> str:
    result, gnc = trial.results.get("gnc"), trial.guesses.get("gnc")
    if result and result.guesses:
        return format_acceptance(result.guesses.log10_acceptance)
    if gnc and gnc.draws and SAMPLERS[trial.settings.gnc.sampler].counts:
        return format_acceptance(binomial_interval(gnc.hits, gnc.draws))
    return NOTHING


def _generalization_loss(trial: TrialView, method: Method) -> float | None:
    """The result once there is one; until then GD's present loss, or the mean over the draws kept so far."""
    if result := trial.results.get(method):
        return result.generalization_loss
    if method == "gd":
        value = float(trial.curve[-1, 2]) if len(trial.curve) else math.nan
        return value if math.isfinite(value) else None
    losses, weights = _losses(trial, method)
    return float(np.average(losses, weights=weights)) if len(losses) else None


def _training_loss(trial: TrialView) -> float | None:
    """Of gradient descent, now."""
    value = float(trial.curve[-1, 1]) if len(trial.curve) else math.nan
    return value if math.isfinite(value) else None


def _losses(trial: TrialView, method: Method) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Losses that a log axis can show, and their weights, which sum to 1."""
    guesses = trial.guesses.get(method) or Guesses()
    losses = np.array(guesses.generalization_loss, dtype=np.float64)
    log_weights = np.array(guesses.log_weight, dtype=np.float64)
    fine = np.isfinite(losses) & (losses > 0) & (log_weights > -np.inf)
    weights = np.exp(log_weights[fine] - log_weights[fine].max(initial=-np.inf))
    return losses[fine], weights / weights.sum()


def _remark(trial: TrialView) -> str:
    result = trial.results.get("gnc")
    if result is not None and result.outcome != "finished":
        return result.message
    return ""
