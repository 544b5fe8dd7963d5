"""The explorer: five screens over one session. Opening it starts the experiment; quitting stops what it started."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.events import Event, Key
from textual.notifications import SeverityLevel
from textual.screen import Screen

from engine.home import home_directory
from engine.runs.catalog import RunError
from engine.runs.control import ControlError, Kind
from engine.runs.directory import RunDirectory
from engine.runs.launch import Spare
from engine.spec.experiment import Experiment
from mftui import palette
from mftui.encoding import knows_unicode
from mftui.frame import Frame
from mftui.keymap import KeymapError, bound, complaints, keymap_file, load_keymap
from mftui.plain import printable
from mftui.screens.base import SCREENS, LabScreen, key
from mftui.screens.explore import ExploreScreen
from mftui.session import Session
from mftui.terminal import CountingDriver, Governor, rate_for, ssh_link
from mftui.themes import SIXTEEN_DARK, SIXTEEN_LIGHT
from mftui.views.confirm import Confirm
from mftui.views.help_screen import HelpScreen
from mftui.views.palette_screen import PaletteScreen
from mftui.views.roles import few_colors

if TYPE_CHECKING:
    from mftui.export.formats import Files

FRAMES_A_SECOND = 10
LOW_BANDWIDTH_FRAMES = 2
SPARE_SECONDS = 3.0
"""after a start until a spare worker is made ready: the run at work comes first"""
GARBAGE = 200_000, 10, 100
"""new objects, and collections of the younger ones, until one comes by itself: drawing the whole screen makes 20,000,
and a key waits for a collection"""
TIDY_SECONDS, HANDS_OFF_SECONDS = 20.0, 2.0
"""between two full collections; and since the last key, or there is none"""
KEY_SECONDS = 0.05
"""that a key has before a frame may be drawn"""
AHEAD_SECONDS = 1.0
"""between two screens that are made before they are asked for: each takes 0.1 s, and no key should wait for two"""
COMPLAINT_SECONDS = 20.0
LINK_SECONDS = 1.0
"""between two readings of frames and bytes a second"""


def _kind_of_screen(mode: str) -> type[LabScreen]:
    """Imported only here: the first picture does without the others."""
    return cast("type[LabScreen]", getattr(import_module(f"mftui.screens.{mode}"), f"{mode.title()}Screen"))


def _screen(mode: str) -> Callable[[], Screen[Any]]:
    return lambda: _kind_of_screen(mode)()


class Explorer(App[None]):
    TITLE = "mftui"
    CSS = """
    Explorer { background: $background; }
    Explorer:light Keys .keys--key { color: $primary; } /* Textual's own is too light for its ground */
    ModalScreen { background: transparent; } /* dimmed, all cells would be sent */
    /* notices: a strip over the footer, which covers no plot; more than a line only where the text is longer */
    ToastRack { margin-bottom: 0; max-height: 50%; scrollbar-size: 0 0; }
    Toast { width: auto; max-width: 100%; margin-top: 0; padding: 0 1; }
    /* of 16 colours, a third of the letters' comes out as the light grey that nobody sees on white */
    Explorer.-few-colors Pane:blur, Explorer.-few-colors Form, Explorer.-few-colors PresetPage,
    Explorer.-few-colors SweepScreen #table, Explorer.-few-colors SweepScreen #readout { border: round $scrollbar; }
    Explorer:nocolor Pane:focus, Explorer:nocolor Form:focus-within { border: heavy $primary; }
    Explorer.-few-colors Form:focus-within { border: round $primary; }
    Explorer.-few-colors Form #note { border-top: solid $scrollbar; }
    """
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {mode: _screen(mode) for mode in SCREENS}
    DEFAULT_MODE = "explore"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            key(str(number), f"switch_mode('{mode}')", name, f"the screen {name}", show=False)
            for number, (mode, name) in enumerate(SCREENS.items(), 1)
        ),
        key("question_mark", "help", "Help", "the keys of this screen", display="?"),
        key("ctrl+p", "command_palette", "Palette", "every action by name", show=False, display="ctrl+p"),
        key("ctrl+s", "save_screen", "Save screen", "write what is on the screen as SVG and as text", show=False),
        key("ctrl+l", "redraw", "Redraw", "send the whole screen again", show=False),
        key("q", "quit", "Quit", "stop the run and leave; how to go on is printed"),
    ]

    def __init__(
        self,
        experiment: Experiment,
        device: str,
        *,
        low_bandwidth: bool = False,
        max_rate: int | None = None,
        spare: Spare | None = None,
    ) -> None:
        """`spare` is a worker that has begun to load, for the first run."""
        super().__init__(driver_class=CountingDriver)
        self.animation_level = "none"
        if few_colors():
            dark = self.current_theme.dark
            for theme in (SIXTEEN_DARK, SIXTEEN_LIGHT):
                self.register_theme(theme)
            self.theme = (SIXTEEN_DARK if dark else SIXTEEN_LIGHT).name
            self.add_class("-few-colors")
        self.experiment = experiment
        self.session = Session(device, spare)
        self.tour_session = self.session.beside()
        """the Tour's runs are its own: Explore and Sweep show what they showed"""
        self.sent = Frame()
        self.governor = Governor(rate_for(ssh_link(), low_bandwidth=low_bandwidth, max_rate=max_rate))
        self.governor.arrived = self.catch_up
        self.error = ""
        """why the last start failed"""
        self.link = ""
        """frames and bytes a second, lately"""
        self._frames = 0
        self._low_bandwidth = low_bandwidth
        self._stale = False
        self._pressed = 0.0
        """when the last key was"""
        self._put_off = False
        """whether the frame before was left out for a key"""
        self._may_yield = False
        """whether a frame is being drawn that has not been put off yet"""
        self._owing = False
        """whether the terminal has not been sent all that is to be seen"""

    def on_mount(self) -> None:
        frames = LOW_BANDWIDTH_FRAMES if self._low_bandwidth else FRAMES_A_SECOND
        self.set_interval(1 / frames, self._frame)
        self.set_interval(LINK_SECONDS, self._read_link)
        self._take_keymap()
        self.theme_changed_signal.subscribe(self, lambda _: self._show())
        self.app_resume_signal.subscribe(self, lambda _: self.action_redraw())
        self.call_after_refresh(self.begin, self.experiment)  # the first picture does not wait for it

    def _take_keymap(self) -> None:
        try:
            self.set_keymap(keymap := load_keymap())
        except KeymapError as error:
            self.notify(str(error), severity="error")
            return
        if keymap:
            screens = {name: self._keys_on(_kind_of_screen(mode)) for mode, name in SCREENS.items()}
            for complaint in complaints(keymap, screens):
                self.notify(complaint, title=str(keymap_file()), severity="warning", timeout=COMPLAINT_SECONDS)

    def _keys_on(self, *owners: type[DOMNode]) -> list[list[Binding]]:
        """Of a screen and what it has, then the app's."""
        mine = [each for owner in owners for each in owner.BINDINGS if isinstance(each, Binding)]
        return [mine, [each for each in self.BINDINGS if isinstance(each, Binding)]]

    def on_ready(self) -> None:
        sys.setswitchinterval(0.001)  # 5 ms, Python's default, is what a key waits for while numbers are read
        self.call_after_refresh(self._settle)

    def _settle(self) -> None:
        gc.collect()
        gc.freeze()  # or each full collection goes through every import and widget: a pause of 90 ms
        gc.set_threshold(*GARBAGE)
        gc.enable()
        self.set_interval(TIDY_SECONDS, self._tidy)
        self._ahead = self.set_interval(AHEAD_SECONDS, self._make_ahead)

    async def _make_ahead(self) -> None:
        """Make the next screen that nobody has gone to yet, while no hand is on the keys and the run is at work.

        As Textual does, but the screen is not told that it is the one shown: it would begin to read and to run things.
        """
        live = self.session.live
        if not self._running:  # it closes: the stacks are being gone through
            return
        if time.monotonic() - self._pressed < HANDS_OFF_SECONDS or (live is None or live.state == "starting"):
            return
        if missing := [mode for mode in SCREENS if mode not in self._screen_stacks]:
            screen, mounted = self._get_screen(_kind_of_screen(missing[0])())
            self._load_screen_css(screen)
            self._screen_stacks[missing[0]] = [screen]
            await mounted
            screen._refresh_layout(self.size)
            return
        for mode in SCREENS:  # the CSS that came with each is read; the screens are styled when they are gone to
            self.get_screen_stack(mode)[0]._css_update_count = self._css_update_count
        self._ahead.stop()
        gc.collect()  # what is frozen as garbage would be kept for good
        gc.freeze()

    def delay_update(self, delay: float = 0.05) -> None:
        """Not once all screens are made, when going to one takes but a picture: Textual waits for so long before it."""
        if len(self._screen_stacks) < len(SCREENS):
            super().delay_update(delay)

    def _tidy(self) -> None:
        if time.monotonic() - self._pressed > HANDS_OFF_SECONDS:
            gc.collect()

    async def on_event(self, event: Event) -> None:
        if isinstance(event, Key):
            self._pressed = time.monotonic()
        await super().on_event(event)

    @property
    def lab_screen(self) -> LabScreen | None:
        """The screen under any dialog; None at the very end."""
        below = next(iter(self.screen_stack), None)
        return below if isinstance(below, LabScreen) else None

    @property
    def explore(self) -> ExploreScreen:
        """The first screen, shown or not: it takes up whatever is started."""
        return cast("ExploreScreen", self.get_screen_stack("explore")[0])

    # --- the run -----------------------------------------------------------------------------------------------------

    def begin(self, experiment: Experiment) -> None:
        """Stop the run that goes on, if it was started here, and start another."""
        self.run_worker(self._enter(experiment, lambda: self.session.start(experiment)))

    def go_on(self, run: RunDirectory) -> None:
        """Resume a run here."""
        self.run_worker(self._enter(run.experiment, lambda: self.session.go_on(run)))

    def watch_run(self, run: RunDirectory) -> None:
        """Show a run that is at work elsewhere, or over."""
        self.run_worker(self._enter(run.experiment, lambda: self.session.watch(run)))

    async def _enter(self, experiment: Experiment, enter: Callable[[], Awaitable[None]]) -> None:
        self.error, self.experiment = "", experiment
        try:
            await enter()
        except (RunError, OSError) as error:
            self.error = str(error)
        self.explore.take_up()
        self._show()
        self.keep_spare()

    def keep_spare(self) -> None:
        """Have a worker ready for the next start, in a while."""
        self.set_timer(SPARE_SECONDS, self.session.keep_spare)

    async def take_over(self) -> None:
        """Show the Tour's run in Explore, as if it had been begun there."""
        if (live := self.tour_session.live) is not None:
            await self._enter(live.experiment, lambda: self.session.take_over(self.tour_session))

    async def may_leave(self) -> bool:
        """Ask, if a run that was started here is at work and another is to be opened. Only in a worker."""
        live = self.session.live
        if live is None or not self.session.at_work_here:
            return True
        lines = [printable(live.run.name), "is at work, and is stopped for another; `u` in Runs goes on with it"]
        return await self.push_screen_wait(Confirm("stop this run?", lines, "stop it"))

    async def ask(self, kind: Kind, value: float | None = None) -> None:
        """Ask the worker for something; what goes wrong is shown."""
        try:
            await self.session.ask(kind, value)
        except (ControlError, OSError) as error:
            self.notify(f"the worker can't be asked: {error}", severity="error")

    def leave_running(self) -> None:
        """Quit, the run going on by itself."""
        self.session.detach()
        self.run_worker(self.action_quit())

    # --- frames ------------------------------------------------------------------------------------------------------

    def _frame(self) -> None:
        if time.monotonic() - self._pressed < KEY_SECONDS and not self._put_off:
            self._put_off = True  # once: while a key is held down, all goes on
            return
        self._put_off, self._may_yield = False, not self._put_off
        self.catch_up()
        shown = self.lab_screen.session if self.lab_screen else self.session
        for session in (self.session, self.tour_session):
            if session is shown:
                self._stale = session.poll() or self._stale
            elif session.at_work:
                session.poll()
        if self._stale and self.governor.has_room():
            self._show()
        self._may_yield = False

    def yields(self) -> bool:
        """Whether the rest of a frame is left out for a key that has come meanwhile; the next frame draws it."""
        if not self._may_yield or self.governor.key_read <= self._pressed:
            return False
        self._stale = self._put_off = True
        return True

    def _show(self) -> None:
        """Bring the screen up to date; its widgets send only what changed."""
        self._stale = False
        self._frames += 1
        if (screen := self.lab_screen) is not None:
            screen.show()

    def _read_link(self) -> None:
        rate = self.governor.measured()
        low = "low bandwidth · " if self._low_bandwidth or self.governor.slow else ""
        self.link = f"{low}{self._frames / LINK_SECONDS:.0f} fps {rate / 1000:.1f} KB/s"
        self._frames = 0

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        """On a slow link, in pieces, and only what is last to be seen."""
        if isinstance(renderable, (ChopsUpdate, LayoutUpdate)):
            if not self.governor.has_arrived():
                self._owing = True
                return
            self.sent.dark = self.current_theme.dark if self.no_color else None
            renderable = self.sent.changes(renderable, self.size, self.governor.piece, self._lines_of_dialog)
        super()._display(screen, renderable)
        self._owing = self._owing or not self.sent.complete
        self.governor.ask()

    def catch_up(self) -> None:
        """Draw what the terminal has not been sent for want of room."""
        if self._owing and self._running and not self._batch_count and self.governor.has_arrived():
            self._owing = False
            update = self.screen._compositor.render_update(full=True, screen_stack=self._background_screens)
            self._display(self.screen, update)

    @property
    def _lines_of_dialog(self) -> range:
        """What the user has just asked for goes first."""
        if not self.screen.is_modal or not self.screen.children:
            return range(0)
        region = self.screen.children[0].region
        return range(region.y, region.bottom)

    # --- actions -----------------------------------------------------------------------------------------------------

    def get_key_display(self, binding: Binding) -> str:
        """As the footer and the palette write a key; enter's sign would be an arrow's in ASCII."""
        display = super().get_key_display(binding)
        return display if knows_unicode() else display.replace("⏎", "enter")

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """Always as text: names and paths are data. In place of what was told before, unless that was a complaint."""
        for before in [each for each in self._notifications if each.severity == "information"]:
            self._unnotify(before, refresh=False)
        told = "\n".join(map(printable, (f"{title}: {message}" if title else message).split("\n")))
        super().notify(told, severity=severity, timeout=timeout, markup=False)

    def action_help(self) -> None:
        if isinstance(self.screen, LabScreen):
            groups = bound(self._keys_on(*map(type, self.screen.key_owners)), self._keymap)
            self.push_screen(HelpScreen([each for group in groups for each in group]))

    def action_command_palette(self) -> None:
        if not isinstance(self.screen, PaletteScreen):
            self.push_screen(PaletteScreen(self.get_system_commands(self.screen), "Search for commands…"))

    def search_themes(self) -> None:
        """What `action_change_theme` opens."""
        commands = [SystemCommand(name, "", partial(setattr, self, "theme", name)) for name in self.available_themes]
        self.push_screen(PaletteScreen(commands, "Search for themes…"))

    async def action_save_screen(self) -> None:
        """As it is under any dialog."""
        from mftui.export.picture import screen_files

        if (screen := self.lab_screen) is not None:
            strips = screen._compositor.render_strips()
            self.write_out(screen_files(screen.mode, self.export_screenshot(), strips, time.time()))

    def write_out(self, files: Files) -> None:
        """Into the current directory, or where that can't be written the folder of the run shown; says where."""
        from mftui.export.writing import write_here

        live = self.lab_screen.session.live if self.lab_screen else None
        folder = live.run.path if live else home_directory()
        try:
            written = write_here(files, folder)
        except OSError as error:
            self.notify(f"{folder}: can't be written: {error.strerror or error}", severity="error")
        else:
            first, *others = written
            more = (each.suffix if each.stem == first.stem else str(each) for each in others)
            self.notify(", ".join([str(first), *more]), title="written")

    def export_screenshot(self, *, title: str | None = None, simplify: bool = True) -> str:
        from mftui.export.picture import self_contained

        return self_contained(super().export_screenshot(title=title, simplify=simplify))

    def action_help_quit(self) -> None:
        """For ctrl+c, which elsewhere ends a program."""
        self.notify("q leaves and stops the run; D leaves and lets it go on")

    def action_redraw(self) -> None:
        """For a terminal that shows something else than was sent to it."""
        self.sent.forget()
        self.refresh(layout=True)

    async def action_quit(self) -> None:
        await asyncio.gather(self.session.close(), self.tour_session.close())
        self.exit(message=self.farewell())

    def farewell(self) -> str | None:
        """Where the run is, and how to go on with one that isn't finished."""
        live = self.session.live
        if live is None:
            return self.error or None
        where = f"{live.run.name}: {live.state}, in {live.run.path}"
        if live.state == "finished":
            return where
        command = "resume" if live.over else "attach"
        return f"{where}\ngo on with: mftui {command} {live.run.location}"

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        owners = screen.key_owners if isinstance(screen, LabScreen) else []
        yield from palette.commands([*owners, self], self.get_key_display)
        yield SystemCommand("Theme", "other colours", self.action_change_theme)
