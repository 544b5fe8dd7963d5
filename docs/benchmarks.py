"""Takes what `mftui bench` found into docs/benchmarks.json, and tells it in docs/benchmarks.md and README.md.

    python docs/benchmarks.py [FOUND.json …]

A script of FOUND takes the place of the same script's earlier rows, unless nothing could be measured, as of `gpu` where
there is none. Without FOUND the pages are made anew from what is there. `make bench-docs` measures, then calls this.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from mftui.benchmark import Row, Sheet, scripts

ROOT = Path(__file__).parent.parent
FOUND = ROOT / "docs" / "benchmarks.json"
SECTION = "Measured"
SECTIONS = {ROOT / "docs" / "benchmarks.md": SECTION, ROOT / "README.md": "How fast"}
HEAD = "| | measured | least to largest | against |\n|---|---|---|---|\n"
GROUPS: dict[str, list[tuple[str, str]]] = {
    "Gradient descent against plain loops": [
        ("descent", "run-steps a second"),
        ("descent", "a step: "),
        ("descent", "a descent, logged"),
    ],
    "Guess & Check against plain loops": [("samplers", "")],
    "The papers' figures": [
        ("figures", ".*: from start to end"),
        ("figures", "(width|depth)-(linear|tanh|leaky-relu): published"),
        ("figures", "(width-linear, width 80|depth-linear, depth 10): (?!loss)"),
    ],
    "A GPU": [("gpu", "")],
    "What one waits for": [
        ("startup", "(?!.*processor time)"),
        ("screen", "a key while it runs, any of them: 95 %"),
        ("canvas", "braille, (8 curves|1 curve) of"),
        ("runs", ".*from start to results"),
    ],
    "What it takes": [
        ("screen", "(written|processor|memory)$"),
        ("runs", "peak memory"),
        ("store", "(written|read|on disk)"),
        ("watchers", "slow-down"),
    ],
}
"""Of each script, in which table which rows are told: those whose names begin so."""
IN_README: dict[str, tuple[str, str]] = {
    "steps of gradient descent a second, 8 data sets at once (5×5, width 40)": (
        "descent",
        "run-steps a second, lean loop: 5×5.*width 40",
    ),
    "independent guesses that fit, a second (width 40, linear)": (
        "samplers",
        "effective samples a second: width 40, depth 2, linear",
    ),
    "plain guesses a second (width 5, linear)": ("samplers", "literal guesses a second: width 5, depth 2, linear"),
    "Figure 1 of the paper, linear, 8 data sets": ("figures", "width-linear: from start to end"),
    "the explorer's first picture": ("startup", "explorer, first paint$"),
    "from a key to what it changes, 95th percentile": ("screen", "a key while it runs, any of them: 95 %"),
}
"""A label for the one row of a script whose name begins so; of several the first."""


def measured() -> dict[str, Sheet]:
    """What was found, by script."""
    if not FOUND.exists():
        return {}
    return _sheets(FOUND)


def _sheets(path: Path) -> dict[str, Sheet]:
    documents = json.loads(path.read_text(encoding="utf-8"))["benchmarks"]
    return {sheet.script: sheet for sheet in map(Sheet.from_document, documents)}


def take(path: Path) -> None:
    """Merge a file of `mftui bench --out` into what is there."""
    new = {name: sheet for name, sheet in _sheets(path).items() if any(row.value is not None for row in sheet.rows)}
    if failed := [name for name, sheet in new.items() if any(row.failed for row in sheet.rows)]:
        raise SystemExit(f"{path}: {', '.join(failed)} failed; nothing was taken")
    merged = {**measured(), **new}
    document = {"benchmarks": [merged[name].document() for name in sorted(merged)]}
    FOUND.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def pages() -> dict[Path, str]:
    """The pages with their sections made anew."""
    sheets = measured()
    made = {SECTION: _tables(sheets), "How fast": _in_brief(sheets)}
    return {path: _replaced(path.read_text(encoding="utf-8"), title, made[title]) for path, title in SECTIONS.items()}


def _replaced(text: str, title: str, section: str) -> str:
    found = re.search(rf"^## {title}\n.*?(?=^## )", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"there is no section {title}")
    return text[: found.start()] + f"## {title}\n{section}\n" + text[found.end() :]


def _rows(sheets: dict[str, Sheet], script: str, begins: str) -> list[Row]:
    """Those with a value; raises `ValueError` if a script that was measured in full has none of that name."""
    if script not in sheets:
        return []
    found = [row for row in sheets[script].rows if re.match(begins, row.name) and row.value is not None]
    if not found and not sheets[script].quick:
        raise ValueError(f"{script}: no row begins with {begins!r}")
    return found


def _tables(sheets: dict[str, Sheet]) -> str:
    parts = ["Made by `make bench-docs`, from `docs/benchmarks.json`, which has all rows.\n"]
    for title, chosen in GROUPS.items():
        if rows := [row for script, begins in chosen for row in _rows(sheets, script, begins)]:
            parts.append(f"\n**{title}**\n\n{HEAD}" + "".join(map(_line, rows)))
    if growth := list(_growth(_rows(sheets, "scaling", ""))):
        parts.append("\n**How cost grows**\n\n| | exponent | 95 % | limited |\n|---|---|---|---|\n" + "".join(growth))
    parts.append("\n| script | measured | on | load when it began | |\n|---|---|---|---|---|\n")
    parts += [_where(sheets[name]) for name in sorted(sheets)]
    if missing := [name for name in scripts(ROOT / "benchmarks") if name not in sheets]:
        parts.append(f"\nNot measured yet: {', '.join(missing)}.\n")
    return "".join(parts)


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _line(row: Row) -> str:
    return _cells(row.name + (f" ({row.on})" if row.on else ""), row.figure, row.range, row.against)


def _growth(rows: list[Row]) -> Iterator[str]:
    for row in rows:
        limits = "; ".join(part for part in row.note.split("; ") if "limited by" in part or "no single power" in part)
        yield _cells(row.name.removesuffix(": exponent"), row.figure, row.range, limits)


def _where(sheet: Sheet) -> str:
    about = sheet.environment
    gpus = "".join(f", {name}" for name in about.get("cuda_devices", ()))
    on = f"{about['device_name']}, {about['cores']} cores{gpus}; Python {about['python']}, torch {about['torch']}"
    quick = "`--quick`: for orientation only" if sheet.quick else ""
    return _cells(sheet.script, about["date"], on, f"{about['load_average']:.1f}", quick)


def _in_brief(sheets: dict[str, Sheet]) -> str:
    """The key rows that were measured in full."""
    full = {name: sheet for name, sheet in sheets.items() if not sheet.quick}
    lines = [
        _cells(label, row.figure, row.against)
        for label, (script, begins) in IN_README.items()
        for row in _rows(full, script, begins)[:1]
    ]
    table = "\n| | measured | against |\n|---|---|---|\n" + "".join(lines) if lines else ""
    return (
        "`mftui bench` measures this on your machine. All rows, and where and when they were measured:\n"
        f"[docs/benchmarks.md](docs/benchmarks.md#measured).\n{table}"
    )


if __name__ == "__main__":
    for name in sys.argv[1:]:
        take(Path(name))
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")
        sys.stderr.write(f"wrote {page}\n")
