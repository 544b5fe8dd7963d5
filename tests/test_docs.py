"""What is documented exists, and what exists is documented.

Every command in a fenced block and in `code` is read as a shell would and held against the command line itself: the
command, its options, how many arguments it takes, the presets, fields and values that it names. Those that only look at
something are also executed, and the quick start as a whole.
"""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer

from engine.problems.problem import make_problem
from engine.runs.files import from_json
from engine.spec import preset
from mftui.benchmark import Row, Sheet
from mftui.cli import app
from mftui.figures import definition
from tests.commands import Command
from tests.lab import finished_run

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md"))
SHELLS = ("sh", "console", "bash")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Said:
    """A command line of ours in a document: the words after `mftui`."""

    page: Path
    words: tuple[str, ...]
    fenced: bool

    def __str__(self) -> str:
        return f"{self.page.name}: mftui {' '.join(self.words)}"


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _blocks(page: Path, *languages: str) -> list[str]:
    return [body for language, body in FENCE.findall(_text(page)) if language in languages]


def _indented(text: str) -> list[str]:
    """Code that is told by its indent, outside fences and lists."""
    return re.findall(r"(?<=\n\n)(?: {4}\S.*\n)+", FENCE.sub("", text))


def _spans(text: str) -> list[str]:
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", FENCE.sub("", text))


