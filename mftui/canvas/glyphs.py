"""The three ways to put dots into cells, and every character that a plot is made of."""

from __future__ import annotations

import unicodedata
from enum import Enum
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Stroke = Literal["solid", "dashed", "dotted"]

SPACE = ord(" ")
_BRAILLE_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_QUADRANT_BITS = ((1, 2), (4, 8))
_QUADRANTS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"
DASHES: dict[Stroke, tuple[int, int]] = {"solid": (1, 1), "dashed": (4, 2), "dotted": (2, 1)}
"""period and lit part, in dots; with two dots across, a dash is a cell and so is the gap"""

_PLAIN_LETTERS = str.maketrans(
    {"–": "-", "—": "-", "−": "-", "·": ".", "×": "x", "ε": "e", "σ": "s", "…": ".", "╌": "-", "━": "-", "≤": "<"}
)
_ONE_CELL_BLOCKS = (range(0x80, 0x1100), range(0x1E00, 0x2600), range(0x2800, 0x2900))
"""alphabets, punctuation, arrows, mathematics, boxes, shapes, braille; elsewhere terminals disagree on widths"""


class Glyphs(Enum):
    """How a cell is divided: 2×4 braille dots, 2×2 quadrants, or one ASCII character that tells the series."""

    BRAILLE = "braille"
    BLOCKS = "blocks"
    ASCII = "ascii"

    @property
    def across(self) -> int:
        """Dots side by side in a cell."""
        return 1 if self is Glyphs.ASCII else 2

    @property
    def down(self) -> int:
        """Dots above each other in a cell."""
        return {Glyphs.BRAILLE: 4, Glyphs.BLOCKS: 2, Glyphs.ASCII: 1}[self]

    @property
    def shapes(self) -> str:
        """Marks that can be told apart without colour."""
        return "*o+x#@%&" if self is Glyphs.ASCII else "●■▲◆○□△◇"

    @property
    def box(self) -> dict[str, str]:
        """Pieces of axes and legends by name."""
        names = ("upright", "level", "corner", "y tick", "x tick", "solid", "dashed", "dotted")
        return dict(zip(names, "|-++++-." if self is Glyphs.ASCII else "│─└┤┬─╌┈", strict=True))

    def shape(self, index: int) -> str:
        """The nth mark; they repeat after eight."""
        return self.shapes[index % len(self.shapes)]


def encode(
    layers: NDArray[np.int16], glyphs: Glyphs, marks: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], NDArray[np.int16]]:
    """Code points, and the topmost layer, of each cell; both of shape (rows, columns).

    `layers` has a number per dot, shape (rows × `glyphs.down`, columns × `glyphs.across`): 0 is unlit, a higher number
    lies on top. All lit dots of a cell show. `marks[layer]` is the code point of a layer in ASCII.
    """
    rows, columns = layers.shape[0] // glyphs.down, layers.shape[1] // glyphs.across
    split = layers.reshape(rows, glyphs.down, columns, glyphs.across)
    top: NDArray[np.int16] = split.max(axis=(1, 3), initial=0)
    if glyphs is Glyphs.ASCII:
        return marks[top], top
    weights = _BRAILLE_BITS if glyphs is Glyphs.BRAILLE else _QUADRANT_BITS
    bits = np.zeros((rows, columns), np.uint32)
    for down, pair in enumerate(weights):
        for across, weight in enumerate(pair):
            bits |= (split[:, down, :, across] > 0) * np.uint32(weight)
    if glyphs is Glyphs.BRAILLE:
        return np.where(bits, bits + np.uint32(0x2800), np.uint32(SPACE)), top
    return code_points(_QUADRANTS)[bits], top


def code_points(text: str) -> NDArray[np.uint32]:
    """Shape (characters,)."""
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


@lru_cache(maxsize=1024)
def one_cell_each(text: str, glyphs: Glyphs) -> str:
    """`text` of characters one cell wide, as many as before: "?" for wide, joining and control characters."""
    if glyphs is Glyphs.ASCII:
        text = text.translate(_PLAIN_LETTERS)
    return "".join(character if _is_one_cell(character, glyphs) else "?" for character in text)


def _is_one_cell(character: str, glyphs: Glyphs) -> bool:
    if character.isascii():
        return character.isprintable()
    wide = unicodedata.east_asian_width(character) in "WF" or unicodedata.category(character)[0] not in "LNPS"
    return glyphs is not Glyphs.ASCII and not wide and any(ord(character) in block for block in _ONE_CELL_BLOCKS)
