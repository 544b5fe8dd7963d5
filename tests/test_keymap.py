from __future__ import annotations

import pytest

from mftui.keymap import KeymapError, keymap_file, load_keymap


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