def _invocations(line: str) -> Iterator[tuple[str, ...]]:
    """The words after each `mftui` that a shell would run."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    try:
        tokens = list(lexer)
    except ValueError:  # a quotation that goes on in the next line
        return
    if tokens[:2] == ["make", "run"] and tokens[2:]:
        yield tuple(shlex.split(tokens[2].removeprefix("ARGS=")))
    words: list[str] | None = None
    for token in [*tokens, ";"]:
        if set(token) <= set("();<>|&"):
            if words is not None:
                yield tuple(words)
            words = None
        elif words is not None:
            words.append(token)
        elif token.rsplit("/", 1)[-1] == "mftui":
            words = []


def _said() -> list[Said]:
    found: dict[tuple[str, tuple[str, ...]], Said] = {}
    for page in PAGES:
        text = _text(page)
        fenced = "\n".join([*_blocks(page, *SHELLS, ""), *_indented(text)]).replace("\\\n", " ")
        places = [(line.removeprefix("$ "), True) for line in fenced.splitlines()]
        places += [(span, False) for span in _spans(text) if re.match(r"(\w+=\S+ )*(\S+/)?mftui( |$)", span)]
        for line, is_fenced in places:
            for words in _invocations(line):
                found.setdefault((page.name, words), Said(page, words, is_fenced))
    return list(found.values())


SAID = _said()


@cache
def _root() -> Any:
    return typer.main.get_command(app)


def _is_placeholder(word: str) -> bool:
    return re.sub(r"[^A-Za-z]", "", word).isupper() or "…" in word or word.startswith("[")


def _resolve(words: tuple[str, ...]) -> tuple[Any, list[str], bool]:
    """The command meant, the words left for it, and whether the document stopped short ("…", COMMAND)."""
    command, rest = _root(), list(words)
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        if _is_placeholder(rest[0]):
            return command, [], True
        assert rest[0] in command.commands, f"there is no command {rest[0]}"
        command = command.commands[rest.pop(0)]
    return command, rest, any("…" in word for word in rest)


def _split(command: Any, rest: list[str]) -> tuple[list[tuple[Any, str]], list[str]]:
    """Options with their values, and arguments; fails on an option that is not there."""
    known = {
        name: each
        for each in command.params
        if each.param_type_name == "option"
        for name in (*each.opts, *each.secondary_opts)
    }
    options: list[tuple[Any, str]] = []
    arguments: list[str] = []
    queue = list(rest)
    while queue:
        word = queue.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("-") or word == "-":
            arguments.append(word)
        elif word not in ("-h", "--help"):
            assert name in known, f"there is no option {name}"
            if not known[name].is_flag:
                assert equals or queue, f"{name} needs a value"
                options.append((known[name], value if equals else queue.pop(0)))
    return options, arguments


@pytest.mark.parametrize("said", SAID, ids=str)
def test_a_documented_command_exists_with_its_options_arguments_presets_and_fields(said: Said) -> None:
    command, rest, cut = _resolve(said.words)
    rest = [word for word in rest if "…" not in word or word.endswith("…")]
    options, arguments = _split(command, rest)
    takes = [each for each in command.params if each.param_type_name == "argument"]
    if "--help" not in rest and not hasattr(command, "commands") and said.fenced and not cut:
        assert len(arguments) >= sum(each.required for each in takes), "too few arguments"
    if takes and takes[-1].nargs == 1:
        assert len(arguments) <= len(takes), "too many arguments"
    for parameter, value in [*options, *zip(takes, arguments, strict=False)]:
        _check_value(command, parameter, value)
    settings = [value for each, value in options if each.opts == ["--set"] and not _is_placeholder(value)]
    if settings:
        name = next((each for each in arguments if each in preset.shipped()), "quick-start")
        preset.load(name, settings)


def _check_value(command: Any, parameter: Any, value: str) -> None:
    """Names that the shell would complete are among what it would offer; runs are nobody's but the reader's."""
    if _is_placeholder(value) or value.endswith(".toml") or "/" in value:
        return
    offered: list[str] = []
    if getattr(parameter, "_custom_shell_complete", None) and "RUN" not in (parameter.metavar or ""):
        with suppress(IndexError):  # tables of a run that is not named
            context = typer.Context(command)
            offered = [item.value for item in parameter.shell_complete(context, "")]
    assert not offered or value in offered, f"{value}: expected one of {', '.join(offered)}"


LOOKING = {
    ("presets",),
    ("presets", "list"),
    ("presets", "show"),
    ("explain",),
    ("runs",),
    ("runs", "list"),
    ("queue",),
}


def _only_looks(words: tuple[str, ...]) -> bool:
    path = tuple(word for word in words if not word.startswith("-"))
    known = path in LOOKING or (path[:-1] in LOOKING and path[-1] in preset.shipped())
    return known or words in (("--version",), ("--help",), ("-h",))


@pytest.mark.parametrize("words", sorted({said.words for said in SAID if _only_looks(said.words)}), ids=" ".join)
def test_a_documented_command_that_only_looks_at_something_works(words: tuple[str, ...], mftui: Command) -> None:
    assert mftui(*words).status == 0


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """All commands and groups, the whole program first."""
    yield path
    for name, each in getattr(command, "commands", {}).items():
        yield from _commands(each, (*path, name))


@pytest.mark.parametrize("path", list(_commands(_root())), ids=" ".join)
def test_help_has_a_summary_an_example_of_the_command_itself_and_what_its_exit_status_means(
    path: tuple[str, ...], mftui: Command
) -> None:
    said = mftui(*path, "--help").stdout
    example, status = re.findall(r"\n\nExample:\n  (.*)\n\nExit status:\n  (.*)", said)[0]
    assert shlex.split(example)[: 1 + len(path)] == ["mftui", *path]
    assert status.startswith("as of `mftui run`") or re.match(r"\d \w", status)
    assert "..." not in re.sub(r"\[ARGS\]\.\.\.|\b[A-Z_]+\}?\.\.\.", "", said), "a summary is cut"
    assert not re.search(r"<\w+\[", said), "a type of Python's"
    assert "docs/" not in said, "whoever has installed mftui has no docs/"


@pytest.mark.parametrize("command", sorted(_root().commands))
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"`mftui {command}" in README


def test_the_readme_begins_with_the_two_commands() -> None:
    commands = [line.strip() for line in README.splitlines() if line.startswith("    ")][:2]
    assert commands[0].startswith("make run ")
    assert commands[1].startswith('make run ARGS="run ')


def test_a_mistake_in_a_preset_is_answered_as_the_readme_says(
    mftui: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_text("[model]\nwidht = 5\n", encoding="utf-8")
    (error,) = re.findall(r"^error: .*$", README, re.MULTILINE)
    assert mftui("presets", "validate", "a.toml").stderr == f"{error}\n"


def test_the_readmes_numbers_are_those_of_the_page_on_the_papers() -> None:
    rows = re.findall(r"^\| linear, .*$", README, re.MULTILINE)
    assert rows
    assert set(rows) <= set(_text(ROOT / "docs" / "paper.md").splitlines())


def _quartiles(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d*\.\d+", text)]


def test_what_w_zero_costs_in_the_readme_is_what_it_costs_on_the_data_sets() -> None:
    rows = re.findall(r"^\| W = 0 \|(.*?)\|", README, re.MULTILINE)
    for name, row in zip(("width-linear", "depth-linear"), rows, strict=True):
        experiment = preset.load(name)
        problem = experiment.points[0].problem
        data_sets = make_problem(problem, range(problem.seed, problem.seed + experiment.seeds))
        zero = torch.zeros(experiment.seeds, 1, problem.rows, problem.columns, dtype=torch.float64)
        losses = data_sets.generalization_loss(zero).flatten().numpy()
        assert _quartiles(row) == [round(each, 3) for each in np.quantile(losses, [0.5, 0.25, 0.75])]


def test_what_the_readme_says_of_rare_guesses_is_what_was_measured() -> None:
    """Draws, independent fits and guesses for one, each to two figures a row of that sweep point."""
    said = re.findall(r"at width 80 .*?, ([\d,]+)\s+draws\s+give ([\d,]+) .*? needs ([\d,]+) guesses", README)
    numbers = [float(number.replace(",", "")) for number in said[0]]
    found = runpy.run_path(str(ROOT / "docs" / "benchmarks.py"))["measured"]()
    if "figures" in found and not found["figures"].quick:
        values = [row.value for row in found["figures"].rows if row.name.startswith("width-linear, width 80: ")]
        for number in numbers:
            assert any(value == pytest.approx(number, rel=0.05) for value in values), number
    (many,) = re.findall(r"and (\d+) million for as many", README)
    assert int(many) * 1e6 == pytest.approx(numbers[1] * numbers[2], rel=0.05)


def test_what_was_measured_is_on_its_pages_and_names_no_machine() -> None:
    """Otherwise: python docs/benchmarks.py."""
    for page, text in runpy.run_path(str(ROOT / "docs" / "benchmarks.py"))["pages"]().items():
        assert _text(page) == text
    for sheet in runpy.run_path(str(ROOT / "docs" / "benchmarks.py"))["measured"]().values():
        assert "host" not in sheet.environment


def test_found_rows_take_the_place_of_the_same_scripts_unless_there_are_none_or_one_failed(
    tmp_path: Path,
) -> None:
    module = runpy.run_path(str(ROOT / "docs" / "benchmarks.py"))
    take, measured = module["take"], module["measured"]
    take.__globals__["FOUND"] = tmp_path / "benchmarks.json"
    about = {"python": "3", "torch": "2", "device_name": "a processor", "cores": 2, "date": "2026-01-01"}

    def found(*rows: tuple[str, Row]) -> Path:
        sheets = [Sheet(name, "About.", False, 1.0, about, (row,)) for name, row in rows]
        (tmp_path / "found.json").write_text(json.dumps({"benchmarks": [sheet.document() for sheet in sheets]}))
        return tmp_path / "found.json"

    take(found(("gpu", Row("faster", 9.0, "×")), ("store", Row("written", 5.0, "rows/s"))))
    take(found(("gpu", Row("faster", None, note="no GPU")), ("store", Row("written", 6.0, "rows/s"))))
    assert {name: sheet.rows[0].value for name, sheet in measured().items()} == {"gpu": 9.0, "store": 6.0}
    with pytest.raises(SystemExit, match="store failed; nothing was taken"):
        take(found(("store", Row("written", 7.0, "rows/s", failed=True))))
    assert measured()["store"].rows[0].value == 6.0
    with pytest.raises(ValueError, match="store: no row begins with 'read'"):
        module["_rows"](measured(), "store", "read")


def _anchors(page: Path) -> set[str]:
    """What headings can be linked to by, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", _text(page)), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    for target in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", _text(page)):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in _anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_make_targets_that_are_named_are_there(page: Path) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for span in [*_spans(_text(page)), *_blocks(page, *SHELLS)]:
        for path in re.findall(r"(?<![\w/.-])(?:engine|mftui|tests|docs|benchmarks|presets)/[\w/.-]*[\w/]", span):
            assert (ROOT / path).exists() or "NAME" in path, path
        for target in re.findall(r"(?:^|[\n;&] *)make (\w+)", span):
            assert target in targets, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_presets_and_figures_in_the_text_are_valid(page: Path, tmp_path: Path) -> None:
    for block in _blocks(page, "toml"):
        if "[[panels]]" in block:
            (tmp_path / "figure.toml").write_text(block, encoding="utf-8")
            definition.read(tmp_path / "figure.toml")
        elif "[keys]" not in block:
            preset.parse(block, f"{page.name}.toml")


