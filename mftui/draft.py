"""An experiment being edited: one text per field, checked by the engine's own rules."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from engine.spec.defects import PresetError
from engine.spec.experiment import Experiment
from engine.spec.preset import parse, toml_value
from engine.spec.relevance import METHODS_KEY, highest, idle
from engine.spec.settings import fields

OVER = "sweep.over"
SEEDS = "seeds"
DEVICE = "device"
_TOP = (METHODS_KEY, SEEDS, OVER, DEVICE)
"""what is no field of a section"""


class Draft:
    """Texts by dotted field name, and of "methods", "seeds", "sweep.over", "device"; the swept field's is a list."""

    def __init__(self, experiment: Experiment, device: str = "auto") -> None:
        self.experiment = experiment
        """what changes are measured against"""
        self.texts: dict[str, str] = {}
        for key, field in fields().items():
            section, name = key.split(".")
            given = experiment.document.get(section, {}).get(name, field.default)
            self.texts[key] = to_text(list(experiment.values) if key == experiment.over else given)
        self.texts[METHODS_KEY] = to_text(experiment.methods)
        self.texts[SEEDS] = str(experiment.seeds)
        self.texts[OVER] = experiment.over or ""
        self.texts[DEVICE] = device
        self.untouched = dict(self.texts)

    @property
    def over(self) -> str:
        """The swept field; empty for none, or for something that is no field."""
        return self.texts[OVER] if self.texts[OVER] in fields() else ""

    @property
    def changed(self) -> bool:
        return self.texts != self.untouched

    def edit(self, key: str, text: str) -> None:
        """Give a field another text. A field that is no longer swept keeps the first of its values."""
        before = self.over
        self.texts[key] = text
        if key == OVER and before not in ("", self.over):
            self.texts[before] = self.texts[before].split(",")[0].strip("[ ]")
        if key == OVER and self.over == self.experiment.over:
            self.texts[self.over] = self.untouched[self.over]

    def check(self) -> tuple[Experiment | None, dict[str, str]]:
        """The experiment, or for each field at fault the engine's sentence; "" is for what belongs to no field."""
        if all(text == self.untouched[key] for key, text in self.texts.items() if key != DEVICE):
            return self.experiment, {}
        import tomlkit  # here: the first picture does without

        name = self.experiment.name
        try:
            return replace(parse(tomlkit.dumps(self._document()), name), name=name), {}
        except PresetError as error:
            return None, dict(self._blame(problem.removeprefix(f"{name}: ")) for problem in reversed(error.problems))

    def idle(self) -> dict[str, str]:
        """Fields that have no say, given the others → why."""
        reasons = idle(self._values())
        reasons.pop(self.over, None)
        return reasons

    def highest(self, key: str) -> int | None:
        """The most that a field may be, given the others; None for no limit."""
        return highest(key, self._values())

    def _values(self) -> dict[str, Sequence[Any]]:
        return {key: self._list(key) for key in self.texts}

    def _list(self, key: str) -> list[Any]:
        value = self._value(key)
        return value if isinstance(value, list) else [value]

    def _value(self, key: str) -> Any:
        text = self.texts[key]
        is_text = key in fields() and fields()[key].annotation is str and "," not in text
        return text.strip() if is_text else to_value(text)

    def _document(self) -> dict[str, Any]:
        document: dict[str, Any] = copy.deepcopy(dict(self.experiment.document))
        document.pop("sweep", None)
        idle = self.idle()
        for key, text in self.texts.items():
            if key in _TOP:
                continue
            section, name = key.split(".")
            refused = section == "problem" and key in idle  # the engine wants such fields left out, the others not
            if key == self.over or refused:
                document.get(section, {}).pop(name, None)
            elif text != self.untouched[key] or key == self.experiment.over:
                document.setdefault(section, {})[name] = self._value(key)
        if self.texts[METHODS_KEY] != self.untouched[METHODS_KEY]:
            document["methods"] = self._list(METHODS_KEY)
        document["seeds"] = to_value(self.texts[SEEDS])
        if self.texts[OVER]:
            document["sweep"] = {"over": self.texts[OVER], "values": self._list(self.over) if self.over else []}
        return document

    def _blame(self, problem: str) -> tuple[str, str]:
        key, _, sentence = problem.partition(": ")
        if key == "sweep.values":
            key = self.over or OVER
        return (key, sentence) if key in self.texts else ("", problem)


def to_text(value: Any) -> str:
    """As it is typed: 0.001, true, gaussian; a list with commas."""
    if isinstance(value, list | tuple):
        return ", ".join(map(to_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def to_value(text: str) -> Any:
    """Inverse of `to_text`: TOML where it is, else a list where there is a comma, else the text itself."""
    return toml_value(text, lambda bare: _listed(bare) if "," in bare else bare)


def _listed(text: str) -> list[Any]:
    return [to_value(part) for part in text.removesuffix(",").split(",")]
