"""Presets, shipped and the user's own: read, start, edit a copy, save, export."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widget import Widget

from engine.runs.files import write_atomically
from engine.spec import preset
from engine.spec.defects import PresetError
from engine.spec.experiment import Experiment
from mftui.export.formats import preset_files
from mftui.export.writing import write_into
from mftui.plain import printable
from mftui.screens.base import key
from mftui.screens.lists import ListScreen, row_keys
from mftui.views.confirm import Confirm
from mftui.views.preset_page import PresetPage
from mftui.views.roster import Column, Row

COLUMNS = (Column("preset", least=20), Column(""), Column("what it shows", least=10))
_LONGEST_NAME = 100
"""characters"""


@dataclass(frozen=True)
class Listed:
    """A preset of the list."""

    name: str
    path: Path
    own: bool
    content: Experiment | str
    """what is wrong where it is no experiment"""

    @property
    def title(self) -> str:
        return self.content.title if isinstance(self.content, Experiment) else "can't be read"


class PresetsScreen(ListScreen):
    mode = "presets"
    columns = COLUMNS
    CSS = """
    PresetsScreen #summary { height: 1; padding: 0 1; background: $panel; }
    PresetsScreen #both { height: 1fr; }
    PresetsScreen.-wide #roster { width: 2fr; max-width: 76; }
    PresetsScreen.-wide #page { width: 3fr; }
    PresetsScreen.-narrow #page { display: none; }
    PresetsScreen.-narrow.-page #page { display: block; }
    PresetsScreen.-narrow.-page #roster { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter", "start", "Start", "start the preset in Explore; a run of this session that goes on is stopped"),
        key("e", "edit", "Edit a copy", "put the preset into Explore's form, without starting it"),
        key("w", "save", "Save", "save what is in Explore's form as a preset of your own"),
        key("x", "export", "Export", "write the preset, with all it extends merged in, as a TOML file"),
        key("delete", "delete", "Delete", "delete a preset of your own, after a question", show=False),
        key("slash", "filter", "Filter", "a regular expression for name and title", display="/"),
        key("tab", "swap", "Read", "where there is room for one only: the text instead of the list"),
        *row_keys("preset", "scroll the text back by a screenful", "scroll the text by a screenful"),
        key("escape", "leave", "Back", "from the text to the list; then all presets again", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._listed: dict[str, Listed] = {}
        self._known: dict[Path, tuple[int, Listed]] = {}
        self.page = PresetPage(id="page")

    def body(self) -> list[Widget]:
        return [self._summary, Horizontal(self.roster, self.page, id="both"), self.prompt]

    def on_screen_resume(self) -> None:
        self.refresh_presets()

    # --- what is shown -----------------------------------------------------------------------------------------------

    @property
    def current(self) -> Listed | None:
        """The preset under the cursor."""
        row = self.roster.current
        return self._listed.get(str(row.key)) if row else None

    @work(exclusive=True, group="read")
    async def refresh_presets(self) -> None:
        """Read what has changed, aside."""
        await self._refresh()

    async def _refresh(self) -> None:
        self._listed = await asyncio.to_thread(self._read)
        self.show_list()

    def _read(self) -> dict[str, Listed]:
        found = {}
        for folder, names in ((preset.preset_directory(), preset.shipped()), (preset.own_directory(), preset.own())):
            for name in names:
                path = folder / f"{name}.toml"
                changed = path.stat().st_mtime_ns if path.exists() else 0
                known = self._known.get(path)
                if known is None or known[0] != changed:
                    self._known[path] = known = changed, _listed(name, path, own=folder == preset.own_directory())
                found[name] = known[1]
        return found

    def show_list(self) -> None:
        if not self.is_mounted:
            return
        shown = [each for each in self._listed.values() if self.matches(each.name, each.title)]
        self.roster.empty = "no preset matches; escape shows all"
        self.roster.show([_row(each) for each in shown])
        own = sum(each.own for each in self._listed.values())
        count = f"{len(shown)} of {len(self._listed)} presets" if self._filter else f"{len(self._listed)} presets"
        yours = f"{own} your own, in {printable(str(preset.own_directory()))}" if own else ""
        self.tell([count, yours, self.filter_shown])
        self.on_roster_moved()

    def on_roster_moved(self) -> None:
        if (current := self.current) is not None:
            self.page.show(current.name, str(current.path) if current.own else "shipped", current.content)

    # --- the list ----------------------------------------------------------------------------------------------------

    def action_page(self, by: int) -> None:
        self.page.scroll_relative(y=by * max(1, self.page.size.height - 1), animate=False)

    def on_roster_chosen(self) -> None:
        self.action_start()

    def action_swap(self) -> None:
        self.toggle_class("-page")

    def action_leave(self) -> None:
        if self.has_class("-page"):
            self.remove_class("-page")
        elif self._filter:
            self.filter_by("")

    # --- a preset ----------------------------------------------------------------------------------------------------

    def action_start(self) -> None:
        self._with_experiment(self._start)

    async def _start(self, experiment: Experiment) -> None:
        if await self.lab.may_leave():
            await self.app.switch_mode("explore")
            self.lab.begin(experiment)

    def action_edit(self) -> None:
        self._with_experiment(self._edit)

    async def _edit(self, experiment: Experiment) -> None:
        await self.app.switch_mode("explore")
        self.lab.explore.edit(experiment)
        self.notify("enter starts it, with what you change", title=f"{experiment.name} is in the form", timeout=4)

    def action_export(self) -> None:
        self._with_experiment(self._export)

    async def _export(self, experiment: Experiment) -> None:
        given = await self.prompt.ask("export to the file", str(Path.cwd() / f"{experiment.name}.toml"))
        if not given:
            return
        path = Path(given).expanduser()
        path = path / f"{experiment.name}.toml" if path.is_dir() else path
        files = await asyncio.to_thread(preset_files, experiment, path.name)
        if await self.may_replace([path.parent / name for name in files]):
            written = await asyncio.to_thread(write_into, path.parent, files)
            self.notify("\n".join(printable(str(each)) for each in written), title="exported")

    def action_save(self) -> None:
        self.act(self._save())

    async def _save(self) -> None:
        experiment = self._in_explore()
        suggested = experiment.name if experiment.name in preset.own() else f"{experiment.name}-mine"
        name = await self.prompt.ask("save Explore's experiment as", suggested, wrong_name)
        if name is not None and await self.may_replace([preset.own_directory() / f"{name}.toml"]):
            await asyncio.to_thread(save, experiment, name)
            await self._refresh()
            self._go_to(name)
            self.notify(f"mftui run {printable(name)} starts it too", title=f"saved {printable(name)}")

    def _in_explore(self) -> Experiment:
        """What Explore's form says. Raises `PresetError` if that can't run."""
        if (experiment := self.lab.explore.form.check()) is None:
            raise PresetError(["Explore's form has something that can't run; there it says what"])
        return experiment

    def action_delete(self) -> None:
        self.act(self._delete())

    async def _delete(self) -> None:
        if (current := self.current) is None:
            return
        if not current.own:
            raise PresetError([f"{current.name}: is a shipped preset, which stays"])
        lines = [printable(current.name), printable(current.title), printable(str(current.path))]
        if await self.app.push_screen_wait(Confirm("delete this preset for good?", lines, "delete")):
            await asyncio.to_thread(current.path.unlink)
            await self._refresh()

    def _go_to(self, name: str) -> None:
        keys = [row.key for row in self.roster.rows]
        if name in keys:
            self.roster.move(keys.index(name) - self.roster.cursor)

    def _with_experiment(self, act: Callable[[Experiment], Coroutine[object, object, None]]) -> None:
        if (current := self.current) is None:
            self.notify("there is no preset here")
        elif isinstance(current.content, Experiment):
            self.act(act(current.content))
        else:
            self.notify(printable(current.content), severity="error")


def wrong_name(name: str) -> str:
    """What is wrong with the name of a preset to be; empty if nothing is."""
    if not name or not name.isprintable() or "/" in name or name[0] in ".-" or name.strip() != name:
        return "expected a name without / and control characters, not beginning with a dot, a dash or a space"
    if len(name) > _LONGEST_NAME:
        return f"expected a name of at most {_LONGEST_NAME} characters"
    if name.endswith(".toml"):
        return "expected a name without .toml: it is added"
    return f"{name} is a shipped preset; expected another name" if name in preset.shipped() else ""


def save(experiment: Experiment, name: str) -> Path:
    """Write an experiment as the user's own preset, for the user's eyes only; replaces one of that name.

    Raises `PresetError` if the name is none or what is written would not read back, OSError if it can't be written.
    """
    if wrong := wrong_name(name):
        raise PresetError([f"{name!r}: {wrong}"])
    text = preset.dump(experiment)
    preset.parse(text, name)
    folder = preset.own_directory()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(folder / f"{name}.toml", text.encode())
    return folder / f"{name}.toml"


def _listed(name: str, path: Path, *, own: bool) -> Listed:
    try:
        return Listed(name, path, own, preset.load(path, name=name))
    except PresetError as error:
        return Listed(name, path, own, str(error))


def _row(listed: Listed) -> Row:
    role = "label" if isinstance(listed.content, Experiment) else "bad"
    yours = "yours" if listed.own else ""
    return Row(listed.name, (printable(listed.name), yours, printable(listed.title)), ("", "good", role))
