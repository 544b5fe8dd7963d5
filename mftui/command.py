"""The command line that repeats what is on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.runs.directory import RunDirectory
from engine.spec import preset
from engine.spec.defects import PresetError
from engine.spec.experiment import Experiment
from mftui.draft import to_text

_WORDS = ("title", "about", "extends")
"""what has no bearing on the numbers"""


def command_line(run: RunDirectory) -> list[str]:
    """`mftui run NAME --set …`: the preset it came from and what differs from that; else the run's own spec."""
    experiment = run.experiment
    words = _by_name(experiment) or [str(run.path / "spec.toml")]
    return ["mftui", "run", *words, *([] if run.device == "auto" else ["--device", run.device])]


def _by_name(experiment: Experiment) -> list[str] | None:
    try:
        before = _flat(preset.load(experiment.name))
        changes = []
        for key, value in _flat(experiment).items():
            if key not in _WORDS and before.get(key) != value:
                changes.append(f"{key}={_listed(value) if isinstance(value, list) else to_text(value)}")
        again = preset.load(experiment.name, changes)
    except PresetError:
        return None
    same = (again.points, again.methods, again.seeds) == (experiment.points, experiment.methods, experiment.seeds)
    return [experiment.name, *(word for change in changes for word in ("--set", change))] if same else None


def _listed(values: list[Any]) -> str:
    """As TOML has it, where bare words won't do."""
    return f"[{', '.join(repr(value) if isinstance(value, str) else to_text(value) for value in values)}]"


def _flat(experiment: Experiment) -> dict[str, Any]:
    """What it sets, by dotted key; methods always, since a run's spec names them."""
    found: dict[str, Any] = {"methods": list(experiment.methods)}
    for key, value in experiment.document.items():
        if isinstance(value, Mapping):
            found.update({f"{key}.{inner}": each for inner, each in value.items()})
        else:
            found[key] = value
    return found
