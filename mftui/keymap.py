"""Keys of the user's own choice: `keys.toml` in mftui's folder maps actions, as the help screen names them, to keys.

[keys]
pause = "w"
"cursor(-1)" = "left,b"
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from unicodedata import lookup

from textual.binding import Binding
from textual.keys import KEY_NAME_REPLACEMENTS, KEY_TO_UNICODE_NAME, Keys, _normalize_key_list

from engine.home import home_directory

_MODIFIERS = {"ctrl", "shift", "alt", "super", "hyper", "meta"}


class KeymapError(Exception):
    """A file of keys that can't be used; the message says why."""


def keymap_file() -> Path:
    return home_directory() / "keys.toml"


def load_keymap() -> dict[str, str]:
    """Keys by action; empty without a file. Raises `KeymapError` for a damaged one."""
    path = keymap_file()
    try:
        keys = tomllib.loads(path.read_text(encoding="utf-8")).get("keys", {})
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise KeymapError(f"{path}: can't be read: {error}") from None
    if not isinstance(keys, dict):
        raise KeymapError(f"{path}: keys: expected a table")
    for action, chosen in keys.items():
        if not isinstance(chosen, str) or not chosen:
            raise KeymapError(f'{path}: keys.{action}: expected keys such as "p" or "left,b", got {chosen!r}')
    return keys


def bound(groups: Sequence[Sequence[Binding]], keymap: Mapping[str, str]) -> list[list[Binding]]:
    """The bindings with the keys they really have: what is chosen goes before what is not, a group before the next.

    One that has lost all its keys is left out.
    """
    taken: set[str] = set()
    found = []
    for group in groups:
        chosen: set[str] = set()
        kept: list[Binding | None] = [None] * len(group)
        for place, each in sorted(enumerate(group), key=lambda item: item[1].id not in keymap):
            given = keymap.get(each.id or "")
            keys = [key for key in _keys(given or each.key) if key not in taken and key not in chosen]
            if given:
                chosen.update(keys)
            if keys:
                kept[place] = replace(each, key=",".join(keys), key_display=None if given else each.key_display)
        found.append([each for each in kept if each is not None])
        taken.update(key for each in found[-1] for key in _keys(each.key))
    return found


def complaints(keymap: Mapping[str, str], screens: Mapping[str, Sequence[Sequence[Binding]]]) -> list[str]:
    """What is wrong with the user's keys, a sentence each; `screens` has for each the groups of its bindings."""
    actions = {each.id for groups in screens.values() for group in groups for each in group if each.id}
    said = []
    for action, given in keymap.items():
        if action not in actions:
            near = get_close_matches(action, actions, 1)
            said.append(f"keys.{action}: there is no such action" + (f"; did you mean {near[0]}?" if near else ""))
        said += [f"keys.{action}: there is no key {key}" for key in _keys(given) if not _is_key(key)]
    for name, groups in screens.items():
        said += [each for each in _clashes(keymap, name, groups) if each not in said]
    return said


def _clashes(keymap: Mapping[str, str], screen: str, groups: Sequence[Sequence[Binding]]) -> Iterator[str]:
    before, after = (
        {each.id or each.action: each for group in bound(groups, chosen) for each in group} for chosen in ({}, keymap)
    )
    for action in before:
        left = _keys(after[action].key) if action in after else []
        if action in keymap and (lost := set(_keys(keymap[action])) - set(left)):
            yield f"keys.{action}: {', '.join(sorted(lost))} has another action on {screen}"
        elif not left:
            yield f"keys.toml leaves no key for {action} on {screen}"


def _keys(given: str) -> list[str]:
    """Of a list of keys, each by Textual's name for it."""
    return _normalize_key_list(given).split(",")


def _is_key(name: str) -> bool:
    *modifiers, key = name.split("+")
    if not set(modifiers) <= _MODIFIERS:
        return False
    known = {each.value for each in Keys} | set(KEY_NAME_REPLACEMENTS.values()) | set(KEY_TO_UNICODE_NAME)
    if len(key) == 1 or key in known or name in known:
        return True
    try:
        return bool(lookup(key.replace("_", " ")))
    except KeyError:
        return False
