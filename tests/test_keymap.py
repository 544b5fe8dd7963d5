from __future__ import annotations

import pytest
from textual.binding import Binding

from mftui.keymap import KeymapError, bound, complaints, keymap_file, load_keymap
from mftui.screens.base import key


def _write(text: str) -> None:
    keymap_file().parent.mkdir(parents=True, exist_ok=True)
    keymap_file().write_text(text, encoding="utf-8")


def test_without_a_file_the_keys_are_as_they_are() -> None:
    assert load_keymap() == {}


def test_actions_get_the_keys_of_the_file() -> None:
    _write('[keys]\npause = "p"\n"cursor(-1)" = "left,b"\n')
    assert load_keymap() == {"pause": "p", "cursor(-1)": "left,b"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[keys", "can't be read"),
        ("keys = 3", "keys: expected a table"),
        ("[keys]\npause = 3", "keys.pause: expected keys such as"),
        ('[keys]\npause = ""', "keys.pause: expected keys such as"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(text: str, message: str) -> None:
    _write(text)
    with pytest.raises(KeymapError, match=f"keys.toml: {message}"):
        load_keymap()


SCREEN = [
    key("space", "pause", "Pause", "pause, or go on"),
    key("s", "stop", "Stop", "stop the run"),
    key("left,h", "cursor(-1)", "Scrub", "back in time", display="←→"),
]
APP = [key("q", "quit", "Quit", "leave"), key("question_mark", "help", "Help", "the keys", display="?")]


def keys(found: list[list[Binding]]) -> dict[str, str]:
    return {each.action: each.key_display or each.key for group in found for each in group}


def test_without_a_choice_all_keys_are_as_they_are() -> None:
    assert bound([SCREEN, APP], {}) == [SCREEN, APP]


def test_chosen_keys_take_the_place_of_the_others_and_of_their_signs() -> None:
    found = keys(bound([SCREEN, APP], {"cursor(-1)": "b,left", "help": "f1"}))
    assert found == {"pause": "space", "stop": "s", "cursor(-1)": "b,left", "quit": "q", "help": "f1"}


def test_an_action_whose_keys_are_all_taken_has_none() -> None:
    assert "pause" not in keys(bound([SCREEN, APP], {"stop": "space"}))
    assert "quit" not in keys(bound([SCREEN, APP], {"stop": "q"}))
    assert keys(bound([SCREEN, APP], {"stop": "h"}))["cursor(-1)"] == "←→"


@pytest.mark.parametrize(
    ("keymap", "said"),
    [
        ({"pause": "p", "cursor(-1)": "b,left", "quit": "ctrl+x", "stop": "é"}, []),
        ({"pauze": "p"}, ["keys.pauze: there is no such action; did you mean pause?"]),
        ({"xyzzy": "p"}, ["keys.xyzzy: there is no such action"]),
        ({"pause": "nosuchkey"}, ["keys.pause: there is no key nosuchkey"]),
        ({"pause": "strg+p"}, ["keys.pause: there is no key strg+p"]),
        ({"stop": "space"}, ["keys.toml leaves no key for pause on Explore"]),
        ({"stop": "q"}, ["keys.toml leaves no key for quit on Explore"]),
        ({"stop": "x", "pause": "x"}, ["keys.stop: x has another action on Explore"]),
        ({"help": "s"}, ["keys.help: s has another action on Explore"]),
        ({"stop": "space", "pause": "s"}, []),
    ],
)
def test_what_is_wrong_with_chosen_keys_is_said(keymap: dict[str, str], said: list[str]) -> None:
    found = complaints(keymap, {"Explore": [SCREEN, APP]})
    assert sorted(found) == sorted(said)
