"""Typer's commands without what makes them slow to start."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class _FalseUnlessGiven:
    """Typer 0.29 converts a missing `--help` with pydantic, whose import takes longer than the whole command."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.default = False
        return option


class LeanCommand(_FalseUnlessGiven, TyperCommand):
    """A command that may answer at once."""


class LeanGroup(_FalseUnlessGiven, TyperGroup):
    """A group of commands some of which may answer at once."""
