"""Presets: one experiment a TOML file, found by name or path, merged with its parents and overrides; written again.

Never imports torch. Everything that can be wrong with a preset comes out as `PresetError`, a list of problems that each
name the source, the key, what was expected and what came.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from importlib import resources
from pathlib import Path
from typing import Any

from engine.home import home_directory
from engine.spec.defects import PresetError, Sources, did_you_mean, shown
from engine.spec.experiment import Experiment, validate
from engine.spec.settings import SECTIONS

_FIRST = (
    "quick-start",
    *(f"tour-{page}" for page in ("question", "ratings", "incremental", "guessing", "wide", "deep", "open")),
)


def preset_directory() -> Path:
    """Where the shipped presets lie: inside the installed package, or beside `engine/` in a checkout."""
    installed = Path(str(resources.files("engine"))) / "presets"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "presets"


def shipped() -> list[str]:
    """Names of the shipped presets: those to begin with in their order, then by name."""
    names = sorted(path.stem for path in preset_directory().glob("*.toml"))
    return [*(name for name in _FIRST if name in names), *(name for name in names if name not in _FIRST)]


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
    return validate(name or path.stem, document, Sources(str(preset), sources))


def parse(text: str, name: str) -> Experiment:
    """Validate the text of a preset that has no file (or whose file is `name`); `extends` is resolved as in `load`."""
    document = parse_toml(text, name)
    sources = _leaves(document, name)
    document, sources = _merge_parent(document, sources, name, Path.cwd(), (name,))
    return validate(Path(name).stem, document, Sources(name, sources))


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
    if (preset_directory() / "figures" / f"{preset}.toml").is_file():
        raise PresetError([f"{preset}: is a figure, not a preset; `mftui figure {preset}` draws it from its runs"])
    names = [*shipped(), *own()]
    hint = did_you_mean(str(preset), names)
    raise PresetError([f"{preset}: no such preset or file{hint}; `mftui presets` lists the presets"])


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
        raise PresetError([f"{source}: extends: expected the name of one preset, got {shown(parent)}"])
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
