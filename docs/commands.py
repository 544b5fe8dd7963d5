"""Regenerates docs/commands.md, the reference of commands, from the commands themselves: `python docs/commands.py`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from mftui.cli import app
from mftui.cli.command import is_argument, manual, shown_name

PAGE = Path(__file__).parent / "commands.md"

HEAD = """# Commands

Every command with its options, an example, and what its exit status means. `mftui COMMAND --help` prints the same. This
page is made by `python docs/commands.py`.

stdout is data: tables, JSON, names of runs, files that were asked for. stderr is everything else: progress, notes,
`error: …`. In a pipe nothing is coloured or cut.

## Exit status

| status | meaning |
|---|---|
| 0 | done. `run`, `resume`, `attach`: the run is finished. `attach` also after Ctrl-C: the run goes on |
| 1 | failed: the run did, or it was stopped from elsewhere; a file could not be written; the answer was no |
| 2 | bad input: no such command, option, preset, run, file or field, or an impossible value; nothing was started |
| 129 | the terminal, or whatever read stderr, is gone; the run goes on (`mftui attach`) |
| 130 | Ctrl-C: the run was asked to stop and keeps what is finished (`mftui resume`) |

A trial that diverged, or found no guess that fits or too few of them, is a result, not a failure: the table has it,
with what to do about it, and the exit status is 0.

## Environment

| variable | meaning |
|---|---|
| `MFTUI_HOME` | where runs, your own presets and `keys.toml` are; else the user's data directory (`mftui doctor`) |
| `NO_COLOR` | no colours; curves are told apart by marks |
| `CUDA_VISIBLE_DEVICES` | which GPUs there are, as for every program that uses CUDA |

## Completion
`mftui --install-completion` teaches the shell in which it is called (bash, zsh, fish) to complete commands, options and
the names of runs, presets, tables and formats; begin a new shell afterwards. It writes a file under your home directory
and, for bash and zsh, a line into `.bashrc` or `.zshrc`. To do no more than the present shell needs:

```sh
eval "$(mftui --show-completion)"
```

`_MFTUI_COMPLETE=source_zsh mftui` prints the script of a shell that is not the present one (`source_bash`,
`source_fish`). `mftui` must be on the `PATH`, which it is where its virtual environment is active.
"""


def commands(command: Any, path: tuple[str, ...] = ("mftui",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands and groups, each after its parent."""
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, (*path, name))


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_section(path, command) for path, command in commands(typer.main.get_command(app)))


def _section(path: tuple[str, ...], command: Any) -> str:
    said = manual(command.help or "")
    parts = [f"\n## {' '.join(path)}\n"]
    parts += [f"{text}\n\n" for text in said.text]
    parts.append(f"```text\n{_usage(path, command)}\n```\n")
    rows = [row for parameter in command.params if (row := _row(parameter))]
    if rows:
        parts.append("\n| | |\n|---|---|\n" + "".join(rows))
    if below := getattr(command, "commands", {}):
        links = ", ".join(f"[{each}](#{'-'.join((*path, each))})" for each in below)
        parts.append(f"\nCommands: {links}.\n")
    parts += [f"\nExample:\n\n```sh\n{example}\n```\n" for example in said.examples]
    parts.append(f"\nExit status: {said.exit_status}\n")
    return "".join(parts)


def _usage(path: tuple[str, ...], command: Any) -> str:
    words = [*path, "[OPTIONS]"]
    for argument in filter(is_argument, command.params):
        name = shown_name(argument)
        words.append(name if argument.required else f"[{name}]")
    if hasattr(command, "commands"):
        words.append("COMMAND …")
    return " ".join(words)


def _row(parameter: Any) -> str:
    if is_argument(parameter):
        name = shown_name(parameter)
    else:
        name = ", ".join([*parameter.opts, *parameter.secondary_opts])
        if not parameter.is_flag:
            name += " " + (parameter.metavar or parameter.name.upper())
    meaning = " ".join((parameter.help or "").split())
    default = parameter.default
    if default not in (None, False, "") and "Default:" not in meaning and not callable(default):
        meaning += f" Default: {parameter.opts[0] if default is True else default}."
    name, meaning = (text.replace("|", "\\|") for text in (name, meaning))
    return f"| `{name}` | {meaning} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stderr.write(f"wrote {PAGE}\n")
