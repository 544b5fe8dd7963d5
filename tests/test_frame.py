"""Only what has changed goes to the terminal, and the terminal then shows what it should."""

from __future__ import annotations

import io
import re
from collections import deque
from math import inf

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich._palettes import STANDARD_PALETTE
from rich.color import Color, ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import CompositorUpdate, LayoutUpdate
from textual.app import App
from textual.geometry import Region, Size
from textual.strip import Strip

from mftui import app as app_module
from mftui import encoding
from mftui.canvas import Axis, Line, Plot, draw
from mftui.frame import Frame, cells
from mftui.views import roles
from mftui.views.status import StatusBar
from tests.lab import explorer, no_worker, until

CONSOLE = Console(force_terminal=True, color_system="truecolor", width=80, legacy_windows=False)
STYLES = (Style(color="red"), Style(bgcolor="blue"), Style(color="red", bgcolor="blue", underline=True), Style())
STYLES += (Style(bold=True, color="#102030"), Style(dim=True, bgcolor="blue"), Style(bold=True, dim=True, reverse=True))
TOKENS = re.compile(r"\x1b\[(?:(\d+);(\d+)H|(\d+)G|([\d;]*)m)|(.)", re.DOTALL)
ENDED_BY = {"22": "12", "23": "3", "24": "4", "25": "56", "27": "7", "28": "8", "29": "9"}


