"""One line of text being typed."""

from __future__ import annotations

from dataclasses import dataclass

NUMERIC = frozenset("0123456789.eE+-_")
LISTED = NUMERIC | set(", []")


@dataclass
class Edit:
    """A text, and where in it the next character goes."""

    text: str
    caret: int
    allowed: frozenset[str] | None = None
    """characters it takes; None for all"""

    def takes(self, character: str | None) -> bool:
        return character is not None and character.isprintable() and (self.allowed is None or character in self.allowed)

    def insert(self, text: str) -> None:
        """What is not allowed is left out."""
        text = "".join(filter(self.takes, text))
        self.text = self.text[: self.caret] + text + self.text[self.caret :]
        self.caret += len(text)

    def press(self, key: str, character: str | None) -> bool:
        """Whether the key is one of editing; if so it is done."""
        match key:
            case "left":
                self.caret = max(0, self.caret - 1)
            case "right":
                self.caret = min(len(self.text), self.caret + 1)
            case "home" | "ctrl+a":
                self.caret = 0
            case "end" | "ctrl+e":
                self.caret = len(self.text)
            case "backspace" if self.caret:
                self.text = self.text[: self.caret - 1] + self.text[self.caret :]
                self.caret -= 1
            case "backspace":
                pass
            case "delete":
                self.text = self.text[: self.caret] + self.text[self.caret + 1 :]
            case "ctrl+u":
                self.text, self.caret = self.text[self.caret :], 0
            case _ if self.takes(character):
                self.insert(character or "")
            case _:
                return False
        return True
