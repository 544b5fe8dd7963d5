"""What is wrong with a preset, in words: where it stands, which key, what was expected and what came."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence


class PresetError(ValueError):
    """One or more defects of a preset, each a full sentence that names source and key."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


class Sources:
    """Which file or override each key came from."""

    def __init__(self, default: str, of_key: Mapping[str, str]) -> None:
        self._default = default
        self._of_key = of_key

    def overridden(self, key: str) -> bool:
        return self._of_key.get(key, "").startswith("--set")

    def problem(self, key: str, wanted: str, got: object, hint: str = "") -> str:
        return f"{self._of_key.get(key, self._default)}: {key}: expected {wanted}, got {shown(got)}{hint}"


def shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    return repr(value)


def did_you_mean(word: str, words: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