class Screen:
    """A terminal that knows cursor moves, styles and wide characters."""

    def __init__(self, width: int, height: int) -> None:
        self.cells = [[(" ", "")] * width for _ in range(height)]
        self._x = self._y = 0
        self._style: dict[str, str] = {}

    def write(self, text: str) -> None:
        for row, column, along, codes, character in TOKENS.findall(text):
            if row:
                self._y, self._x = int(row) - 1, int(column) - 1
            elif along:
                self._x = int(along) - 1
            elif character:
                (taken,) = [len(cells([Strip([Segment(character)])]))]
                look = character, " ".join(f"{name}:{value}" for name, value in sorted(self._style.items()))
                self.cells[self._y][self._x : self._x + taken] = [look, ("", look[1])][:taken]
                self._x += taken
            else:
                self._set_style(codes)

    def _set_style(self, codes: str) -> None:
        """As ECMA-48 says of "select graphic rendition"."""
        given = deque(codes.split(";"))
        while given:
            code = given.popleft()
            if code in ("", "0"):
                self._style.clear()
            elif code in ("38", "48"):
                kind = given.popleft()
                color = [kind, *(given.popleft() for _ in range(3 if kind == "2" else 1))]
                self._style["ink" if code == "38" else "ground"] = ";".join(color)
            elif code in ("39", "49"):
                self._style.pop("ink" if code == "39" else "ground", None)
            elif int(code) // 10 in (3, 4, 9, 10):
                self._style["ground" if int(code) // 10 in (4, 10) else "ink"] = code
            elif code in ENDED_BY:
                for ended in ENDED_BY[code]:
                    self._style.pop(ended, None)
            else:
                self._style[code] = "on"

    @property
    def text(self) -> list[str]:
        return ["".join(character for character, _ in line) for line in self.cells]

    @property
    def styles_of_letters(self) -> list[list[str]]:
        return [[style for character, style in line if character.strip()] for line in self.cells]


def picture(lines: list[list[tuple[str, int]]], width: int) -> list[Strip]:
    """Lines of (text, style) filled up with blanks."""
    strips = [Strip([Segment(text, STYLES[style]) for text, style in line]) for line in lines]
    return [strip.adjust_cell_length(width) for strip in strips]


def sent(frame: Frame, strips: list[Strip], width: int, most: float = inf) -> str:
    update = LayoutUpdate([[strip] for strip in strips], Region(0, 0, width, len(strips)))
    return frame.changes(update, Size(width, len(strips)), most).render_segments(CONSOLE)


TEXT = st.text(alphabet="ab ─⣿漢e\u0301", max_size=6)
PICTURE = st.lists(st.lists(st.tuples(TEXT, st.integers(0, len(STYLES) - 1)), max_size=4), min_size=3, max_size=3)


@settings(deadline=None, max_examples=150)
@given(st.lists(PICTURE, min_size=2, max_size=4))
@example([[[], [("漢", 0)], []], [[], [("漢\u0301a", 0)], []]])  # an accent on a wide character
def test_after_any_updates_the_terminal_shows_the_last_picture(pictures: list[list[list[tuple[str, int]]]]) -> None:
    width, frame, screen = 20, Frame(), Screen(20, 3)
    for lines in pictures:
        strips = picture(lines, width)
        screen.write(sent(frame, strips, width))
        whole = Screen(width, 3)
        whole.write(sent(Frame(), strips, width))
        assert screen.text == whole.text
        assert screen.styles_of_letters == whole.styles_of_letters


def test_what_is_there_is_not_sent_again_until_the_frame_is_forgotten_or_has_another_size() -> None:
    frame = Frame()
    strips = picture([[("loss ", 0), ("0.5", 1)], [("abc", 2)]], 20)
    first = sent(frame, strips, 20)
    assert "loss" in first
    assert sent(frame, strips, 20) == ""
    frame.forget()
    assert sent(frame, strips, 20) == first
    assert "loss" in sent(frame, picture([[("loss ", 0), ("0.5", 1)], [("abc", 2)]], 21), 21)


def test_of_a_line_only_the_cells_that_differ_are_sent() -> None:
    frame = Frame()
    sent(frame, picture([[("step 1000 of 9000, loss 0.25", 0)]], 40), 40)
    again = sent(frame, picture([[("step 1001 of 9000, loss 0.25", 0)]], 40), 40)
    assert TOKENS.sub(lambda found: found[5] or "", again) == "1"


def test_curves_that_grow_cost_few_bytes_a_frame() -> None:
    width, height, count = 56, 18, 80
    ground = Style(bgcolor="#121212")
    steps = np.arange(count + 1.0)
    values = [1 / (1 + np.exp((20 + 8 * index - steps) / 3)) for index in range(8)]
    frame, written = Frame(), []
    for end in range(1, count + 1):
        lines = tuple(Line(steps[:end], value[:end], style=roles.series(index)) for index, value in enumerate(values))
        drawn = draw(Plot(Axis(0, count), Axis(0, 1), lines), width, height)
        rows = (drawn.runs(row) for row in range(height))
        strips = [
            Strip(Segment(text, ground + roles.rich_style(style, dark=True)) for text, style in row) for row in rows
        ]
        written.append(len(sent(frame, strips, width).encode()))
    assert np.mean(written[1:]) < 130  # for 8 ends of curves; it was 207 with a whole style for each


def test_a_colour_that_no_blank_shows_is_no_change() -> None:
    frame = Frame()
    sent(frame, picture([[("   ", 3)]], 10), 10)
    assert sent(frame, picture([[("   ", 0)]], 10), 10) == ""
    assert sent(frame, picture([[("   ", 1)]], 10), 10) != ""


def test_an_update_that_is_never_written_counts_as_not_sent() -> None:
    frame = Frame()
    strips = picture([[("abc", 0)]], 10)
    frame.changes(LayoutUpdate([[strips[0]]], Region(0, 0, 10, 1)), Size(10, 1))
    assert "abc" in sent(frame, strips, 10)


@settings(deadline=None, max_examples=100)
@given(st.lists(PICTURE, min_size=2, max_size=4), st.integers(0, 12))
def test_sent_in_pieces_between_which_the_picture_changes_the_terminal_comes_to_show_the_last(
    pictures: list[list[list[tuple[str, int]]]], most: int
) -> None:
    width, frame, screen = 20, Frame(), Screen(20, 3)
    for lines in pictures:
        screen.write(sent(frame, picture(lines, width), width, most))
    for _ in range(3 * width + 1):
        if frame.complete:
            break
        screen.write(sent(frame, picture(pictures[-1], width), width, most))
    assert frame.complete
    strips = picture(pictures[-1], width)
    assert sent(frame, strips, width) == ""
    whole = Screen(width, 3)
    whole.write(sent(Frame(), strips, width))
    assert screen.text == whole.text


@pytest.mark.parametrize("dark", [True, False])
def test_without_colours_none_are_sent_and_what_is_chosen_is_in_reverse_video(dark: bool) -> None:
    ground, chosen = ("#121212", "#55aaff") if dark else ("#f0f0f0", "#0044aa")
    frame = Frame()
    frame.dark = dark
    styles = [Style(color="#808080", bgcolor=ground, bold=True), Style(color="red", bgcolor=chosen), Style(dim=True)]
    strip = Strip([Segment("abc", style) for style in styles])
    text = frame.changes(LayoutUpdate([[strip]], Region(0, 0, 9, 1)), Size(9, 1)).render_segments(CONSOLE)
    screen = Screen(9, 1)
    screen.write(text)
    assert screen.styles_of_letters == [["1:on"] * 3 + ["7:on"] * 3 + ["2:on"] * 3]


def test_the_lines_that_matter_most_go_first() -> None:
    strips = picture([[("above", 0)], [("dialog", 0)], [("below", 0)]], 20)
    update = LayoutUpdate([[strip] for strip in strips], Region(0, 0, 20, 3))
    text = Frame().changes(update, Size(20, 3), 5, first={1}).render_segments(CONSOLE)
    assert "dialog" in text
    assert "above" not in text


@pytest.mark.parametrize("text", ["a\x1b[31mred\x07", "a\x00b", "\x9b31m", "x\u202ey", "a\u200db"])
def test_nothing_in_a_text_steers_the_terminal(text: str) -> None:
    shown = "".join(character for character, _ in cells([Strip([Segment(text)])]))
    assert shown.isprintable()
    assert shown == "".join(each for each in text if each.isprintable())


def test_an_accent_stays_on_its_letter() -> None:
    assert [character for character, _ in cells([Strip([Segment("e\u0301x")])])] == ["e\u0301", "x"]


def _luminance(color: Color | None) -> float:
    """Relative luminance of what a terminal of 16 colours shows [WCAG 2]."""
    assert color is not None
    number = color.downgrade(ColorSystem.STANDARD).number
    assert number is not None
    shares = (value / 255 for value in STANDARD_PALETTE[number])
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", ["sixteen-dark", "sixteen-light"])
async def test_on_sixteen_colours_every_frame_stands_off_its_ground(
    theme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_worker(monkeypatch)
    for module in (roles, app_module):
        monkeypatch.setattr(module, "few_colors", lambda: True)
    app = explorer()
    app.theme = theme
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.pause()
        shown = [segment for strip in app.screen._compositor.render_strips() for segment in strip]
    roles.rich_style.cache_clear()
    corners = [segment.style for segment in shown if "╭" in segment.text and segment.style]
    assert len(corners) == 5  # the form's, and those of four panes
    for style in corners:
        low, high = sorted((_luminance(style.color), _luminance(style.bgcolor)))
        assert (high + 0.05) / (low + 0.05) >= 3


async def test_a_message_has_room_in_the_narrowest_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    no_worker(monkeypatch)
    app = explorer()
    async with app.run_test(size=(2, 30)) as pilot:
        await pilot.pause()
        assert app.error
        app.screen.query_one(StatusBar)


class Terminal(io.BytesIO):
    """What was written to one."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_without_unicode_is_written_to_at_once_where_python_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encoding, "knows_unicode", lambda: False)
    terminal = Terminal()
    stream = io.TextIOWrapper(terminal, "utf-8", write_through=True)
    written = encoding.legible(stream)
    written.write("ε ≤ 1")
    assert terminal.getvalue() == b"e < 1"


async def test_while_the_link_is_full_nothing_is_drawn_and_then_only_what_is_last_to_be_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    no_worker(monkeypatch)
    seen = Screen(80, 24)

    def display(app: App[None], _: object, update: CompositorUpdate | None) -> None:
        if update is None:
            return
        text = update.render_segments(CONSOLE)
        written.append(text)
        seen.write(text)

    written: list[str] = []
    monkeypatch.setattr(App, "_display", display)
    app = explorer()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.action_redraw()
        await pilot.pause()
        full = True
        monkeypatch.setattr(app.governor, "has_arrived", lambda: not full)
        written.clear()
        await pilot.press("v", "v", "question_mark")
        await pilot.pause(0.2)
        assert written == []
        full = False
        await until(pilot, lambda: any("escape closes" in line for line in seen.text), "the help")
        await pilot.press("escape")
        await until(pilot, lambda: not any("escape closes" in line for line in seen.text), "its end")
        expected = ["".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips()]
        assert seen.text[3:-1] == expected[3:-1]  # without the time


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_without_colours_the_chosen_pane_is_told_by_its_frame(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    no_worker(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    app = explorer()
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await pilot.press("tab", "tab")
        await pilot.pause()
        shown = "".join(strip.text for strip in app.screen._compositor.render_strips())
        assert shown.count("┏") == 1
