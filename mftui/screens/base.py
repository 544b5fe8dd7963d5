"""What all screens have in common: the bar of screens at the top, the footer, and access to the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from engine.spec.experiment import Experiment
from mftui.session import Session
from mftui.views.status import Status

if TYPE_CHECKING:
    from mftui.app import Explorer

SCREENS = {"explore": "Explore", "sweep": "Sweep", "runs": "Runs", "presets": "Presets", "tour": "Tour"}
"""mode → name, in the order of their number keys"""


def key(keys: str, action: str, name: str, meaning: str, *, show: bool = True, display: str | None = None) -> Binding:
    """A key with what `?` says of it; the action is also its name in the user's `keys.toml`."""
    return Binding(keys, action, name, show=show, key_display=display, tooltip=meaning, id=action)


class ScreenBar(Static):
    """1 Explore  2 Sweep …; a click goes there."""

    DEFAULT_CSS = "ScreenBar { height: 1; background: $panel; padding: 0 1; }"

    def __init__(self, here: str) -> None:
        names = (
            f"[b reverse] {number} {name} [/]" if mode == here else f" {number} {name} "
            for number, (mode, name) in enumerate(SCREENS.items(), 1)
        )
        super().__init__("mftui " + "".join(names))

    def on_click(self, event: events.Click) -> None:
        column = event.x - len("mftui ") - 1
        for mode, name in SCREENS.items():
            column -= len(name) + 4
            if column < 0:
                self.app.switch_mode(mode)
                return


class Shown(NamedTuple):
    """A key as the footer shows it."""

    key: str
    display: str
    description: str
    action: str
    meaning: str

    @property
    def cells(self) -> int:
        """With the space after it."""
        return cell_len(self.display) + cell_len(self.description) + 2


class Keys(Widget):
    """The keys of a screen; where there is no room for all, the last give way to those that tell of the rest.

    One line of its own and no widget a key, as Textual's footer has: that one takes 20 ms to be made anew, twice for
    each change of screen.
    """

    LASTING = ("help", "quit")
    COMPONENT_CLASSES: ClassVar[set[str]] = {"keys--key", "keys--description"}
    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Keys { dock: bottom; height: 1; color: $footer-foreground; background: $footer-background; }
    Keys .keys--key { color: $footer-key-foreground; background: $footer-key-background; text-style: bold; }
    Keys .keys--description { color: $footer-description-foreground; background: $footer-description-background; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Shown] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._look_again)

    def on_resize(self) -> None:
        self._read()

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        of_key = base + self.get_component_rich_style("keys--key", partial=True)
        of_description = base + self.get_component_rich_style("keys--description", partial=True)
        segments = []
        for each in self.shown:
            segments += [Segment(each.display, of_key), Segment(f" {each.description}", of_description)]
            segments.append(Segment(" ", base))
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if (pointed := self._at(event.x)) is not None:
            self.app.simulate_key(pointed.key)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        pointed = self._at(event.x)
        meaning = pointed.meaning or None if pointed else None
        if meaning != self.tooltip:
            self.tooltip = meaning

    def _look_again(self, _: Screen[Any]) -> None:
        self.call_after_refresh(self._read)  # once the focus is where it is to be

    def _read(self) -> None:
        """Of each action that is to be shown the first of its keys."""
        if not self.is_attached:
            return
        found: dict[str, Shown] = {}
        for _, binding, _, tooltip in self.screen.active_bindings.values():
            if binding.show and binding.action not in found:
                display = self.app.get_key_display(binding)
                found[binding.action] = Shown(binding.key, display, binding.description, binding.action, tooltip)
        wanted = [each for each in found.values() if each.action in self.LASTING]
        room = self.app.size.width - sum(each.cells for each in wanted)
        shown = [each for each in found.values() if each in wanted or (room := room - each.cells) >= 0]
        if shown != self.shown:
            self.shown = shown
            self.refresh()

    def _at(self, column: int) -> Shown | None:
        """The key at a column, if there is one."""
        for each in self.shown:
            column -= each.cells
            if column < 0:
                return each
        return None


class LabScreen(Screen[None]):
    """Sub-classes fill the body, and `show` what is new in the session."""

    AUTO_FOCUS = ""  # letters are keys at once
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 (Textual declares it so)
    mode = ""
    _styled: object = None
    """the theme and the classes that it was styled by"""

    @property
    def lab(self) -> Explorer:
        """The app."""
        return cast("Explorer", self.app)

    @property
    def session(self) -> Session:
        """Whose run the screen shows."""
        return self.lab.session

    @property
    def experiment(self) -> Experiment:
        """Of the run on the screen; without one, what is to be started."""
        live = self.session.live
        return live.experiment if live else self.lab.experiment

    def status(self, shown: str) -> Status:
        """The header; `shown` is what of the run is on the screen."""
        lab, live = self.lab, self.lab.session.live
        return Status(
            title=self.experiment.title,
            state="failed" if lab.error else "stopping" if lab.session.stopping else live.state if live else "starting",
            device=live.device if live else lab.session.device,
            shown=shown,
            progress=live.progress if live else {},
            done=live.done if live else frozenset(),
            message=lab.error or (live.message if live else ""),
            dark=lab.current_theme.dark,
            link=lab.link,
        )

    def compose(self) -> ComposeResult:
        yield ScreenBar(self.mode)
        yield from self.body()
        yield Keys()

    @property
    def key_owners(self) -> list[DOMNode]:
        """Whose keys `?` and the palette tell of, besides the app's."""
        return [self]

    def body(self) -> list[Widget]:
        raise NotImplementedError

    def show(self) -> None:
        """Bring the screen up to date; called for each frame with news while it is the one shown, and on resuming."""

    def _on_screen_resume(self, event: events.ScreenResume) -> None:
        look = self.app.theme, self.app.classes
        event.refresh_styles = event.refresh_styles and look != self._styled  # 20 ms of a key's 50
        self._styled = look
        self.call_after_refresh(self.show)  # first what it showed before: a dialog is gone at once
