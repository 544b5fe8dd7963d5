"""The formats a run can be exported in: for each, the names of files and what is in them. Nothing is written here."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from engine.runs.catalog import RunError
from engine.runs.directory import with_own_files
from engine.runs.files import to_json
from engine.spec.experiment import Experiment
from engine.spec.preset import dump
from engine.spec.relevance import METHODS_KEY, idle
from engine.spec.settings import PointSettings, fields
from mftui.export.contents import SAME_NUMBERS, Contents
from mftui.export.tables import RESULTS, Table, names, table
from mftui.plain import printable

Format = Literal["toml", "csv", "json", "npz", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
BINARY: tuple[Format, ...] = ("npz", "parquet")
ONE_TABLE: tuple[Format, ...] = ("csv", "parquet")
"""formats whose files hold one table each"""

Files = Mapping[str, bytes]
"""contents by name"""


def preset_files(experiment: Experiment, name: str, heading: str = "") -> Files:
    """A preset with all it extends merged in, and beside it copies of the data files that it needs.

    The copies' names begin as `name` does. Raises `RunError` if a data file can't be read.
    """
    alone, sources = with_own_files(experiment, f"{printable(Path(name).stem)}-")
    try:
        copies = {copy: Path(source).read_bytes() for copy, source in sources.items()}
    except OSError as error:
        raise RunError(f"{printable(str(error.filename))}: can't be read: {error.strerror}") from None
    return {name: (heading + dump(alone)).encode(), **copies}


def preset_text(experiment: Experiment, heading: str = "") -> bytes:
    """The same without copies: data files are named by where they lie."""
    return (heading + dump(experiment)).encode(errors="backslashreplace")


def complete(experiment: Experiment) -> Experiment:
    """The same with every field that has a say written out, the seed too: another version may have other defaults."""
    values = {key: [_value(point, key) for point in experiment.points] for key in fields()}
    without = idle({METHODS_KEY: experiment.methods, **values})
    document = deepcopy(dict(experiment.document))
    document.setdefault("seeds", experiment.seeds)
    for key, of_points in values.items():
        section, name = key.split(".")
        if key not in without and key != experiment.over and of_points.count(of_points[0]) == len(of_points):
            document.setdefault(section, {}).setdefault(name, of_points[0])
    return replace(experiment, document=document)


def _value(point: PointSettings, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(point, section), name)


def has_data_files(experiment: Experiment) -> bool:
    return any(point.problem.path for point in experiment.points)


def heading(contents: Contents) -> str:
    """A comment for a run's preset: where its numbers are from, and what they depend on."""
    told = [
        f"# The preset of the run {printable(contents.run.name)}: parents, overrides, defaults and seed are in it.\n"
    ]
    if contents.environments:
        latest = contents.environments[-1]
        versions = ", ".join(f"{key} {latest[key]}" for key in ("mftui", *SAME_NUMBERS[:4]) if key in latest)
        place = " ".join(str(latest[key]) for key in ("device", "device_name", "cpu_capability") if key in latest)
        told.append(f"# Its numbers come out again, bit for bit, with {printable(versions)} on {printable(place)}.\n")
    told += [f"# But: {printable(each)}.\n" for each in contents.departures()]
    return "".join([*told, "\n"])


def as_csv(chosen: Table) -> bytes:
    """A line a row; empty where there is no number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(chosen)
    writer.writerows(zip(*(column.cells() for column in chosen.values()), strict=True))
    return text.getvalue().encode(errors="backslashreplace")


def as_json(contents: Contents) -> bytes:
    """Everything: what `mftui run --json` prints, and settings, environments, events and tables."""
    run, experiment = contents.run, contents.experiment
    document: dict[str, Any] = {
        **run.results(list(contents.trials)),
        "name": run.name,
        "state": contents.state,
        "about": experiment.about,
        "methods": experiment.methods,
        "seeds": experiment.seeds,
        "values": experiment.values,
        "spec": dump(experiment),
        "environments": contents.environments,
        "events": [event for event in contents.events if event.get("event") != "trial"],
        "tables": {
            name: {key: column.cells() for key, column in table(contents, name).items()}
            for name in names(contents)
            if name != RESULTS
        },
    }
    return to_json(document).encode() + b"\n"


def as_npz(contents: Contents) -> bytes:
    """An array a column, called TABLE/COLUMN; the samples and true matrices; spec and environments as texts."""
    arrays: dict[str, Any] = {
        f"{name}/{key}": column.array() for name in names(contents) for key, column in table(contents, name).items()
    }
    for kind, found in (("sample", contents.samples()), ("truth", contents.truths())):
        arrays |= {f"{kind}/{trial}/{key}": values for trial, group in found for key, values in group.items()}
    arrays["spec"] = np.array(dump(contents.experiment))
    arrays["environments"] = np.array(to_json(contents.environments))
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def as_parquet(chosen: Table) -> bytes:
    """One table; what is not there is null. Raises `RunError` without pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise RunError("parquet: needs pyarrow, which is not installed: pip install 'mftui[parquet]'") from None
    types = {"int": pyarrow.int64(), "float": pyarrow.float64(), "bool": pyarrow.bool_(), "str": pyarrow.string()}
    columns = {
        name: pyarrow.array(column.values, types[column.kind], from_pandas=True) for name, column in chosen.items()
    }
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def table_files(contents: Contents, form: Format, chosen: Sequence[str], stem: str) -> Files:
    """A file a table, called STEM-TABLE; `form` is one of `ONE_TABLE`."""
    write: Callable[[Table], bytes] = as_csv if form == "csv" else as_parquet
    return {f"{stem}-{name}.{form}": write(table(contents, name)) for name in chosen}


def run_files(contents: Contents) -> Files:
    """A run's preset, with the data files it needs, and its results so far, for other programs."""
    name = contents.run.name
    return {
        **preset_files(complete(contents.experiment), f"{name}.toml", heading(contents)),
        **table_files(contents, "csv", [RESULTS], name),
    }
