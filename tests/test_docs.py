"""What is documented exists, and what exists is documented."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import typer

from mftui.cli import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _commands() -> list[str]:
    root = typer.main.get_command(app)
    return sorted(root.commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", _commands())
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"`mftui {command}" in README


def test_the_readme_begins_with_the_two_commands() -> None:
    commands = [line.strip() for line in README.splitlines() if line.startswith("    ")][:2]
    assert commands[0].startswith("make run ")
    assert commands[1].startswith('make run ARGS="run ')


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_preset_reference_is_current() -> None:
    """Otherwise: python docs/presets.py."""
    page = runpy.run_path(str(ROOT / "docs" / "presets.py"))["page"]
    assert (ROOT / "docs" / "presets.md").read_text(encoding="utf-8") == page()


def test_no_document_names_a_host_that_pictures_or_fonts_come_from() -> None:
    picture = (ROOT / "docs" / "explorer.svg").read_text(encoding="utf-8")
    assert "@font-face" not in picture
