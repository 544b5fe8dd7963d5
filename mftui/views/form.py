"""The form: every setting of the experiment, and what the chosen one means."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from engine.spec.experiment import Experiment
from mftui.draft import DEVICE, Draft
from mftui.views.fields.field import Field
from mftui.views.fields.field_list import FieldList
from mftui.views.roles import color

CHECK_SECONDS = 0.1
"""after the last key: a check takes 10 ms, too long for every key of a fast typist"""
SHORT = 24
"""lines of the form under which the note is small"""


class Form(Vertical, can_focus=False):
    """Edits a draft; what is wrong is said in place, in the engine's words, while typing."""

    DEFAULT_CSS = """
    Form { border: round $foreground 30%; border-title-color: $text; border-subtitle-color: $text-warning; }
    Form:focus-within { border: round $primary; }
    Form #note { height: 8; padding: 0 1; border-top: solid $foreground 30%; }
    Form.-short #note { height: 4; }
    """

    class Applied(Message):
        """Start with what is in the form."""

    def __init__(self, experiment: Experiment, device: str = "auto", *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.border_title = "experiment"
        self.list = FieldList(Draft(experiment, device))
        self.note = Static(id="note", markup=False)
        self._due: Timer | None = None
        self._checked: tuple[Experiment | None, dict[str, str]] = (None, {})
        """what the last check from outside gave, and for which texts"""
        self._said: Text | None = None
        self._subtitle = ""

    def compose(self) -> ComposeResult:
        yield self.list
        yield self.note

    @property
    def draft(self) -> Draft:
        return self.list.draft

    @property
    def device(self) -> str:
        """Where the next start computes."""
        return self.draft.texts[DEVICE].strip()

    def on_mount(self) -> None:
        self._say()

    def on_resize(self) -> None:
        self.set_class(self.size.height < SHORT, "-short")

    def focus_first(self) -> None:
        self.list.focus()

    def focus_wrong(self) -> None:
        """Go to the first field at fault."""
        wrong = [key for key in self.list.keys if key in self.list.problems]
        if wrong:
            self.list.focus()
            self.list.choose(wrong[0])

    def adopt(self, experiment: Experiment, device: str) -> None:
        """The draft was started: changes are measured against it now. What was edited since it was checked stays."""
        checked, texts = self._checked
        now, draft = self.draft.texts, Draft(experiment, device)
        if experiment is self.draft.experiment:
            texts = self.draft.untouched
        elif experiment is not checked:
            texts = now
        draft.texts |= {key: text for key, text in now.items() if text != texts[key]}
        if draft.texts == now:  # somebody may be typing in one of them
            self.draft.experiment, self.draft.untouched = experiment, draft.untouched
        else:
            self.list.adopt(draft)
        self._check()

    def check(self) -> Experiment | None:
        """What the form says now; None if something is wrong, and then the fields at fault say what."""
        experiment = self._check()
        self._checked = experiment, dict(self.draft.texts)
        return experiment

    def _check(self) -> Experiment | None:
        experiment, problems = self.draft.check()
        self.list.blame(problems)
        subtitle = "" if not self.draft.changed else "can't start" if problems else "changed · enter starts"
        if subtitle != self._subtitle:
            self._subtitle = self.border_subtitle = subtitle
        self._say()
        return experiment

    def on_field_list_edited(self, event: FieldList.Edited) -> None:
        event.stop()
        self._say()
        if self._due is not None:
            self._due.stop()
        self._due = self.set_timer(CHECK_SECONDS, self._check)

    def on_field_list_moved(self, event: FieldList.Moved) -> None:
        event.stop()
        self._say()

    def on_field_list_applied(self, event: FieldList.Applied) -> None:
        event.stop()
        self.post_message(self.Applied())

    def _say(self) -> None:
        said = self._note()
        if said != self._said:
            self._said = said
            self.note.update(said, layout=False)

    def _note(self) -> Text:
        """What is wrong, else what the chosen field is about."""
        field, problems = self.list.field, self.list.problems
        error = f"bold {color('bad', self.app.current_theme.dark)}"
        lines: list[tuple[str, str]] = []
        if "" in problems:
            lines.append((problems[""], error))
        if field is not None and self.list.has_focus:
            lines += self._about(field, error)
        elif field is None and self.list.has_focus:
            lines.append(("the fields that are needed less often: enter or u shows and hides them", ""))
        else:
            lines += [(f"{key}: {sentence}", error) for key, sentence in problems.items() if key]
            start = " · enter: start with them" if self.draft.changed else ""
            lines.append((f"f: to the fields{start}", "dim"))
        return Text("\n").join(Text(text, style) for text, style in lines)

    def _about(self, field: Field, error: str) -> list[tuple[str, str]]:
        others = [(f"{key}: {words}", error) for key, words in self.list.problems.items() if key not in ("", field.key)]
        why = self.list.idle.get(field.key)
        return [
            *([(self.list.problems[field.key], error)] if field.key in self.list.problems else others[:1]),
            *([(f"has no say here: {why}", "bold")] if why else []),
            (field.meaning, ""),
            (f"{field.key}: {field.takes}", "dim"),
        ]