@pytest.mark.parametrize("name", ["presets", "commands", "schema"])
def test_a_generated_page_is_current(name: str) -> None:
    """Otherwise: python docs/NAME.py."""
    page = runpy.run_path(str(ROOT / "docs" / f"{name}.py"))["page"]
    assert _text(ROOT / "docs" / f"{name}.md") == page()


def test_what_a_run_stores_is_what_the_page_on_its_schema_says() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "schema.py"))
    run = finished_run("run")
    about, results = (from_json((run.path / name).read_bytes()) for name in ("run.json", "results.json"))
    assert about.keys() == page["RUN"].keys()
    assert results.keys() == page["RESULTS"].keys()
    assert results["summary"][0].keys() == page["SUMMARY"].keys()
    assert results["trials"][0].keys() == page["TRIAL"].keys()
    seen = {event["event"]: event.keys() - {"event", "time"} for event in run.reader().events()}
    assert {"started", "device", "attempt", "truth", "trial", "finished"} <= seen.keys()
    for kind, keys in seen.items():
        documented = page["TRIAL"] if kind == "trial" else page["EVENTS"][kind][1]
        assert keys <= documented.keys(), kind


def test_the_python_in_the_page_on_export_reads_an_exported_run(mftui: Command, tmp_path: Path) -> None:
    finished_run("run")
    assert mftui("export", "run", "--format", "npz", "--out", tmp_path / "RUN.npz").status == 0
    (code,) = _blocks(ROOT / "docs" / "export.md", "python")
    told: dict[str, Any] = {}
    exec(code.replace("RUN.npz", str(tmp_path / "RUN.npz")), told)
    assert {"step", "training_loss", "generalization_loss", "singular_value_1"} <= told["gd"].keys()
    assert len(told["gd"]["step"]) > 5


