"""An experiment being edited: one text per field, checked by the engine's own rules."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import tomlkit

from engine.spec.preset import Experiment, PresetError, parse
from engine.spec.settings import SECTIONS, fields

OVER = "sweep.over"
SEEDS = "seeds"


class Draft:
    """Texts by dotted field name, and "seeds" and "sweep.over". The swept field's text is the list of its values."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self.texts: dict[str, str] = {}
        for key, field in fields().items():
            section, name = key.split(".")
            given = experiment.document.get(section, {}).get(name, field.default)
            self.texts[key] = to_text(list(experiment.values) if key == experiment.over else given)
        self.texts[SEEDS] = str(experiment.seeds)
        self.texts[OVER] = experiment.over or ""
        self._untouched = dict(self.texts)

    @property
    def over(self) -> str:
        """The swept field; empty for none, or for something that is no field."""
        return self.texts[OVER] if self.texts[OVER] in fields() else ""

    @property
    def changed(self) -> bool:
        return self.texts != self._untouched

    def check(self) -> tuple[Experiment | None, dict[str, str]]:
        """The experiment, or for each field at fault the engine's sentence; "" is for what belongs to no field."""
        if not self.changed:
            return self._experiment, {}
        name = self._experiment.name
        try:
            return replace(parse(tomlkit.dumps(self._document()), name), name=name), {}
        except PresetError as error:
            return None, dict(self._blame(problem.removeprefix(f"{name}: ")) for problem in reversed(error.problems))

    def _document(self) -> dict[str, Any]:
        document: dict[str, Any] = copy.deepcopy(dict(self._experiment.document))
        document.pop("sweep", None)
        for key, text in self.texts.items():
            if key in (SEEDS, OVER):
                continue
            section, name = key.split(".")
            if key == self.over:
                document.get(section, {}).pop(name, None)
            elif text != self._untouched[key] or key == self._experiment.over:
                document.setdefault(section, {})[name] = to_value(text)
        document["seeds"] = to_value(self.texts[SEEDS])
        if self.texts[OVER]:
            values = to_value(self.texts[self.over]) if self.over else []
            document["sweep"] = {"over": self.texts[OVER], "values": values if isinstance(values, list) else [values]}
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
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        pass
    if "," in text:
        return [to_value(part) for part in text.strip().removesuffix(",").split(",")]
    return text.strip()


def sections() -> Mapping[str, list[str]]:
    """Heading → keys, in the order of the form: the model first, it is what one plays with."""
    first = ("model", "problem", "gd", "gnc")
    listed = {name: [key for key in fields() if key.startswith(f"{name}.")] for name in first}
    listed.update({name: [key for key in fields() if key.startswith(f"{name}.")] for name in SECTIONS})
    return {**listed, "sweep": [OVER, SEEDS]}
