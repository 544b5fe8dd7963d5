"""All runs there are: filtered, sorted, laid over one another, compared, resumed, renamed, deleted, exported."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from textual import work
from textual.binding import BindingType
from textual.timer import Timer
from textual.widget import Widget

from engine.runs import catalog, control
from engine.runs.catalog import Entry, History, RunError
from engine.runs.control import ControlError, Kind
from engine.runs.directory import RunDirectory
from mftui.curves import RunCurves
from mftui.export.contents import Contents
from mftui.export.formats import run_files
from mftui.export.writing import write_into
from mftui.plain import format_age, format_size, printable
from mftui.screens.base import key
from mftui.screens.lists import ListScreen, row_keys
from mftui.views.canvas_view import CanvasView
from mftui.views.confirm import Confirm
from mftui.views.diff import DiffScreen, differences
from mftui.views.overlay import Overlaid, Overlay, OverlayLook, mark
from mftui.views.roles import series
from mftui.views.roster import Column, Roster, Row

NO_RUNS = "no runs yet: 1 shows Explore, there r starts one"
REFRESH_SECONDS = 1.0
WIDE = 110
"""cells from which the plots stand side by side"""
PREVIEW_SECONDS = 0.15
"""the cursor rests on a run for so long before its curves are read"""
COLUMNS = (
    Column("state"),
    Column("name", least=24, keep_end=True),
    Column("preset", least=10, spare=2),
    Column("done", right=True),
    Column("device", spare=1),
    Column("started", right=True),
    Column("size", right=True, spare=3),
    Column("note", least=8),
)
_SORTED: tuple[Callable[[Entry], object], ...] = (
    lambda entry: entry.state,
    lambda entry: entry.name,
    lambda entry: entry.preset,
    lambda entry: entry.finished / max(entry.trials, 1),
    lambda entry: entry.device,
    lambda entry: entry.started,
    lambda entry: entry.size,
    lambda entry: entry.note,
)
"""what a column is sorted by"""
_STARTED = 5
_DESCENDING = frozenset({3, _STARTED, 6})
"""columns whose largest come first"""
_STATE_ROLES = {"running": "good", "finished": "good", "failed": "bad", "interrupted": "bad"}
AT_WORK = frozenset({"starting", "running", "paused", "queued"})


class RunsScreen(ListScreen):
    mode = "runs"
    columns = COLUMNS
    CSS = """
    RunsScreen #summary { height: 1; padding: 0 1; background: $panel; }
    RunsScreen #roster { height: auto; min-height: 7; max-height: 45%; }
    RunsScreen.-narrow #roster { height: 1fr; max-height: 100%; }
    RunsScreen #overlay { height: 1fr; }
    RunsScreen.-narrow #overlay { display: none; }
    RunsScreen.-narrow.-overlay #overlay { display: block; height: 1fr; }
    RunsScreen.-narrow.-overlay #roster { display: none; }
    RunsScreen.-wide.-overlay #roster { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter", "open", "Show", "show the run in Explore; one that is at work is watched there"),
        key("u", "resume", "Resume", "go on with a run that was stopped, in Explore"),
        key("space", "mark", "Mark", "mark the run, or unmark it: marked runs share the plots"),
        key("d", "diff", "Diff", "settings that differ between two marked runs, or a marked one and this"),
        key("slash", "filter", "Filter", "a regular expression for name, preset, note or state", display="/"),
        key("o", "sort(1)", "Sort", "sort by the next column; a click on a title sorts too"),
        key("O", "reverse", "Reverse", "sort the other way round", show=False),
        key("P", "pause", "Pause", "pause a run at work, or let it go on", show=False),
        key("S", "stop", "Stop", "stop a run at work; it can be resumed", show=False),
        key("R", "rename", "Rename", "give the run another name", show=False),
        key("N", "note", "Note", "write a note on the run", show=False),
        key("e", "export", "Export", "write the run's preset (TOML) and results (CSV) into a folder", show=False),
        key("delete", "delete", "Delete", "delete the run and all it holds, after a question", show=False),
        key("tab", "swap", "Plots", "the plots instead of the list, and back"),
        key("v", "view", "View", "all plots, or one of them", show=False),
        *row_keys("run", "a page of runs up", "a page of runs down"),
        key("left,h", "cursor(-1)", "Read back", "values at an earlier step; a click in a plot too", show=False,
            display="←"),
        key("right,l", "cursor(1)", "Read on", "values at a later step", show=False, display="→"),
        key("left_square_bracket", "point(-1)", "Previous point", "previous sweep point", show=False, display="["),
        key("right_square_bracket", "point(1)", "Next point", "next sweep point", show=False, display="]"),
        key("left_curly_bracket", "seed(-1)", "Previous seed", "previous data set", show=False, display="{"),
        key("right_curly_bracket", "seed(1)", "Next seed", "next data set", show=False, display="}"),
        key("escape", "leave", "Back", "one thing after the other: the reading, the plots, the filter, the marks",
            show=False),
        key("y", "log_y", "Log y", "values on a log or a linear axis", show=False),
        key("x", "log_x", "Log x", "steps on a log or a linear axis", show=False),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.roster.empty = NO_RUNS
        self.overlay = Overlay(id="overlay")
        self.look = OverlayLook()
        self.marks: dict[Path, int] = {}
        """marked runs, each with its colour"""
        self._entries: dict[Path, Entry] = {}
        self._history = History()
        self._curves: dict[Path, RunCurves | str] = {}
        """of the runs in the plots; or why there are none"""
        self._overlaid: list[Overlaid] = []
        self._sorted_by, self._descending = _STARTED, True
        self._reading, self._drawing = asyncio.Lock(), asyncio.Lock()
        self._timer: Timer | None = None
        self._preview: Timer | None = None

    def body(self) -> list[Widget]:
        return [self._summary, self.roster, self.overlay, self.prompt]

    def on_mount(self) -> None:
        self._timer = self.set_interval(REFRESH_SECONDS, self._refresh_soon, pause=True)

    def on_screen_resume(self) -> None:
        self.refresh_runs()
        if self._timer is not None:
            self._timer.resume()

    def on_screen_suspend(self) -> None:
        if self._timer is not None:
            self._timer.pause()

    def on_resize(self) -> None:
        self._show_overlay()

    # --- what is shown -----------------------------------------------------------------------------------------------

    @property
    def current(self) -> Entry | None:
        """The run under the cursor."""
        row = self.roster.current
        return self._entries.get(row.key) if row and isinstance(row.key, Path) else None

    def _refresh_soon(self) -> None:
        if not self._reading.locked():  # a slow disk: this second's reading is left out
            self.refresh_runs()

    @work
    async def refresh_runs(self) -> None:
        """Read the list and what is new of the plotted runs, aside."""
        await self._refresh()

    async def _refresh(self) -> None:
        async with self._reading:
            found = await asyncio.to_thread(self._history.entries)
            self._entries = {entry.path: entry for entry in found}
            self.marks = {path: slot for path, slot in self.marks.items() if path in self._entries}
        self.show_list()
        await self._draw()

    def show_list(self) -> None:
        if not self.is_mounted:
            return
        shown = [each for each in self._entries.values() if self.matches(each.name, each.preset, each.note, each.state)]
        shown.sort(key=lambda entry: entry.name)
        shown.sort(key=_SORTED[self._sorted_by], reverse=self._descending)  # type: ignore[arg-type]
        now = time.time()
        self.roster.empty = "no run matches; escape shows all" if self._entries else NO_RUNS
        self.roster.show([self._row(entry, now) for entry in shown], self._sorted_by, descending=self._descending)
        self._tell()

    def _tell(self) -> None:
        shown = [self._entries[row.key] for row in self.roster.rows if row.key in self._entries]
        total, alive = len(self._entries), sum(entry.state in AT_WORK for entry in self._entries.values())
        self.tell(
            [
                f"{len(shown)} of {total} runs" if self._filter else f"{total} run{'s' if total != 1 else ''}",
                f"{alive} at work" if alive else "",
                format_size(sum(entry.size for entry in shown)) if shown else "",
                self.filter_shown,
                f"{len(self.marks)} marked" if self.marks else "",
                f"plots of {where}" if (where := self._trial_shown()) else "",
            ]
        )

    def _trial_shown(self) -> str:
        """Which sweep point and data set, where there are several."""
        points = max((run.curve.points for run in self._overlaid), default=1)
        seeds = max((run.curve.seeds for run in self._overlaid), default=1)
        parts = [f"point {self.look.point + 1}/{points} ([ ])"] if points > 1 else []
        return ", ".join([*parts, *([f"data set {self.look.seed + 1}/{seeds} ({{ }})"] if seeds > 1 else [])])

    def _row(self, entry: Entry, now: float) -> Row:
        slot = self.marks.get(entry.path)
        return Row(
            key=entry.path,
            cells=(
                entry.state,
                printable(entry.name),
                printable(entry.preset),
                f"{entry.finished}/{entry.trials}",
                printable(entry.device),
                format_age(entry.started, now),
                format_size(entry.size),
                printable(entry.note),
            ),
            roles=(_STATE_ROLES.get(entry.state, "training"), "", "label", "", "label", "label", "label", "label"),
            mark="" if slot is None else mark(slot),
            mark_role="" if slot is None else series(slot),
        )

    # --- plots -------------------------------------------------------------------------------------------------------

    @work(exclusive=True, group="draw")
    async def draw_runs(self) -> None:
        await self._draw()

    async def _draw(self) -> None:
        """Read what is new of the runs in the plots: the marked ones, or else the one under the cursor."""
        current = self.current
        wanted = dict(self.marks) or ({current.path: 0} if current else {})
        async with self._drawing:
            self._overlaid = await asyncio.to_thread(self._read_curves, wanted)
        points = max((run.curve.points for run in self._overlaid), default=1)
        seeds = max((run.curve.seeds for run in self._overlaid), default=1)
        self.look = replace(self.look, point=min(self.look.point, points - 1), seed=min(self.look.seed, seeds - 1))
        self._tell()
        self._show_overlay()

    def _read_curves(self, wanted: dict[Path, int]) -> list[Overlaid]:
        self._curves = {path: curves for path, curves in self._curves.items() if path in wanted}
        for path in wanted:
            if path not in self._curves:
                try:
                    self._curves[path] = RunCurves(path)
                except RunError as error:
                    self._curves[path] = str(error)
        found = []
        for path, slot in sorted(wanted.items(), key=lambda item: item[1]):
            curves = self._curves[path]
            if isinstance(curves, RunCurves):
                with suppress(OSError):  # deleted or renamed elsewhere, just now
                    curves.poll()
                found.append(Overlaid(slot, path.name, curves.trial(self.look.point, self.look.seed)))
        return found

    def _show_overlay(self) -> None:
        if not self.is_mounted or not self.overlay.display:
            return
        view = max(self._first_view, self.look.view)
        self.overlay.show_runs(self._overlaid, replace(self.look, view=view))

    def on_roster_moved(self) -> None:
        if self.marks:
            return
        if self._preview is not None:
            self._preview.stop()
        self._preview = self.set_timer(PREVIEW_SECONDS, self.draw_runs)

    def on_canvas_view_pointed(self, event: CanvasView.Pointed) -> None:
        self._look(cursor=event.x)

    def _look(self, **changes: object) -> None:
        self.look = replace(self.look, **changes)  # type: ignore[arg-type]
        self._show_overlay()

    @property
    def _first_view(self) -> int:
        """All plots at once only where there is room."""
        return 1 if self.size.width < WIDE else 0

    def action_view(self) -> None:
        first = self._first_view
        view = max(first, self.look.view) + 1
        self._look(view=first if view > len(self.overlay.panes) else view)

    def action_swap(self) -> None:
        self.toggle_class("-overlay")
        self.call_after_refresh(self._show_overlay)

    def action_log_y(self) -> None:
        self._look(other_y=not self.look.other_y)

    def action_log_x(self) -> None:
        self._look(log_x=not self.look.log_x)

    def action_cursor(self, by: int) -> None:
        if not (tables := [run.curve.table[:, 0] for run in self._overlaid if len(run.curve.table)]):
            return
        steps = np.unique(np.concatenate(tables))
        at = len(steps) if self.look.cursor is None else int(np.abs(steps - self.look.cursor).argmin())
        self._look(cursor=float(steps[max(0, min(at + by, len(steps) - 1))]))

    def action_point(self, by: int) -> None:
        self._go(point=(self.look.point + by) % max((run.curve.points for run in self._overlaid), default=1))

    def action_seed(self, by: int) -> None:
        self._go(seed=(self.look.seed + by) % max((run.curve.seeds for run in self._overlaid), default=1))

    def _go(self, **changes: int) -> None:
        self.look = replace(self.look, **changes)  # type: ignore[arg-type]
        self.draw_runs()

    # --- the list ----------------------------------------------------------------------------------------------------

    def action_page(self, by: int) -> None:
        self.roster.move(by * self.roster.page)

    def on_roster_chosen(self) -> None:
        self.action_open()

    def on_roster_title_clicked(self, event: Roster.TitleClicked) -> None:
        if event.column == self._sorted_by:
            self.action_reverse()
        else:
            self._sort_by(event.column)

    def action_sort(self, by: int) -> None:
        self._sort_by((self._sorted_by + by) % len(COLUMNS))

    def _sort_by(self, column: int) -> None:
        self._sorted_by, self._descending = column, column in _DESCENDING
        self.show_list()

    def action_reverse(self) -> None:
        self._descending = not self._descending
        self.show_list()

    def action_mark(self) -> None:
        if (current := self.current) is None:
            return
        if current.path in self.marks:
            del self.marks[current.path]
        else:
            taken = set(self.marks.values())
            self.marks[current.path] = next(slot for slot in range(len(taken) + 1) if slot not in taken)
        self.show_list()
        self.draw_runs()

    def action_leave(self) -> None:
        if self.look.cursor is not None:
            self._look(cursor=None)
        elif self.has_class("-overlay"):
            self.action_swap()
        elif self._filter:
            self.filter_by("")
        elif self.marks:
            self.marks = {}
            self.show_list()
            self.draw_runs()

    # --- a run -------------------------------------------------------------------------------------------------------

    def action_open(self) -> None:
        self._with_run(self._open)

    async def _open(self, entry: Entry) -> None:
        live = self.lab.session.live
        if live is not None and live.run.path == entry.path:
            await self.app.switch_mode("explore")
            return
        run = await asyncio.to_thread(RunDirectory.open, entry.path)
        if await self.lab.may_leave():
            await self.app.switch_mode("explore")
            self.lab.watch_run(run)

    def action_resume(self) -> None:
        self._with_run(self._resume)

    async def _resume(self, entry: Entry) -> None:
        if catalog.is_alive(entry.path):
            raise RunError(f"{entry.name}: is at work; enter shows it")
        if catalog.state(entry.path) == "finished":
            raise RunError(f"{entry.name}: is finished; enter shows it")
        run = await asyncio.to_thread(RunDirectory.open, entry.path)
        if await self.lab.may_leave():
            await self.app.switch_mode("explore")
            self.lab.go_on(run)

    def action_pause(self) -> None:
        self._with_run(lambda entry: self._ask(entry, "continue" if entry.state == "paused" else "pause"))

    def action_stop(self) -> None:
        self._with_run(lambda entry: self._ask(entry, "stop"))

    async def _ask(self, entry: Entry, kind: Kind) -> None:
        if not await asyncio.to_thread(catalog.is_alive, entry.path):
            raise RunError(f"{entry.name}: is not at work, but {catalog.state(entry.path)}")
        try:
            await asyncio.to_thread(control.ask, entry.path, kind)
        except ControlError as error:
            raise RunError(f"{entry.name}: {error}") from None
        self.notify(f"{printable(entry.name)}: asked to {kind}", timeout=2)
        await self._refresh()

    def action_rename(self) -> None:
        self._with_run(self._rename)

    async def _rename(self, entry: Entry) -> None:
        name = await self.prompt.ask("new name", entry.name)
        if name is None or name == entry.name:
            return
        target, shown = entry.path, self._let_go(entry)
        try:
            target = await asyncio.to_thread(catalog.rename, entry.path, name)
        finally:
            if shown:
                self.lab.watch_run(await asyncio.to_thread(RunDirectory.open, target))
        if entry.path in self.marks:
            self.marks[target] = self.marks.pop(entry.path)
        self._entries = {
            target if path == entry.path else path: replace(each, path=target) if path == entry.path else each
            for path, each in self._entries.items()
        }
        await self._refresh()

    def _let_go(self, entry: Entry) -> bool:
        """Before a run's folder goes away: nobody reads in it any more; whether Explore showed it."""
        showed = False
        for session in (self.lab.session, self.lab.tour_session):
            if session.live is not None and session.live.run.path == entry.path and session.live.over:
                session.live, showed = None, showed or session is self.lab.session
        return showed

    def action_note(self) -> None:
        self._with_run(self._note)

    async def _note(self, entry: Entry) -> None:
        text = await self.prompt.ask("note", entry.note)
        if text is not None:
            await asyncio.to_thread(catalog.write_note, entry.path, text.strip())
            await self._refresh()

    def action_delete(self) -> None:
        self._with_run(self._delete)

    async def _delete(self, entry: Entry) -> None:
        if catalog.is_alive(entry.path):
            raise RunError(f"{entry.name}: is at work; stop it first")
        done = f"{entry.state}, {entry.finished} of {entry.trials} trials, {format_size(entry.size)}"
        lines = [printable(entry.name), done, *([f"note: {printable(entry.note)}"] if entry.note else [])]
        if await self.app.push_screen_wait(Confirm("delete this run for good?", lines, "delete")):
            if self._let_go(entry):
                self.lab.error = f"{entry.name} was deleted; r starts another run"
            await asyncio.to_thread(catalog.remove, entry.path)
            self.notify(f"deleted {printable(entry.name)}", timeout=3)
            await self._refresh()

    def action_export(self) -> None:
        self._with_run(self._export)

    async def _export(self, entry: Entry) -> None:
        given = await self.prompt.ask("export to the folder", str(Path.cwd()))
        if given is None:
            return
        folder = Path(given).expanduser()
        files = await asyncio.to_thread(lambda: run_files(Contents(RunDirectory.open(entry.path))))
        if await self.may_replace([folder / name for name in files]):
            written = await asyncio.to_thread(write_into, folder, files, make=True)
            self.notify("\n".join(printable(str(path)) for path in written), title="exported")

    def action_diff(self) -> None:
        self._with_run(self._diff)

    async def _diff(self, entry: Entry) -> None:
        paths = sorted(self.marks, key=self.marks.__getitem__)
        if len(paths) == 1 and entry.path not in paths:
            paths.append(entry.path)
        if len(paths) != 2:
            raise RunError(f"{len(paths)} runs are marked, a diff takes two: mark them with space")
        one, other = [await asyncio.to_thread(RunDirectory.open, path) for path in paths]
        names = printable(one.name), printable(other.name)
        self.app.push_screen(DiffScreen(names, differences(one.experiment, other.experiment)))

    def _with_run(self, act: Callable[[Entry], Coroutine[object, object, None]]) -> None:
        """Do something with the run under the cursor."""
        if (current := self.current) is None:
            self.notify("there is no run here")
        else:
            self.act(act(current))
