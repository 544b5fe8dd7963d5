"""What `pip install` gives: the wheel, unpacked and run where no checkout is in reach."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest

from engine.spec import preset
from tests.runs import TINY

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parent.parent
SOURCES = ("engine", "mftui", "presets", "benchmarks", "pyproject.toml", "README.md", "LICENSE")


@dataclass(frozen=True)
class Installed:
    """The wheel, unpacked."""

    source: Path
    """what it was built from"""
    names: list[str]
    folder: Path
    elsewhere: Path
    """a folder to run from, with nothing in it"""

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Python that has the wheel's content before whatever its environment has installed."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.folder),
            "MFTUI_HOME": str(self.elsewhere / "home"),
            "COVERAGE_PROCESS_START": "",
        }
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:  # a copy, so that the build leaves nothing in the checkout
        path = CHECKOUT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / name)
    (source / "tests").mkdir()
    (source / "tests" / "test_nothing.py").touch()
    dist = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = dist.iterdir()
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
        names = archive.namelist()
    return Installed(source, names, folder, tmp_path_factory.mktemp("elsewhere"))


def test_the_wheel_holds_the_two_packages_and_the_presets_and_nothing_else(installed: Installed) -> None:
    ours = {
        path.relative_to(installed.source).as_posix()
        for package in ("engine", "mftui")
        for path in _files(installed.source / package)
    }
    beside = {
        f"{package}/{path.relative_to(installed.source).as_posix()}"
        for package, folder in (("engine", "presets"), ("mftui", "benchmarks"))
        for path in _files(installed.source / folder)
    }
    assert {name for name in installed.names if ".dist-info/" not in name} == ours | beside


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def test_the_wheel_declares_its_command_licence_and_requirements(installed: Installed) -> None:
    (information,) = installed.folder.glob("mftui-*.dist-info")
    assert (information / "entry_points.txt").read_text(encoding="utf-8").split() == [
        "[console_scripts]",
        "mftui",
        "=",
        "mftui.cli:main",
    ]
    assert (information / "licenses" / "LICENSE").is_file()
    metadata = Parser().parsestr((information / "METADATA").read_text(encoding="utf-8"))
    needed = " ".join(text for text in metadata.get_all("Requires-Dist") or [] if "extra ==" not in text)
    for package in ("textual", "rich", "numpy", "torch", "plotext", "typer"):
        assert package in needed


def test_what_is_imported_is_the_unpacked_wheel_and_its_presets(installed: Installed) -> None:
    ended = installed.python(
        "-P",
        "-c",
        "import engine, mftui, engine.spec.preset as p; print(engine.__file__, mftui.__file__, p.preset_directory())",
    )
    assert ended.stderr == ""
    assert ended.stdout.split() == [
        str(installed.folder / name) for name in ("engine/__init__.py", "mftui/__init__.py", "engine/presets")
    ]


def test_an_installed_mftui_lists_its_presets_anywhere(installed: Installed) -> None:
    ended = installed.python("-m", "mftui.cli", "presets")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [line.split()[0] for line in ended.stdout.splitlines()] == preset.shipped()


def test_an_installed_mftui_runs_an_experiment_anywhere_with_its_own_worker(installed: Installed) -> None:
    (installed.elsewhere / "tiny.toml").write_text(TINY, encoding="utf-8")
    marker = "engine.descent.descent: the installed one"
    descent = installed.folder / "engine" / "descent" / "descent.py"
    with descent.open("a", encoding="utf-8") as file:
        file.write(f"\nimport sys\nprint({marker!r}, file=sys.stderr)\n")
    ended = installed.python("-m", "mftui.cli", "run", "tiny.toml", "--json", "--quiet", "--out", "out")
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert (document["state"], len(document["trials"])) == ("finished", 12)
    log = (installed.elsewhere / "out" / "run.log").read_text(encoding="utf-8")
    assert set(log.splitlines()) == {marker}  # a line from each process that shares the run


def test_an_installed_mftui_measures_anywhere(installed: Installed) -> None:
    ended = installed.python("-P", "-m", "mftui.cli", "bench", "--quick", "--only", "canvas", "--json")
    assert ended.returncode == 0, ended.stderr
    (sheet,) = json.loads(ended.stdout)["benchmarks"]
    assert sheet["quick"]
    assert all(row["value"] > 0 for row in sheet["rows"])