def test_every_page_is_in_the_contents() -> None:
    contents = _text(ROOT / "docs" / "index.md")
    assert [page.name for page in PAGES if page.parent == ROOT / "docs" and f"({page.name})" not in contents] == [
        "index.md"
    ]


def test_no_document_names_a_host_that_pictures_or_fonts_come_from() -> None:
    for picture in sorted((ROOT / "docs").glob("*.svg")):
        assert "@font-face" not in picture.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.usefixtures("no_worker_is_left")
def test_the_quick_start_works_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bash, one session for all; what opens a screen or installs is left out, and the sweep is a shorter one."""
    skipped = ("make ", "mftui explore")
    blocks = "".join(_blocks(ROOT / "docs" / "quick-start.md", *SHELLS))
    brief = "[5, 10]\n\n[gd]\nsteps = 1_000\n\n[gnc]\neffective_samples = 200"
    for long, short in (("seeds = 3", "seeds = 1"), ("[5, 10, 20, 40]", brief)):
        assert long in blocks
        blocks = blocks.replace(long, short)
    lines = [
        line
        for line in blocks.splitlines()
        if line != "mftui" and "pip install" not in line and not line.startswith(skipped)
    ]
    assert len(lines) >= 5
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    bash = shutil.which("bash")
    assert bash
    ended = subprocess.run(
        [bash, "--norc", "-c", "\n".join(["set -e", *lines])],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
