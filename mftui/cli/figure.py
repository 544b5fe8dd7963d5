"""`mftui figure`: the papers' figures and others, from runs that there are or that are made now."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mftui.cli.options import DeviceOption, QuietOption, SetOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.runs.directory import RunDirectory
    from engine.spec.experiment import Experiment
    from mftui.figures.collect import Needed, Wishes
    from mftui.figures.definition import Definition
    from mftui.figures.files import Made

LIST, ALL = "list", "all"


def figure_names(incomplete: str) -> list[str]:
    """What can be made and begins so, for the shell's completion."""
    from mftui.cli.options import preset_names
    from mftui.figures.definition import shipped_figures

    return [name for name in (LIST, ALL, *shipped_figures()) if name.startswith(incomplete)] + preset_names(incomplete)


def figure(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A figure's name (`list` tells them; `all` makes all), a preset's name, or a .toml file of either.",
            autocompletion=figure_names,
        ),
    ],
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, metavar="N", help="Data sets; by default as the presets say.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer data sets, sweep points and samples; the figure says so.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write CSV, JSON and drawings (PNG, SVG, PDF) there.")
    ] = None,
    settings: SetOption = None,
    no_run: Annotated[bool, typer.Option("--no-run", help="Compute nothing: only what is stored already.")] = False,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
) -> None:
    """Make a figure, and first the runs that it needs.

    It prints plots, tables and verdicts, and writes files if asked to. Finished runs are used again, stopped ones gone
    on with. Ctrl-C stops cleanly; the same command goes on.

    Exit status: as of `mftui run`.

    Example: mftui figure alexander-2025-1 --quick --out figures
    """
    from engine.runs.launch import check_device
    from mftui.figures.collect import Wishes

    if name == LIST:
        _list()
        return
    if out is not None:
        _prepare(out)
    if not no_run:
        check_device(device)
    wishes = Wishes(seeds, quick, tuple(settings or ()))
    maker = _Maker(wishes, out, run=not no_run, device=device, quiet=quiet)
    if name == ALL:
        maker.make_all()
    else:
        maker.make(_definition(name))


def _list() -> None:
    from mftui.figures.definition import figure_directory, read, shipped_figures

    names = shipped_figures()
    width = max(map(len, names))
    for name in names:
        found = read(figure_directory() / f"{name}.toml")
        typer.echo(f"{name:{width}}  {found.title}" + (f" ({found.source})" if found.source else ""))
    typer.echo("any preset is a figure as well: `mftui presets`", err=True)


def _definition(name: str) -> Definition:
    """A figure's, or what a preset is shown as. Raises `PresetError`."""
    from engine.spec.defects import PresetError
    from engine.spec.preset import load, own, shipped
    from mftui.figures.charts import default_kinds
    from mftui.figures.definition import Definition, Panel, PanelRun, find, shipped_figures

    if (found := find(name)) is not None:
        return found
    if not name.endswith(".toml") and "/" not in name and name not in (*shipped(), *own()):
        from difflib import get_close_matches

        close = get_close_matches(name, [*shipped_figures(), *shipped()], n=1, cutoff=0.5)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise PresetError([f"{name}: no such figure or preset{hint}; `mftui figure list` lists the figures"])
    experiment = load(name)
    titles = {"theorem": "The theorem", "histogram": "Given the fit, and under the prior"}
    panels = tuple(Panel(kind, (PanelRun(name),), title=titles.get(kind, "")) for kind in default_kinds(experiment))
    return Definition(experiment.name, experiment.title, panels, about=experiment.about)


def _prepare(folder: Path) -> None:
    """Now, lest hours of computing end at a folder that can't be written to. Raises `RunError`."""
    from engine.runs.catalog import RunError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"--out {folder}: can't be made: {error.strerror or error}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RunError(f"--out {folder}: can't be written to")


