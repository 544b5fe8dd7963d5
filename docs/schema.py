"""Regenerates docs/schema.md, what a run's files hold, from the schema itself: `python docs/schema.py`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from engine.events import schema
from engine.spec.preset import parse
from engine.spec.settings import METHOD_LABELS, METHODS

PAGE = Path(__file__).parent / "schema.md"

HEAD = """# The run directory and its schema

What the files of a run hold. This page is made by `python docs/schema.py`. Elsewhere:
- the files themselves, and what can be relied on: [runs.md](runs.md);
- reading a run as CSV, JSON, NumPy or Parquet, and the columns of `results`: [export.md](export.md#tables);
- the fields of a preset, which `spec.toml` consists of: [presets.md](presets.md).

Read a run from elsewhere through `mftui export`, not by its `.rec` files: export leaves out what a resumed run computed
twice.

**Across versions.** `run.json` names the format, 2 now. A run of any earlier format can be listed, shown and exported.
New keys of stored records have defaults, so an old record is read as what it was. A reader of tables goes by the names
of the columns in `run.json`, not by their places. Runs of old formats are kept in `tests/data/` and read by the tests.
"""

RUN = {
    "format": "format of the directory",
    "name": "the preset's name",
    "title": "the preset's title",
    "created": "seconds since 1970",
    "device": "the device that was asked for: auto, cpu, cuda, cuda:0 …",
    "workers": "processes that may share the work; 0: as many as there are cores or GPUs",
    "urgent": "true: it does not wait for a place in the queue",
    "trials": "sweep points × methods × data sets",
    "tables": "table → its columns, in order",
}

TABLES = {
    "gd": "gradient descent, one row per log point",
    "diagnostics": "the same log points: what else is observed of W ([descent.md](descent.md#what-is-observed))",
    "theory": "the same log points, linear σ: dσ/dt, per unit of time, a step being as long as the learning rate",
    "trajectory": "the singular values as theory predicts them from `gd.predict_from` on",
    "matrices": "W, where it has at most 400 entries",
    "guesses": "G&C and prior: what was drawn so far, one row per block of guesses",
    "samples": "G&C and prior: one row per draw that passed",
    "progress": "every 0.2 s: how far a trial is. It alone holds times of day, and so differs between equal runs",
}

COLUMNS = {
    "point": "number of the sweep point, from 0",
    "seed": "number of the data set",
    "method": ", ".join(f"{number}: {METHOD_LABELS[method]}" for number, method in enumerate(METHODS)),
    "step": "steps made",
    "training_loss": "L_train",
    "generalization_loss": "L_gen",
    "singular_value": "singular values of W, the largest first: all up to 128, else the leading 10",
    "effective_rank": "exp of the entropy of σ/Σσ",
    "numerical_rank": "how many σ are above 1e-3 of the largest",
    "stable_rank": "‖W‖_F² over the largest σ²",
    "nuclear_norm": "Σσ",
    "frobenius_norm": "‖W‖_F",
    "schatten_norm": "Σσ^(2/L), to the power L/2",
    "balancedness_gap": "largest ‖W_{j+1}ᵀW_{j+1} − W_jW_jᵀ‖ over j",
    "distance_to_truth": "‖W − W*‖_F",
    "layer_norm": "‖W_j‖_F",
    "left_alignment": "|⟨u_i, u*_i⟩| of the i-th left singular vectors of W and W*",
    "right_alignment": "the same for the right ones",
    "measured": "dσ/dt as seen",
    "predicted": "dσ/dt as theory has it",
    "diagonal_gradient": "mean size of the diagonal of Uᵀ∇L_train(W)V",
    "off_diagonal_gradient": "mean size of what is off it",
    "entry": "W row by row",
    "draws": "guesses so far",
    "hits": "of these, how many passed",
    "best_training_loss": "the least L_train so far",
    "stage": "rises when a sampler takes over from another: only the rows of the last stage count",
    "log_weight": "natural logarithm of the draw's weight",
    "time": "seconds since 1970",
    "done": "steps or guesses made",
    "fraction": "share of the trial that is done, 0 to 1",
}

EVENTS: dict[str, tuple[str, Mapping[str, str]]] = {
    "started": ("a worker leads the run", {"pid": "its process", "host": "its machine"}),
    "queued": ("it waits for a place, or for a cluster", {"message": "", "cluster": "its kind", "job": "its number"}),
    "device": ("where it computes", {"device": ""}),
    "paused": ("asked to wait", {}),
    "continued": ("goes on after a pause", {}),
    "stopped": ("stopped; it can be resumed", {"message": "why, if nobody asked for it"}),
    "finished": ("all trials are done", {}),
    "failed": ("it can't go on", {"message": "why"}),
    "remark": ("something to know", {"message": ""}),
    "attempt": ("the first event at a unit", {"unit": "", "rows": "table → rows that precede this attempt's"}),
    "truth": (
        "W* of a data set",
        {
            "point": "",
            "seed": "",
            "singular_values": "",
            "matrix": "row by row, or null if it is large",
            "observed": "completion: which entries were measured",
        },
    ),
    "ratings": ("small ratings", {"point": "", "seed": "", "observed": "null: no rating", "offset": "what is added"}),
    "recovered": ("small ratings, filled in", {"point": "", "seed": "", "method": "", "observed": "", "recovered": ""}),
    "learning_rate": ("another learning rate was set", {"step": "from which on", "value": ""}),
    "trial": ("a trial is over", {"…": "as one of `trials` below"}),
}

RESULTS = {
    "format": "as in `run.json`",
    "run": "path of the run when this was written",
    "preset": "name of the preset",
    "title": "its title",
    "over": "the swept field, or null",
    "points": "one per sweep point: its label, and all its settings",
    "summary": "one per sweep point and method, over its data sets: see below",
    "verdicts": "one per statement of the theory: `name`, `text`, `estimate` (`value`, `low`, `high`, or null)",
    "trials": "one per sweep point, method and data set: see below",
}

SUMMARY = {
    "point": "number of the sweep point",
    "label": "such as “width 5”",
    "method": "gd, prior, gnc or nuclear",
    "trials": "how many gave a generalization loss",
    "generalization_loss": "quartiles over the data sets: 25 %, median, 75 %",
    "training_loss": "median over the data sets",
    "acceptance": "log10 P(L_train < ε_train) of the median data set: `value`, `low`, `high`",
    "remarks": "what went wrong, a sentence each",
    "notes": "further results, a sentence each",
}

TRIAL = {
    "point": "number of the sweep point",
    "method": "gd, prior, gnc or nuclear",
    "seed": "number of the data set",
    "outcome": "finished, diverged, no_hits, unreliable or failed",
    "generalization_loss": "of the last iterate; of guesses the mean over those that passed",
    "training_loss": "the same",
    "message": "why it did not simply finish",
    "guesses": "of G&C and the prior: draws, hits, acceptance, quantiles, histogram, how far to trust them",
    "held_out_rmse": "ratings: root of the generalization loss",
    "theory_error": "how far dσ/dt is from theory's",
    "theory_judged": "at how many log points",
    "theory_passed_over": "how many log points could not be judged",
    "trajectory_error": "how far the singular values' course is from theory's",
    "nuclear_norm": "of the minimum-nuclear-norm solution",
    "effective_rank": "of the same",
    "distance_to_truth": "‖W − W*‖_F of the same",
    "laws": "with `gnc.measure_laws`: what the prior's weights show",
}


def page() -> str:
    """The whole page. Raises `KeyError` for a table or column that is not explained."""
    parts = [HEAD, "\n## run.json\n", _table("key", RUN)]
    parts.append(
        "\n## Tables\nAll values are float64; NaN where there is none. A name that ends in `_1 …` stands for as many "
        "columns as there are singular values, layers, and so on.\n"
    )
    for name, columns in schema(parse("", "any")).items():
        parts += [f"\n**{name}**: {TABLES[name]}.\n", _table("column", dict(_explained(columns)))]
    parts.append(
        "\n## Events\nOne JSON object a line: `event`, its kind; `time`, seconds since 1970; and what is listed here. "
        "Those of the run as a whole are in `events-run-…`, those of a unit of work in `events-NUMBER-…`.\n\n"
        "| event | meaning | keys |\n|---|---|---|\n"
    )
    for kind, (meaning, keys) in EVENTS.items():
        told = "; ".join(f"`{key}`: {what}" if what else f"`{key}`" for key, what in keys.items())
        parts.append(f"| `{kind}` | {meaning} | {told} |\n")
    parts += ["\n## results.json\n`mftui run --json` prints the same.\n", _table("key", RESULTS)]
    parts += ["\nOne of `summary`:\n", _table("key", SUMMARY), "\nOne of `trials`:\n", _table("key", TRIAL)]
    return "".join(parts)


def _explained(columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Columns with their meaning; of numbered ones the first stands for all."""
    for column in columns:
        stem, _, number = column.rpartition("_")
        if not number.isdecimal():
            yield column, COLUMNS[column]
        elif number == "1":
            yield f"{column} …", COLUMNS[stem]


def _table(title: str, rows: Mapping[str, str]) -> str:
    escaped = {name: meaning.replace("|", "\\|") for name, meaning in rows.items()}
    lines = (f"| `{name}` | {meaning} |\n" for name, meaning in escaped.items())
    return f"\n| {title} | meaning |\n|---|---|\n" + "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stderr.write(f"wrote {PAGE}\n")
