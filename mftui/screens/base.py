"""What all screens have in common: the bar of screens at the top, the footer, and access to the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer, Static
from textual.widgets._footer import FooterKey

from engine.spec.experiment import Experiment
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


class Keys(Footer):
    """The keys of a screen; where there is no room for all, the last give way to those that tell of the rest."""

    LASTING = ("help", "quit")

    def compose(self) -> ComposeResult:
        keys = [each for each in super().compose() if isinstance(each, FooterKey)]
        wanted = [each for each in keys if each.action in self.LASTING]
        room = self.app.size.width - sum(map(_cells, wanted))
        for each in keys:
            if each in wanted or (room := room - _cells(each)) >= 0:
                yield each

    async def on_resize(self) -> None:
        await self.recompose()


def _cells(shown: FooterKey) -> int:
    """With the space after it."""
    return cell_len(shown.key_display) + len(shown.description) + 2


class LabScreen(Screen[None]):
    """Sub-classes fill the body, and `show` what is new in the session."""

    AUTO_FOCUS = ""  # letters are keys at once
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 (Textual declares it so)
    mode = ""

    @property
    def lab(self) -> Explorer:
        """The app."""
        return cast("Explorer", self.app)

    @property
    def experiment(self) -> Experiment:
        """Of the run on the screen; without one, what is to be started."""
        live = self.lab.session.live
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
            message=lab.error or (live.message if live else ""),
            dark=lab.current_theme.dark,
            link=lab.link,
        )

    def compose(self) -> ComposeResult:
        yield ScreenBar(self.mode)
        yield from self.body()
        yield Keys(compact=True, show_command_palette=False)

    @property
    def help_bindings(self) -> list[BindingType]:
        """The keys that `?` tells of."""
        return list(type(self).BINDINGS)

    def body(self) -> list[Widget]:
        raise NotImplementedError

    def show(self) -> None:
        """Bring the screen up to date; called for each frame with news while it is the one shown, and on resuming."""

    def on_screen_resume(self) -> None:
        self.call_after_refresh(self.show)  # first what it showed before: a dialog is gone at once
