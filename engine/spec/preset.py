"""Presets: one experiment a TOML file, merged with its parents and overrides, checked, expanded into sweep points.

Never imports torch. Everything that can be wrong with a preset comes out as `PresetError`, a list of problems that each
name the source, the key, what was expected and what came.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.home import home_directory
from engine.spec import problem_file, ratings
from engine.spec.applicability import nuclear_refusal, refusal
from engine.spec.settings import (
    DEFAULT_METHODS,
    METHODS,
    SECTIONS,
    Method,
    PointSettings,
    bad_combinations,
    choices,
    expected,
    fields,
)

TOP_LEVEL = ("title", "about", "extends", "methods", "seeds", "sweep", *SECTIONS)
MAX_POINTS = 10_000


class PresetError(ValueError):
    """One or more defects of a preset, each a full sentence that names source and key."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


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


def preset_directory() -> Path:
    """Where the shipped presets lie: inside the installed package, or beside `engine/` in a checkout."""
    installed = Path(str(resources.files("engine"))) / "presets"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "presets"


def shipped() -> list[str]:
    """Names of the shipped presets, sorted."""
    return sorted(path.stem for path in preset_directory().glob("*.toml"))


def own_directory() -> Path:
    """Where the user's own presets lie: `$MFTUI_HOME/presets`."""
    return home_directory() / "presets"


def own() -> list[str]:
    """Names of the user's own presets, sorted; those that a shipped one's name hides are left out."""
    return sorted({path.stem for path in own_directory().glob("*.toml")} - set(shipped()))


def load(preset: str | Path, overrides: Iterable[str] = (), name: str = "") -> Experiment:
    """Read a preset by name or path and apply `section.field=value` overrides, later ones winning.

    A name is a shipped preset's, else one of the user's own. The experiment is called `name`, or else as the file is.
    Raises `PresetError` with every defect found.
    """
    path = _find(preset)
    document, sources = _read_with_parents(path)
    original = deepcopy(document.get("sweep"))
    for override in overrides:
        _apply_override(document, sources, override)
    _resweep(document, sources, original)
    return _validate(name or path.stem, document, _Sources(str(preset), sources))


def parse(text: str, name: str) -> Experiment:
    """Validate the text of a preset that has no file (or whose file is `name`); `extends` is resolved as in `load`."""
    document = parse_toml(text, name)
    sources = _leaves(document, name)
    document, sources = _merge_parent(document, sources, name, Path.cwd(), (name,))
    return _validate(Path(name).stem, document, _Sources(name, sources))


def dump(experiment: Experiment) -> str:
    """The experiment as TOML with parents and overrides merged in."""
    import tomlkit  # here: the explorer's first picture does without

    document = {**experiment.document, "methods": list(experiment.methods)}
    if "\n" in str(document.get("about", "")):
        document["about"] = tomlkit.string(document["about"], multiline=True)
    return tomlkit.dumps(document)


# --- reading and merging ---------------------------------------------------------------------------------------------


def _find(preset: str | Path) -> Path:
    candidate = Path(preset)
    if candidate.suffix == ".toml" or len(candidate.parts) > 1:
        return candidate
    for folder in (preset_directory(), own_directory()):
        path = folder / f"{preset}.toml"
        if path.is_file():
            return path
    names = [*shipped(), *own()]
    hint = _did_you_mean(str(preset), names)
    raise PresetError([f"{preset}: no such preset or file{hint}; presets: {', '.join(names)}"])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PresetError([f"{path}: expected UTF-8 text, got bytes that are not ({error.reason})"]) from None
    except OSError as error:
        raise PresetError([f"{path}: can't be read: {error.strerror or error}"]) from None


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Raises `PresetError`, naming the source, if it is none."""
    try:
        return tomllib.loads(text)
    except ValueError as error:  # a date that is none is no TOMLDecodeError
        raise PresetError([f"{source}: not valid TOML: {error}"]) from None
    except RecursionError:
        raise PresetError([f"{source}: not valid TOML: nested too deeply"]) from None


def _read_with_parents(path: Path, seen: tuple[str, ...] = ()) -> tuple[dict[str, Any], dict[str, str]]:
    source = str(path)
    if source in seen:
        raise PresetError([f"{source}: extends: expected no cycle, got {' → '.join((*seen, source))}"])
    document = parse_toml(_read(path), source)
    _anchor_path(document, path.parent)
    return _merge_parent(document, _leaves(document, source), source, path.parent, (*seen, source))


def _merge_parent(
    document: dict[str, Any], sources: dict[str, str], source: str, folder: Path, seen: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Put `document` on top of the preset it extends: tables are merged, lists and scalars replaced."""
    parent = document.pop("extends", None)
    if parent is None:
        return document, sources
    if not isinstance(parent, str):
        raise PresetError([f"{source}: extends: expected the name of one preset, got {_show(parent)}"])
    try:
        path = folder / parent if parent.endswith(".toml") else _find(parent)
        base, base_sources = _read_with_parents(path, seen)
    except PresetError as error:
        raise PresetError([f"{source}: extends: {problem}" for problem in error.problems]) from None
    _merge(base, document)
    return base, base_sources | sources


