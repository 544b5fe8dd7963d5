"""Keys of the user's own choice: `keys.toml` in mftui's folder maps actions, as the help screen names them, to keys.

[keys]
pause = "w"
"cursor(-1)" = "left,b"
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from engine.home import home_directory


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
