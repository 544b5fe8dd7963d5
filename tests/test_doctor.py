"""What `mftui doctor` advises, case by case; what it says of this machine is in test_cli."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from mftui.cli.doctor import Terminal, _software, extras, file_system, storage_advice, torch_advice, warnings_in
from tests.commands import Command

GOOD = {
    "columns": 160, "lines": 45, "shown": True, "colors": "truecolor", "encoding": "UTF-8", "term": "xterm-256color",
    "no_color": False, "remote": False, "multiplexer": "",
}  # fmt: skip


def _terminal(**known: Any) -> str:
    return "\n".join(Terminal(**{**GOOD, **known}).advice())


def test_a_good_terminal_gets_no_advice() -> None:
    assert _terminal() == ""


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({"lines": 20}, "the terminal is 160×20; the explorer needs 80×24"),
        ({"encoding": "ANSI_X3.4-1968"}, "export LANG=C.UTF-8"),
        ({"encoding": "ANSI_X3.4-1968", "shown": False}, "export LANG=C.UTF-8"),
        ({"term": "dumb", "colors": "none"}, "TERM='dumb' names no terminal"),
        ({"colors": "standard", "term": "xterm"}, "few colours (TERM=xterm): export TERM=xterm-256color"),
        ({"colors": "standard", "term": "screen", "multiplexer": "tmux"}, "export TERM=tmux-256color"),
        ({"colors": "none", "no_color": True}, "NO_COLOR is set"),
        ({"remote": True}, "inside tmux the screen stays too"),
    ],
)
def test_what_a_terminal_lacks_is_said_once_with_what_to_do(known: dict[str, Any], told: str) -> None:
    assert told in _terminal(**known)
    assert "\n" not in _terminal(**known)


@pytest.mark.parametrize("known", [{"remote": True, "multiplexer": "tmux"}, {"shown": False, "lines": 1, "term": ""}])
def test_what_is_in_order_is_not_complained_about(known: dict[str, Any]) -> None:
    assert _terminal(**known) == ""


def _torch(driver: bool, visible: str | None = None, **report: Any) -> str:
    seen = {"build": "CUDA 13.0", "devices": [], "why_no_cuda": "?", "warnings": [], **report}
    return "\n".join(torch_advice(seen, driver, visible))


def test_a_gpu_that_torch_cannot_see_is_explained_by_the_build_the_environment_or_the_driver() -> None:
    assert "is a build for CPUs" in _torch(True, build="CPU only")
    assert "CUDA_VISIBLE_DEVICES='' hides all GPUs" in _torch(True, "")
    assert "CUDA_VISIBLE_DEVICES='-1' hides all GPUs" in _torch(True, "-1")
    assert "built for CUDA 13.0, but it sees no GPU" in _torch(True, "0")
    assert "built for CUDA 13.0, but it sees no GPU" in _torch(True)


def test_a_machine_without_a_driver_or_with_a_gpu_at_work_gets_no_advice_on_torch() -> None:
    assert _torch(False) == _torch(False, build="CPU only") == _torch(True, devices=["cuda:0"]) == ""


def test_what_torch_warns_of_is_passed_on_by_its_first_sentence() -> None:
    stderr = (
        "/x/torch/cuda/__init__.py:174: UserWarning: CUDA initialization: The NVIDIA driver on your system is too old "
        "(found version 11040). Please update your GPU driver.\n  return torch._C._cuda_getDeviceCount() > 0\n"
        "/x/torch/cuda/__init__.py:262: UserWarning: \n    Found GPU0 Tesla K80 which is of cuda capability 3.7.\n"
        "    Minimum and Maximum cuda capability supported by this version of PyTorch is (5.0) - (12.0)\n"
    )
    found = warnings_in(stderr)
    assert found == [
        "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040)",
        "Found GPU0 Tesla K80 which is of cuda capability 3.7",
    ]
    assert _torch(False, warnings=found).splitlines() == [f"torch says: {each}" for each in found]


def test_a_torch_that_does_not_work_is_an_error(
    mftui: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.13: no such file')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ended = mftui("doctor")
    assert ended.status == 1
    assert "torch does not work here, so nothing can run: ImportError: libcudart.so.13: no such file" in ended.stdout


MOUNTS = r"""
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/sdb1 /home/local xfs rw 0 0
//box/my\040files /mnt/my\040files cifs rw 0 0
tmpfs /run tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/usr/x", "ext4"),
        ("/home", "nfs4"),
        ("/home/a/runs", "nfs4"),
        ("/homes", "ext4"),
        ("/home/local/b", "xfs"),
        ("/mnt/my files/x", "cifs"),
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_deepest_mount_above_it(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind


def test_runs_on_another_machine_or_in_memory_are_advised_on_and_others_are_not() -> None:
    def told(kind: str) -> Iterator[str]:
        return storage_advice(Path("/home/a/runs"), kind)

    assert "network file system (nfs4)" in "".join(told("nfs4"))
    assert "stored in memory" in "".join(told("tmpfs"))
    assert list(told("ext4")) == list(told("")) == []


def test_extras_are_those_of_the_distribution_but_for_the_developers() -> None:
    requirements = [
        "rich>=13",
        "scs>=3.2; extra == 'nuclear'",
        'cvxpy>=1.5 ; extra == "nuclear"',
        "ruff; extra == 'dev'",
    ]
    assert extras(requirements) == {"nuclear": ["scs", "cvxpy"]}


def test_an_extra_that_is_missing_is_told_by_the_packages_that_an_index_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(package: str) -> str:
        if package in ("pyarrow", "scs"):
            raise PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr("importlib.metadata.version", installed)
    assert dict(_software())["not installed"] == "nuclear (pip install cvxpy scs), parquet (pip install pyarrow)"


# --- completion ------------------------------------------------------------------------------------------------------


SCRIPT = Path(sys.executable).with_name("mftui")


def _bash(commands: str, home: Path) -> str:
    """What bash prints, with `mftui` on its path and a home of its own."""
    environment = {**os.environ, "HOME": str(home), "PATH": f"{SCRIPT.parent}:{os.environ['PATH']}"}
    commands += "\nexit $?"  # or bash becomes the last command, which then finds another shell above it
    ended = subprocess.run(
        ["bash", "--norc", "-c", commands], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


COMPLETE = 'COMP_WORDS=(mftui explain width-li); COMP_CWORD=2; _mftui_completion mftui; echo "${COMPREPLY[@]}"'


def test_bash_completes_once_completion_is_installed_and_it_is_installed_once(tmp_path: Path) -> None:
    said = _bash("mftui --install-completion; mftui --install-completion", tmp_path)
    assert f"bash completion installed in {tmp_path}" in said
    assert (tmp_path / ".bashrc").read_text(encoding="utf-8").count("source ") == 1
    completed = _bash(f'source "$HOME/.bashrc"; {COMPLETE}', tmp_path).split()
    assert "width-linear" in completed
    assert all(name.startswith("width-li") for name in completed)


@pytest.mark.parametrize(("shell", "starts"), [("zsh", "#compdef mftui"), ("fish", "complete --command mftui")])
def test_the_scripts_of_other_shells_are_printed_on_request(shell: str, starts: str, tmp_path: Path) -> None:
    assert _bash(f"_MFTUI_COMPLETE=source_{shell} mftui", tmp_path).lstrip().startswith(starts)


def test_showing_completion_prints_what_the_shell_at_work_evaluates(tmp_path: Path) -> None:
    assert "width-linear" in _bash(f'eval "$(mftui --show-completion)"; {COMPLETE}', tmp_path).split()
    assert not (tmp_path / ".bashrc").exists()
