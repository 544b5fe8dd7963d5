"""What is imported when: torch costs seconds, so nothing that answers at once may import it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.runs.directory import RunDirectory
from engine.spec import preset

pytestmark = pytest.mark.slow

ENGINE = Path(__file__).parent.parent / "engine"
TERMINAL = {"mftui", "textual", "rich", "typer", "plotext", "click"}

REPORT = "import json, sys; print(); print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"


def _packages_after(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter has imported after `statement`."""
    ended = subprocess.run(
        [sys.executable, "-P", "-c", f"{statement}\n{REPORT}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(ended.stdout.splitlines()[-1]))


def _command(*arguments: str) -> str:
    return f"""
import sys
sys.argv = ["mftui", *{list(arguments)!r}]
from mftui.cli import main
try:
    main()
except SystemExit:
    pass
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["presets"], ["presets", "show", "width-linear"], ["run", "no-such-preset"]],
    ids=" ".join,
)
def test_a_command_that_computes_nothing_imports_neither_torch_nor_textual(arguments: list[str]) -> None:
    packages = _packages_after(_command(*arguments))
    assert "mftui" in packages
    assert not packages & {"torch", "textual", "plotext"}


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["runs"], ["runs", "--json"], ["runs", "list"], ["runs", "--help"], ["queue"]],
    ids=" ".join,
)
def test_a_command_that_answers_at_once_imports_nothing_slow(arguments: list[str], tmp_path: Path) -> None:
    RunDirectory.create(preset.load("quick-start"), "cpu", tmp_path / "home" / "runs" / "run")
    packages = _packages_after(_command(*arguments))
    assert "mftui" in packages
    assert not packages & {"torch", "numpy", "scipy", "pydantic", "textual", "rich", "tomlkit"}


def test_the_explorers_worker_is_started_before_anything_slow_is_imported() -> None:
    packages = _packages_after("import mftui.cli, engine.runs.launch")
    assert "mftui" in packages
    assert not packages & {"torch", "numpy", "scipy", "pydantic", "textual", "rich", "tomlkit"}


def test_a_run_begins_without_scipy() -> None:
    packages = _packages_after("import engine.runs.run")
    assert "torch" in packages
    assert "scipy" not in packages


def test_a_run_is_watched_without_torch_textual_and_scipy(tmp_path: Path) -> None:
    RunDirectory.create(preset.load("quick-start"), "cpu", tmp_path / "home" / "runs" / "run")
    packages = _packages_after(_command("attach"))
    assert "rich" in packages
    assert not packages & {"torch", "textual", "scipy", "plotext"}


def test_the_front_ends_never_import_torch() -> None:
    packages = _packages_after("import mftui.app, mftui.live, mftui.cli.watch, mftui.cli.doctor")
    assert {"mftui", "engine", "textual"} <= packages
    assert "torch" not in packages


def test_the_engines_spec_store_and_launcher_import_neither_torch_nor_a_terminal() -> None:
    packages = _packages_after(
        "import engine.spec.preset, engine.runs.store, engine.runs.directory, engine.results, engine.runs.launch"
    )
    assert "engine" in packages
    assert not packages & ({"torch"} | TERMINAL)


MODULES = [
    ".".join(path.relative_to(ENGINE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(ENGINE.rglob("*.py"))
]

FORKS = """
import gc, json, os, sys
import numpy, pydantic, scipy.special, tomlkit, torch  # what is slow, once
gc.disable()
gc.freeze()  # a collection in a fork would copy all of it
before = set(sys.modules)
for module in sys.argv[1:]:
    if (child := os.fork()) == 0:
        try:
            __import__(module)
            error = ""
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
        packages = sorted({name.split(".")[0] for name in set(sys.modules) - before})
        print(json.dumps([module, error, packages]), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def alone() -> dict[str, tuple[str, set[str]]]:
    """Each module of the engine imported first: the error it gave, and the packages it brought."""
    ended = subprocess.run([sys.executable, "-P", "-c", FORKS, *MODULES], capture_output=True, text=True, check=True)
    return {module: (error, set(packages)) for module, error, packages in map(json.loads, ended.stdout.splitlines())}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_the_engine_can_be_imported_first_and_brings_nothing_of_the_terminal(
    module: str, alone: dict[str, tuple[str, set[str]]]
) -> None:
    error, packages = alone[module]
    assert error == ""
    assert "engine" in packages
    assert not packages & TERMINAL


@pytest.mark.parametrize("path", sorted(ENGINE.rglob("*.py")), ids=lambda path: path.relative_to(ENGINE).as_posix())
def test_no_file_of_the_engine_names_the_terminal_in_an_import(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert not imported & TERMINAL
