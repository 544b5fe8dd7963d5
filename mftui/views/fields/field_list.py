"""All rows of the form in one widget, drawn line by line: forty widgets would take half a second to mount."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from mftui.canvas import Glyphs
from mftui.draft import Draft
from mftui.views.canvas_view import glyphs
from mftui.views.fields.editing import LISTED, NUMERIC, Edit
from mftui.views.fields.field import CALLED_FOR, FIRST, Field, all_sections, describe
from mftui.views.fields.stepping import COARSE

MORE = "more"
LABEL_CELLS = 18
PAGE = 8
"""fields"""


def _key(keys: str, action: str, name: str, meaning: str, *, show: bool = True, display: str = "") -> Binding:
    """With an id, by which `keys.toml` may move it."""
    return Binding(keys, action, name, show=show, key_display=display or None, tooltip=meaning, id=action)


class Row(NamedTuple):
    """A field, a heading (it has no key), or `MORE`."""

    key: str
    text: str


class FieldList(ScrollView, can_focus=True, inherit_bindings=False):
    """Edits a draft. Arrows go through fields and values; typing a number edits it; letters stay keys of the screen."""

    DEFAULT_CSS = """
    FieldList { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; }
    FieldList > .field-list--heading { color: $text-primary; text-style: bold; }
    FieldList > .field-list--cursor { background: $block-cursor-background; color: $block-cursor-foreground;
                                      text-style: bold; }
    FieldList > .field-list--idle { text-style: dim; }
    FieldList > .field-list--wrong { color: $text-error; text-style: bold; }
    FieldList > .field-list--changed { color: $text-warning; }
    FieldList > .field-list--caret { text-style: reverse; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"field-list--{name}" for name in ("heading", "cursor", "idle", "wrong", "changed", "caret")
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        _key("enter", "enter", "Start", "start with what is in the form; in a text: begin or end editing"),
        _key("left,h", "step(-1)", "Value", "the field's previous value", display="←→"),
        _key("right,l", "step(1)", "Next value", "the field's next value", show=False, display="→"),
        _key("shift+left,H", f"step(-{COARSE})", "Far down", "a decade down", show=False, display="shift+←"),
        _key("shift+right,L", f"step({COARSE})", "Far up", "a decade up", show=False, display="shift+→"),
        _key("up,k", "move(-1)", "Field", "previous field", display="↑↓"),
        _key("down,j", "move(1)", "Next field", "next field", show=False, display="↓"),
        _key("pageup", f"move(-{PAGE})", "Fields up", "several fields up", show=False),
        _key("pagedown", f"move({PAGE})", "Fields down", "several fields down", show=False),
        _key("home", "move(-1000)", "First field", "first field", show=False),
        _key("end", "move(1000)", "Last field", "last field", show=False),
        _key("u", "more", "More", "show or hide the fields that are needed less often"),
        _key("backspace", "edit(-1)", "Edit", "edit what is there; a digit begins a new number", show=False),
        _key("delete", "default", "Default", "the field's default", show=False),
    ]

    class Edited(Message):
        """A text of the draft is another."""

    class Moved(Message):
        """Another field is chosen."""

    class Applied(Message):
        """Enter."""

    def __init__(self, draft: Draft) -> None:
        super().__init__()
        self.draft = draft
        self.edit: Edit | None = None
        self.unfolded = False
        self.problems: Mapping[str, str] = {}
        self.idle: Mapping[str, str] = draft.idle()
        self._before = ""
        """the text that escape brings back"""
        self._rows: list[Row] = []
        self._fields: dict[str, Field] = {}
        self._at = 0
        self._lay()

    # --- what is chosen ----------------------------------------------------------------------------------------------

    @property
    def key(self) -> str:
        """The chosen field, or `MORE`."""
        return self._rows[self._at].key

    @property
    def field(self) -> Field | None:
        return self._fields.get(self.key)

    @property
    def keys(self) -> list[str]:
        """Of the fields shown, in order."""
        return [row.key for row in self._rows if row.key not in ("", MORE)]

    def adopt(self, draft: Draft) -> None:
        """Edit another draft."""
        self.draft = draft
        self.edit = None
        self.blame({})

    def blame(self, problems: Mapping[str, str]) -> None:
        """Say which fields are wrong; the folded ones among them are shown."""
        self.problems = problems
        self.idle = self.draft.idle()
        self._lay()

    def choose(self, key: str) -> None:
        """Go to a field, shown or folded."""
        if all(row.key != key for row in self._rows):
            self.unfolded = True
            self._lay()
        self._go([row.key for row in self._rows].index(key))

    # --- keys --------------------------------------------------------------------------------------------------------

    def check_consume_key(self, key: str, character: str | None) -> bool:
        return self.edit is not None and (key in ("left", "right", "home", "end") or self.edit.takes(character))

    def on_key(self, event: events.Key) -> None:
        """While typing, what edits; else what begins it."""
        taken = self._begins(event.character) if self.edit is None else self._typed(event)
        if taken:
            event.stop()
            event.prevent_default()

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        if self.edit is None and not self._open(""):
            return
        assert self.edit is not None  # noqa: S101 (it was opened)
        self.edit.insert((event.text.splitlines() or [""])[0].strip())
        self._write(self.edit.text)

    def _typed(self, event: events.Key) -> bool:
        edit = self.edit
        assert edit is not None  # noqa: S101 (the caller looked)
        if event.key == "escape":
            self._close()
            self._write(self._before)
            return True
        if not edit.press(event.key, event.character):
            return False
        self._write(edit.text)
        return True

    def _begins(self, character: str | None) -> bool:
        field = self.field
        if field is None or character is None or field.kind in ("choice", "text"):
            return False
        if word := next((word for word in field.words if word.startswith(character)), ""):
            self._write(word)
            return True
        negative = character == "-" and field.scale.low < 0
        if not (character.isdecimal() and character.isascii()) and not negative:
            return False
        self._open("")
        assert self.edit is not None  # noqa: S101 (a number can be edited)
        self.edit.insert(character)
        self._write(self.edit.text)
        return True

    def _open(self, text: str) -> bool:
        """Begin to edit the chosen field, if it can be."""
        field = self.field
        if field is None or field.kind == "choice":
            return False
        allowed = {"number": NUMERIC, "list": LISTED}.get(field.kind)
        self._before = self.draft.texts[field.key]
        self.edit = Edit(text, len(text), allowed)
        self._refresh_row(self._at)
        self.refresh_bindings()
        return True

    def _close(self) -> None:
        if self.edit is not None:
            self.edit = None
            self._refresh_row(self._at)
            self.refresh_bindings()

    def _write(self, text: str) -> None:
        if self.field is None:
            return
        self.draft.edit(self.key, text)
        self.idle = self.draft.idle()
        self._lay()
        self.post_message(self.Edited())

    # --- actions -----------------------------------------------------------------------------------------------------

    def action_enter(self) -> None:
        if self.key == MORE:
            self.action_more()
        elif self.edit is None and self.field is not None and self.field.kind == "text":
            self._open(self.draft.texts[self.key])
        else:
            self._close()
            self.post_message(self.Applied())

    def action_step(self, by: int) -> None:
        if self.key == MORE:
            self.action_more()
        elif self.field is not None:
            text = self.draft.texts[self.key]
            if self.field.kind == "choice":
                by = 1 if by > 0 else -1
            if (stepped := self.field.stepped(text, by, self.draft.highest(self.key))) != text:
                self._write(stepped)

    def action_move(self, by: int) -> None:
        chosen = [place for place, row in enumerate(self._rows) if row.key]
        self._go(chosen[min(max(0, chosen.index(self._at) + by), len(chosen) - 1)])

    def action_more(self) -> None:
        self._close()
        self.unfolded = not self.unfolded
        self._lay()
        self._go(self._at)

    def action_edit(self, cut: int) -> None:
        """With what is there, without its last characters."""
        if self.field is not None and self._open(self.draft.texts[self.key][:cut]):
            assert self.edit is not None  # noqa: S101 (it was opened)
            self._write(self.edit.text)

    def action_default(self) -> None:
        if self.field is not None and self.field.kind != "list":
            self._write(self.field.default)

    def on_click(self, event: events.Click) -> None:
        place = event.y + self.scroll_offset.y
        if place >= len(self._rows) or not self._rows[place].key:
            return
        again = place == self._at and self.has_focus
        self._go(place)
        if self.key == MORE:
            self.action_more()
        elif again and self.field is not None and event.x >= LABEL_CELLS:
            self._click_value(event.x - LABEL_CELLS)

    def _click_value(self, column: int) -> None:
        """On ‹, on ›, or on the text between them."""
        assert self.field is not None  # noqa: S101 (the caller looked)
        text = self.draft.texts[self.key]
        if column < 2:
            self.action_step(-1)
        elif self.field.kind == "choice" or (self.field.kind in ("number", "list") and column >= 2 + len(text)):
            self.action_step(1)
        elif self._open(text) and self.edit is not None:
            self.edit.caret = min(len(text), column - 2)

    # --- rows --------------------------------------------------------------------------------------------------------

    def _lay(self) -> None:
        """Which rows there are; the chosen field stays chosen."""
        before = self.key if self._rows else ""
        rows: list[Row] = []
        folded = 0
        for heading, keys in all_sections().items():
            shown = [key for key in keys if self._is_shown(key, heading) or key == before]
            folded += len(keys) - len(shown)
            rows += [Row("", heading), *(Row(key, "") for key in shown)]
        count = sum(len(keys) for keys in all_sections().values()) - sum(map(len, FIRST.values()))
        rows.append(Row(MORE, f"fewer fields (u) {count}" if self.unfolded else f"{folded} more fields (u)"))
        self._fields = {row.key: describe(row.key, self.draft) for row in rows if row.key not in ("", MORE)}
        same = len(rows) == len(self._rows)
        self._rows = rows
        keys_now = [row.key for row in rows]
        self._at = keys_now.index(before) if before and before in keys_now else 1
        if not same:
            self.virtual_size = Size(0, len(rows))
        self.refresh()

    def _is_shown(self, key: str, heading: str) -> bool:
        called_for = key in CALLED_FOR and key not in self.idle
        special = called_for or key in self.problems or key == self.draft.over
        return self.unfolded or special or key in FIRST[heading]

    def _go(self, place: int) -> None:
        self._close()
        before, self._at = self._at, place
        self._refresh_row(before)
        self._refresh_row(place)
        top = place - 1 if place and not self._rows[place - 1].key else place  # its heading too
        self.scroll_to_region(Region(0, top, 1, place - top + 1), animate=False, force=True)
        self.post_message(self.Moved())

    def _refresh_row(self, place: int) -> None:
        self.refresh_line(place)

    def on_focus(self) -> None:
        self._refresh_row(self._at)
        self.post_message(self.Moved())

    def on_blur(self) -> None:
        self._close()
        self._refresh_row(self._at)
        self.post_message(self.Moved())

    def on_resize(self) -> None:
        self.virtual_size = Size(0, len(self._rows))

    # --- drawing -----------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        place, width = y + self.scroll_offset.y, self.size.width
        if place >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        row = self._rows[place]
        chosen = place == self._at and self.has_focus
        if not row.key:
            segments = self._styled(f" {row.text}", "heading")
        elif row.key == MORE:
            segments = self._styled(f"  {row.text}", "cursor" if chosen else "heading")
        else:
            segments = self._field_segments(self._fields[row.key], width, chosen)
        strip = Strip(segments).crop(0, width)
        ground = segments[-1].style if chosen else self.rich_style
        return strip.adjust_cell_length(width, ground)

    def _field_segments(self, field: Field, width: int, chosen: bool) -> list[Segment]:
        looks, mark = ["cursor"] if chosen else self._looks(field.key), self._mark(field.key)
        label = f"{mark} {field.label}"[: LABEL_CELLS - 1].ljust(LABEL_CELLS)
        room = max(1, width - LABEL_CELLS - 5)
        if chosen and self.edit is not None:
            return [*self._styled(label, *looks), *self._edit_segments(self.edit, room, looks)]
        text = self.draft.texts[field.key]
        if not text:
            text = "none" if field.kind == "choice" else ""
        if len(text) > room:
            text = text[: room - 1] + ("…" if self._unicode else "~")
        before, after = (("‹ ", " ›") if self._unicode else ("< ", " >")) if chosen else ("  ", "")
        if field.kind == "text":
            before, after = "  ", ""
        return self._styled(f"{label}{before}{text}{after}", *looks)

    def _edit_segments(self, edit: Edit, room: int, looks: list[str]) -> list[Segment]:
        start = max(0, edit.caret - room + 1)
        shown = (edit.text + " ")[start : start + room]
        caret = edit.caret - start
        return [
            *self._styled("  " + shown[:caret], *looks),
            *self._styled(shown[caret], *looks, "caret"),
            *self._styled(shown[caret + 1 :] or " ", *looks),
        ]

    def _looks(self, key: str) -> list[str]:
        if key in self.problems:
            return ["wrong"]
        if key in self.idle:
            return ["idle"]
        return ["changed"] if self._is_changed(key) else []

    def _mark(self, key: str) -> str:
        """Not by colour alone."""
        if key in self.problems:
            return "✗" if self._unicode else "x"
        if key == self.draft.over:
            return "⇄" if self._unicode else "="
        if self._is_changed(key):
            return "•" if self._unicode else "*"
        return " "

    def _is_changed(self, key: str) -> bool:
        return self.draft.texts[key] != self.draft.untouched[key]

    @property
    def _unicode(self) -> bool:
        return glyphs() is not Glyphs.ASCII

    def _styled(self, text: str, *looks: str) -> list[Segment]:
        style = self.rich_style
        for look in looks:
            style += self.get_component_rich_style(f"field-list--{look}", partial=True)
        return [Segment(text, style)]