class _Maker:
    """Makes figures one after another."""

    def __init__(self, wishes: Wishes, out: Path | None, *, run: bool, device: str, quiet: bool) -> None:
        self._wishes, self._out, self._run, self._device, self._quiet = wishes, out, run, device, quiet

    def make_all(self) -> None:
        """Every shipped figure; what fails is told, and the rest goes on."""
        from engine.runs.catalog import RunError
        from engine.runs.files import SHARED, write_atomically
        from engine.spec.defects import PresetError
        from mftui.figures.definition import figure_directory, read, shipped_figures
        from mftui.figures.files import GALLERY, gallery

        made, failures = [], {}
        for name in shipped_figures():
            try:
                made.append(self.make(read(figure_directory() / f"{name}.toml")))
            except (RunError, PresetError) as error:
                failures[name] = "; ".join(str(error).splitlines())
                typer.echo(f"error: {name}: {failures[name]}", err=True)
        if self._out is not None:
            path = self._out / GALLERY
            write_atomically(path, gallery(made, failures).encode(), SHARED)
            typer.echo(f"wrote {path}", err=True)
        if failures:
            typer.echo(f"{len(failures)} of {len(made) + len(failures)} figures failed", err=True)
            raise typer.Exit(1)

    def make(self, figure: Definition) -> Made:
        """Print a figure, and write it if that is asked for. Raises `PresetError` and `RunError`."""
        from mftui.figures.charts import charts_of_panel
        from mftui.figures.collect import needed, what_is_quick
        from mftui.figures.data import RunData
        from mftui.figures.files import Made

        wanted = needed(figure, self._wishes)
        runs = self._collect(wanted)
        parts = [(each, RunData.read(runs[index], each.experiment)) for index, each in enumerate(wanted)]
        charts = [
            chart
            for panel in figure.panels
            for chart in charts_of_panel(panel, [data for each, data in parts if each.panel is panel])
        ]
        label = what_is_quick([each.experiment for each in wanted]) if self._wishes.quick else ""
        made = Made(figure, parts, charts, label)
        _print(made)
        if self._out is not None:
            self._write(made, self._out)
        return made

    def _write(self, made: Made, folder: Path) -> None:
        from engine.runs.catalog import RunError
        from mftui.figures import drawing
        from mftui.figures.files import write

        try:
            for path in write(made, folder):
                typer.echo(f"wrote {path}", err=True)
        except OSError as error:
            raise RunError(f"{folder}: can't be written to: {error.strerror or error}") from None
        if not drawing.available():
            typer.echo(drawing.ADVICE, err=True)

    def _collect(self, wanted: Sequence[Needed]) -> list[RunDirectory]:
        """The runs, one after another; equal ones once. Raises `RunError`."""
        from engine.runs.catalog import RunError
        from mftui.figures.collect import stored

        found: list[tuple[Experiment, RunDirectory]] = []
        runs = []
        for number, each in enumerate(wanted, 1):
            experiment = each.experiment
            same = next((run for known, run in found if _alike(known, experiment)), None)
            if same is None:
                at_hand = stored(experiment)
                if not self._run:
                    if at_hand is None:
                        raise RunError(f"{experiment.name}: there is no run of it, and --no-run asks for none")
                    same = at_hand[0]
                elif at_hand is not None and at_hand[1] == "finished":
                    same = at_hand[0]
                else:
                    typer.echo(f"run {number} of {len(wanted)}: {experiment.title}", err=True)
                    same = self._compute(experiment, at_hand)
                found.append((experiment, same))
            runs.append(same)
        return runs

    def _compute(self, experiment: Experiment, at_hand: tuple[RunDirectory, str] | None) -> RunDirectory:
        """Make a run, or go on with one, or wait for the one at work. Raises `RunError` unless it finishes."""
        from engine.runs.catalog import RunError
        from engine.runs.directory import RunDirectory
        from mftui.cli.watch import EXIT_INTERRUPTED, see_to_its_end

        run, kind = at_hand or (RunDirectory.create(experiment, self._device, workers=0), "to go on with")
        live = see_to_its_end(run, ours=kind != "at work", quiet=self._quiet)
        if live.state == "finished":
            return run
        if live.state == "failed":
            raise RunError(f"{run.name}: {live.message}")
        typer.echo(f"{run.name}: {live.state}; the same command goes on with it", err=True)
        raise typer.Exit(EXIT_INTERRUPTED)


def _alike(one: Experiment, other: Experiment) -> bool:
    return (one.points, one.over, one.seeds, one.methods) == (other.points, other.over, other.seeds, other.methods)


def _print(made: Made) -> None:
    """Charts, tables and verdicts on stdout; what to be wary of on stderr."""
    from rich.console import Console
    from rich.text import Text

    from mftui.cli.charts import print_chart
    from mftui.cli.watch import PIPED_WIDTH
    from mftui.formatting import results_table

    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    figure = made.figure
    console.print(made.title, style="bold", markup=False, highlight=False, soft_wrap=True)
    if figure.source:
        console.print(figure.source, style="dim", markup=False, highlight=False, soft_wrap=True)
    for chart in made.charts:
        typer.echo("")
        print_chart(chart)
    typer.echo("")
    for about, data in made.runs:
        console.print(results_table(made.titled(about, data.experiment), data.trials))
    for each in made.statements:
        which = f"{each.about}: " if len(made.runs) > 1 else ""
        told = Text.assemble((f"{which}{each.verdict.name}: ", "bold"), each.verdict.text)
        console.print(told, soft_wrap=not sys.stdout.isatty())
