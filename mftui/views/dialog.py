"""A screen over another that stays visible, and goes on, around it."""

from __future__ import annotations

from typing import TypeVar

from textual.geometry import Region
from textual.screen import ModalScreen
from textual.strip import Strip

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """Shows what is under it as it is: Textual would send each of its cells through Rich, in every frame."""

    def render_lines(self, crop: Region) -> list[Strip]:
        stack = self.app.screen_stack
        place = stack.index(self) if self in stack else 0
        if not place:
            return super().render_lines(crop)
        strips = stack[place - 1]._compositor.render_strips()[crop.y : crop.bottom]
        return [strip.crop(crop.x, crop.right) for strip in strips]
