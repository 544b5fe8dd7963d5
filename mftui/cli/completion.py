"""Completion of command lines by the shell. Costs nothing where nobody asks for it."""

from __future__ import annotations

import os
from typing import Annotated

import typer

_ASKED = "_MFTUI_COMPLETE"
"""set by a shell that wants to complete a command line"""


def teach_shells() -> None:
    """What a shell that asks is answered by; Typer's own way makes every command import pydantic, a quarter second."""
    if _ASKED in os.environ:
        from typer._completion_classes import completion_init

        completion_init()


def _install(context: typer.Context, parameter: typer.CallbackParam, value: bool) -> None:
    if value and not context.resilient_parsing:
        from typer.completion import install_callback

        install_callback(context, parameter, value)


def _show(context: typer.Context, parameter: typer.CallbackParam, value: bool) -> None:
    if value and not context.resilient_parsing:
        from typer.completion import show_callback

        show_callback(context, parameter, value)


InstallOption = Annotated[
    bool,
    typer.Option(
        "--install-completion",
        callback=_install,
        is_eager=True,
        help="Teach the shell at work (bash, zsh, fish) to complete mftui's commands, runs and presets, and exit.",
    ),
]
ShowOption = Annotated[
    bool,
    typer.Option(
        "--show-completion",
        callback=_show,
        is_eager=True,
        help="Print what that would install, and exit.",
    ),
]
