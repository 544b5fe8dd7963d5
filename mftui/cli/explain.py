"""`mftui explain`: what a preset shows, the formula, the source, what to look for; the text of the tour."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from mftui.cli.options import preset_names

if TYPE_CHECKING:
    from engine.spec.experiment import Experiment
    from mftui.tour import Page

MOST_CELLS = 100
"""longer lines are hard to read"""


def explain(
    preset: Annotated[
        str | None,
        typer.Argument(
            metavar="PRESET_OR_FILE",
            help="Without one: what can be explained.",
            show_default=False,
            autocompletion=preset_names,
        ),
    ] = None,
) -> None:
    """What a preset shows, the formula, the source, what to look for.

    Example: mftui explain incremental-learning
    """
    width = min(shutil.get_terminal_size().columns, MOST_CELLS)
    for line in _list() if preset is None else _explanation(preset, width):
        typer.echo(line)


def _list() -> Iterator[str]:
    from engine.spec.preset import load, shipped
    from mftui.tour import page_of

    names = shipped()
    wide = max(map(len, names))
    for name in names:
        page = page_of(name)
        yield f"{name:{wide}}  {f'page {page.number}' if page else '':6}  {load(name).title}"
    yield ""
    yield "mftui explain PRESET prints its text, with that page of the tour (5 in the explorer) where there is one."


def _explanation(preset: str, width: int) -> Iterator[str]:
    from engine.spec.preset import load
    from mftui.plain import paragraphs
    from mftui.tour import page_of

    experiment = load(preset)
    page = page_of(experiment.name)
    yield experiment.title
    for paragraph in paragraphs(experiment.about):
        yield from textwrap.wrap(paragraph, width, break_long_words=False, break_on_hyphens=False)
    yield from _page(page, experiment.name, width) if page else _settings(experiment, width)
    yield ""
    yield f"mftui run {preset}        runs it; mftui explore {preset} shows it"


def _page(page: Page, preset: str, width: int) -> Iterator[str]:
    from mftui.tour import EMPHASIS, layout, pages

    yield ""
    yield f"Page {page.number} of {len(pages())} of the tour: {page.title}"
    if preset != page.preset:
        yield f"(the numbers in it are those of {page.preset})"
    for kind, line in layout(page.blocks, width):
        yield line.upper() if kind == "heading" else EMPHASIS.sub(r"\1", line)


def _settings(experiment: Experiment, width: int) -> Iterator[str]:
    """What the preset sets, with the first sentence of what it means."""
    from engine.spec.settings import SECTIONS, meaning

    yield ""
    yield f"methods: {', '.join(experiment.methods)}; data sets: {experiment.seeds}"
    if experiment.over:
        yield f"sweep: {experiment.over} = {', '.join(map(str, experiment.values))}"
    for section in SECTIONS:
        for name, value in experiment.document.get(section, {}).items():
            key = f"{section}.{name}"
            chosen = map(str, value if isinstance(value, list) else [value])
            yield from textwrap.wrap(f"{key} = {value}: {meaning(key, *chosen)}", width, subsequent_indent="    ")
