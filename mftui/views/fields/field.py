"""What the form knows of a field: its name, its meaning, what it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, TypeGuard, get_args

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from engine.spec.relevance import METHODS_KEY
from engine.spec.settings import DEFAULT_METHODS, METHODS, SECTIONS, choices, expected, fields, meaning
from mftui.draft import DEVICE, OVER, SEEDS, Draft, to_text, to_value
from mftui.views.fields.stepping import Scale

Kind = Literal["choice", "number", "list", "text"]

_LABELS = {"problem.kind": "measured by", "gnc.eps_train": "ε_train", SEEDS: "data sets", OVER: "swept field"}
ROUND = Scale()
"""1, 2, 5, 10 …"""
_SCALES = {
    "model.width": ROUND,
    "model.negative_slope": Scale(step=0.1),
    "problem.test_fraction": Scale(step=0.05),
    "gd.momentum": Scale(values=(0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)),
    "gd.predict_from": ROUND,
}
"""where the rule doesn't fit: decades for positive numbers and for counts whose default is 100 or more, else ±1"""
_DECADES_FROM = 100
_LISTS = {"list": "←→ steps all values, backspace edits them", "text": "enter edits the list"}
_MOST_SEEDS = 10_000

FIRST: dict[str, tuple[str, ...]] = {
    "model": ("model.activation", "model.width", "model.depth"),
    "problem": ("problem.rank", "problem.rows", "problem.columns", "problem.measurements", "problem.kind"),
    "gradient descent": ("gd.init_scale", "gd.learning_rate", "gd.optimizer"),
    "guess & check": ("gnc.eps_train", "gnc.prior", "gnc.normalize", "gnc.sampler"),
    "run": ("problem.seed", DEVICE),
}
"""heading → the fields that are always shown"""
_SECTION_OF = {"model": "model", "problem": "problem", "gradient descent": "gd", "guess & check": "gnc"}
CALLED_FOR = ("model.negative_slope", "gd.momentum", "gd.batch_size", "problem.path", "problem.test_path")
"""shown as soon as another field's value gives them a say"""


@dataclass(frozen=True)
class Field:
    """One row of the form."""

    key: str
    label: str
    kind: Kind
    meaning: str
    takes: str
    """its range, in the engine's words"""
    default: str
    options: tuple[str, ...] = ()
    scale: Scale = ROUND
    words: tuple[str, ...] = ()
    """what a number may be instead"""

    def stepped(self, text: str, by: int, highest: int | None = None) -> str:
        """The text `by` values on; as it is where there are none."""
        if self.kind == "choice":
            place = self.options.index(text) + by if text in self.options else 0
            return self.options[place % len(self.options)]
        if self.kind == "text":
            return text
        scale = self.scale if highest is None else replace(self.scale, high=min(self.scale.high, highest))
        value = to_value(text)
        if self.kind == "list":
            return _all_stepped(value if isinstance(value, list) else [value], scale, by) or text
        return to_text(scale.next(value, by)) if _is_number(value) else self.default


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _all_stepped(values: list[Any], scale: Scale, by: int) -> str:
    """A list with all its numbers `by` steps on; empty if one has nowhere to go, or two would be the same."""
    moved = [scale.along(value, by) if _is_number(value) else value for value in values]
    return "" if None in moved or len(set(moved)) < len(values) else to_text(moved)


def all_sections() -> dict[str, tuple[str, ...]]:
    """Heading → every field under it, the always shown ones first."""
    listed = dict(FIRST)
    first = {key for keys in FIRST.values() for key in keys}
    for heading, section in _SECTION_OF.items():
        rest = (f"{section}.{name}" for name in SECTIONS[section].model_fields)
        listed[heading] = (*FIRST[heading], *(key for key in rest if key not in first))
    listed["run"] = (*FIRST["run"], METHODS_KEY, SEEDS, OVER)
    return listed