def _anchor_path(document: dict[str, Any], folder: Path) -> None:
    """Make the paths of a problem's files absolute: in a preset they are relative to the preset."""

    def anchored(given: object) -> object:
        if isinstance(given, list):
            return [anchored(each) for each in given]
        return str((folder / given).absolute()) if isinstance(given, str) and given else given

    problem, sweep = document.get("problem"), document.get("sweep")
    for name in ("path", "test_path"):
        if isinstance(problem, dict) and name in problem:
            problem[name] = anchored(problem[name])
        if isinstance(sweep, dict) and sweep.get("over") == f"problem.{name}" and "values" in sweep:
            sweep["values"] = anchored(sweep["values"])


def _merge(base: dict[str, Any], top: Mapping[str, Any]) -> None:
    for key, value in top.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _leaves(document: Mapping[str, Any], source: str, prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in document.items():
        found[prefix + key] = source
        if isinstance(value, dict):
            found |= _leaves(value, source, f"{prefix}{key}.")
    return found


def _resweep(document: dict[str, Any], sources: dict[str, str], original: object) -> None:
    """Let an override of the swept field choose the sweep's values, and keep the per-point values that go with them.

    `--set model.width=40` on a sweep over the width runs the one point; fields given as one value per sweep point keep
    the value that belongs to width 40 in the preset.
    """
    if not isinstance(original, dict) or not isinstance(original.get("values"), list):
        return
    if not all(isinstance(document.get(name, {}), dict) for name in ("sweep", *SECTIONS)):
        return  # the check says what is wrong
    sweep, over, old = document["sweep"], original.get("over"), original["values"]
    source = sources.get(str(over), "")
    if source.startswith("--set") and isinstance(over, str) and sweep is not None and sweep.get("over") == over:
        section, name = over.split(".")
        chosen = document[section].pop(name)
        sweep = document["sweep"] = {**sweep, "values": chosen if isinstance(chosen, list) else [chosen]}
        sources["sweep.values"] = source
    new = sweep.get("values")
    if new == old or not isinstance(new, list) or any(value not in old for value in new):
        return
    for section in SECTIONS:
        for name, given in document.get(section, {}).items():
            inherited = not sources.get(f"{section}.{name}", "").startswith("--set")
            if isinstance(given, list) and len(given) == len(old) and inherited:
                document[section][name] = [given[old.index(value)] for value in new]


def _apply_override(document: dict[str, Any], sources: dict[str, str], override: str) -> None:
    source = f"--set {override}"
    key, separator, text = override.partition("=")
    key = key.strip()
    if not separator or not key:
        raise PresetError([f"{source}: expected section.field=value, got {override!r}"])
    if key == "extends":
        raise PresetError([f"{source}: extends: expected only in a preset file, got an override"])
    value = toml_value(text, _bare_value)
    *tables, leaf = key.split(".")
    table = document
    for name in tables:
        inner = table.setdefault(name, {})
        if not isinstance(inner, dict):
            raise PresetError([f"{source}: {key}: expected section.field, but {name} is no section"])
        table = inner
    table[leaf] = value
    sources[key] = source


def toml_value(text: str, otherwise: Callable[[str], Any]) -> Any:
    """What a text says in TOML, right of an equals sign; what is no TOML is left to `otherwise`, stripped."""
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except (ValueError, RecursionError):  # a date that is none is no TOMLDecodeError
        return otherwise(text.strip())


def _bare_value(text: str) -> float | str:
    """What is no TOML on a command line: ".2" is a number all the same, anything else a word."""
    try:
        return float(text)
    except ValueError:
        return text


# --- checking --------------------------------------------------------------------------------------------------------


class _Sources:
    """Which file or override each key came from."""

    def __init__(self, default: str, of_key: Mapping[str, str]) -> None:
        self._default = default
        self._of_key = of_key

    def overridden(self, key: str) -> bool:
        return self._of_key.get(key, "").startswith("--set")

    def problem(self, key: str, wanted: str, got: object, hint: str = "") -> str:
        return f"{self._of_key.get(key, self._default)}: {key}: expected {wanted}, got {_show(got)}{hint}"


def _show(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    return repr(value)


def _did_you_mean(word: str, words: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


@cache
def _field_names() -> tuple[str, ...]:
    return tuple(fields())


def _validate(name: str, document: dict[str, Any], sources: _Sources) -> Experiment:
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


def _unknown_keys(document: Mapping[str, Any], sources: _Sources) -> Iterable[str]:
    for key, value in document.items():
        if key not in TOP_LEVEL:
            sections_with = [full for full in _field_names() if full.split(".")[-1] == key]
            hint = f" (did you mean {sections_with[0]!r}?)" if sections_with else _did_you_mean(key, TOP_LEVEL)
            yield sources.problem(key, "one of " + ", ".join(TOP_LEVEL), key, hint)
        elif key in (*SECTIONS, "sweep"):
            if not isinstance(value, dict):
                yield sources.problem(key, "a section of fields", value)
                continue
            known = ["over", "values"] if key == "sweep" else list(SECTIONS[key].model_fields)
            for inner in value:
                if inner not in known:
                    elsewhere = [full for full in _field_names() if full.split(".")[-1] == inner]
                    hint = f" (did you mean {elsewhere[0]!r}?)" if elsewhere else _did_you_mean(inner, known)
                    yield sources.problem(f"{key}.{inner}", "one of " + ", ".join(known), inner, hint)


def _text(document: Mapping[str, Any], key: str, default: str, sources: _Sources, problems: list[str]) -> str:
    value = document.get(key, default)
    if not isinstance(value, str):
        problems.append(sources.problem(key, "text", value))
        return default
    return value.strip()


def _methods(document: Mapping[str, Any], sources: _Sources, problems: list[str]) -> tuple[Method, ...]:
    chosen = document.get("methods", list(DEFAULT_METHODS))
    if not isinstance(chosen, list) or not chosen or any(method not in METHODS for method in chosen):
        problems.append(sources.problem("methods", "a list of some of " + ", ".join(METHODS), chosen))
        return DEFAULT_METHODS
    return tuple(method for method in METHODS if method in chosen)


def _sweep(document: Mapping[str, Any], sources: _Sources, problems: list[str]) -> tuple[str | None, tuple[Any, ...]]:
    sweep = document.get("sweep")
    if not isinstance(sweep, dict):
        return None, (None,)
    over, values = sweep.get("over"), sweep.get("values")
    if over not in _field_names():
        hint = _did_you_mean(str(over), _field_names()) if over else ""
        problems.append(sources.problem("sweep.over", "a field such as model.width", over, hint))
    if not isinstance(values, list) or not 0 < len(values) <= MAX_POINTS:
        problems.append(sources.problem("sweep.values", "a list of one value per sweep point", values))
        return None, (None,)
    if len(set(map(repr, values))) != len(values):
        problems.append(sources.problem("sweep.values", "different values", values))
    return over, tuple(values)


def _points(
    document: Mapping[str, Any],
    over: str | None,
    values: tuple[Any, ...],
    sources: _Sources,
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
                hint = _did_you_mean(str(detail["input"]), options) if options else ""
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


def _idle(names: Iterable[str], why: str, given: Mapping[str, Any]) -> list[tuple[str, str, object]]:
    """Complaints about fields of the problem that are given though something else decides."""
    return [(f"problem.{name}", f"nothing ({why})", given[name]) for name in names if name in given]


def _raw_point(
    document: Mapping[str, Any],
    over: str | None,
    index: int,
    value: Any,
    count: int,
    sources: _Sources,
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
