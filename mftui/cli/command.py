"""Typer's commands with help in the sections of a manual page, and without what makes them slow to start."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from typer.core import TyperCommand, TyperGroup

EXAMPLE, EXIT_STATUS = "Example: ", "Exit status: "
USUAL_STATUS = "0 done, 1 failed, 2 bad input."


class Manual(NamedTuple):
    """What a command's help says, taken apart; each text is one paragraph without line breaks."""

    text: tuple[str, ...]
    examples: tuple[str, ...]
    exit_status: str


def manual(text: str) -> Manual:
    """Paragraphs that begin with "Example: " or "Exit status: " are sections of their own; the latter has a default."""
    paragraphs = [" ".join(each.split()) for each in inspect.cleandoc(text).split("\n\n")]
    examples = tuple(each.removeprefix(EXAMPLE) for each in paragraphs if each.startswith(EXAMPLE))
    statuses = [each.removeprefix(EXIT_STATUS) for each in paragraphs if each.startswith(EXIT_STATUS)]
    rest = tuple(each for each in paragraphs if not each.startswith((EXAMPLE, EXIT_STATUS)))
    return Manual(rest, examples, statuses[0] if statuses else USUAL_STATUS)


class _Manual:
    """Help in sections, and an option for it that costs nothing."""

    help: str | None

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.default = False  # Typer 0.29 converts a missing one with pydantic, which takes long to import
        return option

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text("\n\n".join(manual(self.help or "").text))

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        said = manual(self.help or "")
        with formatter.section("Example"):
            for example in said.examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")  # never broken: it is to be copied
        with formatter.section("Exit status"):
            formatter.write_text(said.exit_status)


class Command(_Manual, TyperCommand):
    """A command."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments go by their names alone; Typer adds the types that Python has for them."""
        records = [(each, each.get_help_record(ctx)) for each in self.get_params(ctx)]
        arguments = [(shown_name(each), meaning[1]) for each, meaning in records if meaning and is_argument(each)]
        options = [meaning for each, meaning in records if meaning and not is_argument(each)]
        for title, rows in (("Arguments", arguments), ("Options", options)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class Group(_Manual, TyperGroup):
    """A group of commands."""


def is_argument(parameter: Any) -> bool:
    """Whether it is an argument, not an option."""
    return str(parameter.param_type_name) == "argument"


def shown_name(argument: Any) -> str:
    """An argument's name as in the usage line; one that can be repeated ends in an ellipsis."""
    name = argument.metavar or argument.name.upper()
    return name if argument.nargs == 1 else f"{name}..."