def describe(key: str, draft: Draft) -> Field:
    """A field as it is now: one that is swept takes a list."""
    match key:
        case "device":
            return Field(
                key,
                "device",
                "choice",
                "where to compute, from the next start on; auto: a GPU if there is one",
                "auto, cpu, cuda or cuda:0, cuda:1 …",
                "auto",
                _with(devices(), draft.texts[DEVICE]),
            )
        case "methods":
            told = "what is run: gradient descent, the prior alone, Guess & Check, the minimum nuclear norm"
            takes, options = f"a list of some of {', '.join(METHODS)}", _with(_method_sets(), draft.texts[key])
            return Field(key, key, "choice", told, takes, to_text(DEFAULT_METHODS), options)
        case "seeds":
            told = "trials per sweep point, each with a data set of its own"
            scale = Scale(step=1, whole=True, low=1, high=_MOST_SEEDS)
            return Field(key, _LABELS[key], "number", told, "an integer ≥ 1 and ≤ 10000", "1", scale=scale)
        case "sweep.over":
            told = "the field whose list of values makes the sweep; empty for a single point"
            return Field(key, _LABELS[key], "choice", told, "a field such as model.width", "", _sweepable(draft))
    return _of_section(key, fields()[key], draft)


def _of_section(key: str, field: FieldInfo, draft: Draft) -> Field:
    text, name = draft.texts[key], key.split(".")[1]
    options = choices(field) or (("true", "false") if field.annotation is bool else ())
    words = tuple(word for each in get_args(field.annotation) for word in get_args(each))
    numeric = field.annotation in (int, float) or bool(words and not options)
    swept = key == draft.over
    kind: Kind = "list" if (swept or "," in text) and numeric else "number" if numeric else "text"
    if options and not swept and text in options:
        kind = "choice"
    told = meaning(key, *text.split(", "))
    return Field(
        key,
        _LABELS.get(key, name.replace("_", " ")),
        kind,
        f"swept, {_LISTS[kind]}: {told}" if swept else told,
        expected(field),
        to_text(field.default),
        options,
        _scale(key, field),
        () if options else words,
    )


def _scale(key: str, field: FieldInfo) -> Scale:
    whole = field.annotation is int
    low, open_low = (-math.inf, False) if whole else (0.0, True)
    high, open_high = math.inf, False
    for bound in field.metadata:
        match bound:
            case Gt(gt=float() | int() as low):
                open_low = True
            case Ge(ge=float() | int() as low):
                open_low = False
            case Lt(lt=float() | int() as high):
                open_high = True
            case Le(le=float() | int() as high):
                open_high = False
    equal = whole and isinstance(field.default, int) and field.default < _DECADES_FROM
    base = _SCALES.get(key, Scale(step=1) if equal else ROUND)
    return replace(base, whole=whole, low=low, high=high, open_low=open_low, open_high=open_high)


def _sweepable(draft: Draft) -> tuple[str, ...]:
    """None first, then the fields that are swept most."""
    listed = (key for keys in all_sections().values() for key in keys if key in draft.texts and key in fields())
    return _with(("", *listed), draft.texts[OVER])


def _method_sets() -> tuple[str, ...]:
    """All choices: the default first, then what leaves some of it out, then what has more."""
    found = [chosen for size in range(len(METHODS), 0, -1) for chosen in combinations(METHODS, size)]
    return tuple(map(to_text, sorted(found, key=lambda chosen: not set(chosen) <= set(DEFAULT_METHODS))))


def _with(options: tuple[str, ...], text: str) -> tuple[str, ...]:
    return options if text in options else (*options, text)


def devices() -> tuple[str, ...]:
    """What may be asked for; single GPUs where the system shows more than one."""
    cards = sorted(int(path.name[6:]) for path in Path("/dev").glob("nvidia[0-9]*") if path.name[6:].isdecimal())
    return ("auto", "cpu", "cuda", *(f"cuda:{index}" for index in range(len(cards)) if len(cards) > 1))
