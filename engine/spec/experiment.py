"""An experiment: what to run, at which sweep points, over how many data sets; made from a preset's document, checked.

Never imports torch. What is wrong with a document comes out as one `PresetError` with every defect found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.spec import problem_file, ratings
from engine.spec.applicability import nuclear_refusal, refusal
from engine.spec.defects import PresetError, Sources, did_you_mean
from engine.spec.settings import (
    DEFAULT_METHODS,
    METHODS,
    SECTIONS,
    Method,
    PointSettings,
    ProblemSettings,
    bad_combinations,
    choices,
    expected,
    fields,
)

TOP_LEVEL = ("title", "about", "extends", "methods", "seeds", "sweep", *SECTIONS)
MAX_POINTS = 10_000


@dataclass(frozen=True)
class Experiment:
    """A validated preset: what to run, at which sweep points, over how many data sets."""

    name: str
    title: str
    about: str
    methods: tuple[Method, ...]
    seeds: int
    over: str | None
    """dotted name of the swept field; None for a single point"""
    values: tuple[Any, ...]
    """the swept values, one a point; (None,) for a single point"""
    points: tuple[PointSettings, ...]
    document: Mapping[str, Any] = field(compare=False)
    """the preset with parents and overrides merged: what `dump` writes and reading it back reproduces"""

    def label(self, point: int) -> str:
        """How a sweep point is called in tables and plots: "width 40"."""
        if self.over is None:
            return self.name
        return f"{self.over.split('.')[-1].replace('_', ' ')} {self.values[point]}"

    def remarks(self) -> tuple[str, ...]:
        """What may not be meant though nothing is wrong with it. Raises `RatingsError` if a file is another by now."""
        problems = [point.problem for point in self.points if point.problem.kind == "ratings"]
        return tuple(dict.fromkeys(filter(None, map(_remark, problems))))


def validate(name: str, document: Mapping[str, Any], sources: Sources) -> Experiment:
    """The experiment that a merged document describes; `sources` say where each key stands. Raises `PresetError`."""
    problems = list(_unknown_keys(document, sources))
    title = _text(document, "title", name, sources, problems)
    about = _text(document, "about", "", sources, problems)
    methods = _methods(document, sources, problems)
    seeds = document.get("seeds", 1)
    if isinstance(seeds, bool) or not isinstance(seeds, int) or not 1 <= seeds <= 10_000:
        problems.append(sources.problem("seeds", "an integer ≥ 1 and ≤ 10000", seeds))
    over, values = _sweep(document, sources, problems)
    points = _points(document, over, values, sources, problems)
    if "nuclear" in methods:
        refused = filter(None, map(nuclear_refusal, points))
        problems += [sources.problem("methods", f"no nuclear at this size ({why})", list(methods)) for why in refused]
    if problems:
        raise PresetError(list(dict.fromkeys(problems)))
    return Experiment(
        name=name,
        title=title,
        about=about,
        methods=methods,
        seeds=seeds,
        over=over,
        values=values,
        points=points,
        document=document,
    )


@cache
def _field_names() -> tuple[str, ...]:
    return tuple(fields())


def _unknown_keys(document: Mapping[str, Any], sources: Sources) -> Iterable[str]:
    for key, value in document.items():
        if key not in TOP_LEVEL:
            sections_with = [full for full in _field_names() if full.split(".")[-1] == key]
            hint = f" (did you mean {sections_with[0]!r}?)" if sections_with else did_you_mean(key, TOP_LEVEL)
            yield sources.problem(key, "one of " + ", ".join(TOP_LEVEL), key, hint)
        elif key in (*SECTIONS, "sweep"):
            if not isinstance(value, dict):
                yield sources.problem(key, "a section of fields", value)
                continue
            known = ["over", "values"] if key == "sweep" else list(SECTIONS[key].model_fields)
            for inner in value:
                if inner not in known:
                    elsewhere = [full for full in _field_names() if full.split(".")[-1] == inner]
                    hint = f" (did you mean {elsewhere[0]!r}?)" if elsewhere else did_you_mean(inner, known)
                    yield sources.problem(f"{key}.{inner}", "one of " + ", ".join(known), inner, hint)


def _text(document: Mapping[str, Any], key: str, default: str, sources: Sources, problems: list[str]) -> str:
    value = document.get(key, default)
    if not isinstance(value, str):
        problems.append(sources.problem(key, "text", value))
        return default
    return value.strip()


def _methods(document: Mapping[str, Any], sources: Sources, problems: list[str]) -> tuple[Method, ...]:
    chosen = document.get("methods", list(DEFAULT_METHODS))
    if not isinstance(chosen, list) or not chosen or any(method not in METHODS for method in chosen):
        problems.append(sources.problem("methods", "a list of some of " + ", ".join(METHODS), chosen))
        return DEFAULT_METHODS
    return tuple(method for method in METHODS if method in chosen)


def _sweep(document: Mapping[str, Any], sources: Sources, problems: list[str]) -> tuple[str | None, tuple[Any, ...]]:
    sweep = document.get("sweep")
    if not isinstance(sweep, dict):
        return None, (None,)
    over, values = sweep.get("over"), sweep.get("values")
    if over not in _field_names():
        hint = did_you_mean(str(over), _field_names()) if over else ""
        problems.append(sources.problem("sweep.over", "a field such as model.width", over, hint))
    if not isinstance(values, list) or not 0 < len(values) <= MAX_POINTS:
        problems.append(sources.problem("sweep.values", "a list of one value per sweep point, such as [5, 10]", values))
        return None, (None,)
    if len(set(map(repr, values))) != len(values):
        problems.append(sources.problem("sweep.values", "different values", values))
    return over, tuple(values)


def _points(
    document: Mapping[str, Any],
    over: str | None,
    values: tuple[Any, ...],
    sources: Sources,
    problems: list[str],
) -> tuple[PointSettings, ...]:
    points = []
    for index, value in enumerate(values):
        raw, source_of = _raw_point(document, over, index, value, len(values), sources, problems)
        try:
            point = PointSettings.model_validate(raw)
        except ValidationError as error:
            for detail in error.errors():
                key = ".".join(map(str, detail["loc"]))
                accepted = fields()[key]
                options = choices(accepted)
                hint = did_you_mean(str(detail["input"]), options) if options else ""
                problems.append(sources.problem(source_of.get(key, key), expected(accepted), detail["input"], hint))
            continue
        complaints = list(bad_combinations(point))
        if not complaints and point.problem.kind in ("file", "ratings"):
            shaped = _shaped_by_file if point.problem.kind == "file" else _shaped_by_ratings
            point, complaints = shaped(point, raw["problem"])
        if (why_not := refusal(point.gnc.sampler, point)) is not None:
            complaints.append(("gnc.sampler", f"a sampler that can serve this ({why_not})", point.gnc.sampler))
        problems.extend(sources.problem(source_of.get(key, key), wanted, got) for key, wanted, got in complaints)
        points.append(point)
    return tuple(points)


def _shaped_by_file(
    point: PointSettings, given: Mapping[str, Any]
) -> tuple[PointSettings, list[tuple[str, str, object]]]:
    """The point with rows, columns and measurements as in its problem file, and what is wrong with either."""
    path = Path(point.problem.path).absolute()
    try:
        count, rows, columns = problem_file.read(path).measurements.shape
    except problem_file.ProblemFileError as error:
        return point, [("problem.path", f"a problem file ({error})", str(path))]
    shape = {"path": str(path), "rows": rows, "columns": columns, "measurements": count}
    complaints = [
        (f"problem.{name}", f"{shape[name]!r} as in the problem file, or nothing", given[name])
        for name in ("rows", "columns", "measurements")
        if name in given and given[name] != shape[name]
    ]
    complaints += _idle(("rank", "norm"), "the problem file has the data", given)
    problem = point.problem.model_copy(update=shape)
    return point.model_copy(update={"problem": problem}), complaints


def _shaped_by_ratings(
    point: PointSettings, given: Mapping[str, Any]
) -> tuple[PointSettings, list[tuple[str, str, object]]]:
    """The point with rows, columns and measurements as in its ratings, and what is wrong with either."""
    problem = point.problem
    paths = {
        name: str(Path(path).absolute()) if path else ""
        for name, path in (("path", problem.path), ("test_path", problem.test_path))
    }
    rows = problem.rows if "rows" in given else None
    columns = problem.columns if "columns" in given else None
    try:
        data = ratings.load(paths["path"], paths["test_path"], rows, columns, problem.first_index)
    except ratings.RatingsError as error:
        return point, [(f"problem.{error.key}", f"a file of ratings ({error})", paths[error.key])]
    rows, columns = data.shape
    count = data.training_count(problem.test_fraction)
    complaints = _idle(("rank", "norm", "measurements"), "the ratings are the data", given)
    if problem.test_path:
        complaints += _idle(("test_fraction",), "problem.test_path says what is held out", given)
    if count < 1:
        complaints.append(
            (
                "problem.test_fraction",
                f"a number that leaves some of the {len(data.ratings)} ratings to train on",
                problem.test_fraction,
            )
        )
    problem = problem.model_copy(update={**paths, "rows": rows, "columns": columns, "measurements": count})
    return point.model_copy(update={"problem": problem}), complaints


def _remark(problem: ProblemSettings) -> str | None:
    first = problem.first_index
    data = ratings.load(problem.path, problem.test_path, problem.rows, problem.columns, first)
    if not (unused := data.first_used()):
        return None
    which = f"row {first} and column {first} have" if unused == 1 else f"rows and columns below {first + unused} have"
    return (
        f"problem.first_index: {which} no ratings; if the file counts from {first + unused}, "
        f"set problem.first_index = {first + unused}"
    )


def _idle(names: Iterable[str], why: str, given: Mapping[str, Any]) -> list[tuple[str, str, object]]:
    """Complaints about fields of the problem that are given though something else decides."""
    return [(f"problem.{name}", f"nothing ({why})", given[name]) for name in names if name in given]


def _raw_point(
    document: Mapping[str, Any],
    over: str | None,
    index: int,
    value: Any,
    count: int,
    sources: Sources,
    problems: list[str],
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """One sweep point's fields, and for the swept one the key to blame (`sweep.values`)."""
    raw: dict[str, dict[str, Any]] = {}
    for section, settings in SECTIONS.items():
        raw[section] = {}
        given_fields = document.get(section)
        for name, given in given_fields.items() if isinstance(given_fields, dict) else ():
            if name not in settings.model_fields:
                continue
            if isinstance(given, list) and over is not None and len(given) == count:
                raw[section][name] = given[index]
            elif isinstance(given, list):
                wanted = f"one value per sweep point ({count})" if over else "a single value (there is no [sweep])"
                problems.append(sources.problem(f"{section}.{name}", wanted, given))
            else:
                raw[section][name] = given
    if over not in _field_names():
        return raw, {}
    section, name = over.split(".")
    raw[section][name] = value
    return raw, {over: over if sources.overridden(over) else "sweep.values"}
