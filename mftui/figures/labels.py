"""What runs, swept fields and data sets are called on charts and in their captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mftui.figures.data import RunData
from mftui.figures.definition import PanelRun
from mftui.views.sweep_view import value_text

_SYMBOLS = {
    "model.width": "width k",
    "model.depth": "depth L",
    "gnc.eps_train": "ε_train",
    "problem.measurements": "measurements",
    "gd.init_scale": "init scale",
}


def field_name(name: str | None) -> str:
    """A swept field as an axis names it."""
    if not name:
        return ""
    return _SYMBOLS.get(name, name.split(".")[-1].replace("_", " ") if "." in name else name)


def point_name(over: str | None, value: Any) -> str:
    """One swept value as the legend names it: "width 40"."""
    symbol = _SYMBOLS.get(over or "", "")
    named = symbol.rsplit(" ", 1)[0] if symbol else (over or "").split(".")[-1].replace("_", " ")
    return f"{named} {value_text(value)}"


def name_of_run(run: PanelRun) -> str:
    """By its label, its place on the second axis, or its preset."""
    return run.label or ("" if run.at is None else str(run.at)) or run.preset.rsplit("/", 1)[-1].removesuffix(".toml")


def headed(title: str, run: RunData, point: int) -> str:
    """The panel's title, and the sweep point."""
    where = "" if run.experiment.over is None else run.experiment.label(point)
    return ": ".join(filter(None, (title, where))) or run.experiment.title


def data_sets(runs: Sequence[RunData]) -> str:
    """How many a median or mean is over."""
    least, most = min(run.experiment.seeds for run in runs), max(run.experiment.seeds for run in runs)
    return f"{least if least == most else f'{least} to {most}'} data set{'s' * (most > 1)}"
