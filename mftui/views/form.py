"""The form: every setting of the experiment, generated from `engine.spec.settings`."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from engine.spec.preset import Experiment
from engine.spec.settings import choices, expected, fields
from mftui.draft import OVER, SEEDS, Draft, sections
from mftui.views.field_row import FieldRow

CHECK_SECONDS = 0.1
"""after the last key: checking and laying out the note takes 30 ms, too long for every key of a fast typist"""
_HINTS = {
    OVER: "the field whose list of values makes the sweep, such as model.width; empty for a single point",
    SEEDS: "data sets per sweep point; an integer ≥ 1 and ≤ 10000",
}


class Form(VerticalScroll, can_focus=False):
    """Edits a draft; what is wrong is said in place, in the engine's words, while typing."""

    DEFAULT_CSS = """
    Form { border: round $foreground 30%; border-title-color: $text; border-subtitle-color: $text-warning;
           scrollbar-size-vertical: 1; }
    Form:focus-within { border: round $primary; }
    Form .heading { color: $text-primary; text-style: bold; padding: 0 1; }
    Form .general { color: $text-error; padding: 0 1; height: auto; display: none; }
    """

    class Applied(Message):
        """Start with what is in the form."""

    def __init__(self, experiment: Experiment, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.draft = Draft(experiment)
        self.border_title = "experiment"
        self._due: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Static(classes="general", markup=False)
        for heading, keys in sections().items():
            yield Static(heading, classes="heading", markup=False)
            for key in keys:
                yield self._row(key)

    def _row(self, key: str) -> FieldRow:
        text = self.draft.texts[key]
        label = key.split(".")[-1].replace("_", " ")
        if key not in fields():
            return FieldRow(key, label, text, _HINTS[key], ())
        field = fields()[key]
        options = choices(field) or (("true", "false") if field.annotation is bool else ())
        meaning = f"{field.description}; {expected(field)}"
        if key == self.draft.over:
            return FieldRow(key, f"{label} ⇄", text, f"swept, a list of values: {meaning}", ())
        return FieldRow(key, label, text, meaning, options if text in options else ())

    def focus_first(self) -> None:
        self._rows()[0].editor.focus()

    def focus_wrong(self) -> None:
        """Go to the first field at fault."""
        for row in self._rows():
            if row.has_class("-wrong"):
                row.editor.focus()
                return

    def adopt(self, experiment: Experiment) -> None:
        """The draft was started: it is now what changes are measured against."""
        self.draft = Draft(experiment)
        self.check()

    async def on_field_row_changed(self, event: FieldRow.Changed) -> None:
        event.stop()
        if self.draft.texts[event.key] == event.text:
            return
        over = self.draft.over
        self.draft.texts[event.key] = event.text
        for key in {over, self.draft.over} - {""} if over != self.draft.over else ():
            await self._rebuild(key)
        if self._due is not None:
            self._due.stop()
        self._due = self.set_timer(CHECK_SECONDS, self.check)

    def on_field_row_applied(self, event: FieldRow.Applied) -> None:
        event.stop()
        self.post_message(self.Applied())

    async def _rebuild(self, key: str) -> None:
        """A field that is swept now, or no longer: its editor changes."""
        old = next(row for row in self._rows() if row.key == key)
        place = self.children.index(old)
        await old.remove()
        await self.mount(self._row(key), before=place)

    def check(self) -> Experiment | None:
        """What the form says now; None if something is wrong, and then the fields at fault say what."""
        experiment, problems = self.draft.check()
        for row in self._rows():
            row.blame(problems.get(row.key, ""))
        general = self.query_one(".general", Static)
        general.update(problems.get("", ""))
        general.display = "" in problems
        self.border_subtitle = "" if not self.draft.changed else "can't start" if problems else "changed · enter starts"
        return experiment

    def _rows(self) -> list[FieldRow]:
        return list(self.query(FieldRow))
