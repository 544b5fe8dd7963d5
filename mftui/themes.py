"""Themes for terminals of 16 colours, where Textual's own turn into grey on grey.

All grounds are the terminal's black or white; every colour is one of Rich's sixteen, or a blend of two that comes out
as one that stands off the ground.
"""

from __future__ import annotations

from textual.theme import Theme

SIXTEEN_DARK = Theme(
    name="sixteen-dark",
    primary="#55ffff",
    secondary="#55ffff",
    warning="#ffff55",
    error="#ff5555",
    success="#55ff55",
    accent="#ffff55",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    boost="#000000",
    dark=True,
    variables={
        "primary-muted": "#0000aa",
        "block-cursor-background": "#55ffff",
        "block-cursor-foreground": "#000000",
        "text-primary": "#55ffff",
        "text-warning": "#ffff55",
        "text-error": "#ff5555",
        "text-muted": "#aaaaaa",
        "footer-key-foreground": "#ffff55",
        "scrollbar": "#aaaaaa",
        "scrollbar-background": "#000000",
    },
)
SIXTEEN_LIGHT = Theme(
    name="sixteen-light",
    primary="#0000aa",
    secondary="#0000aa",
    warning="#aa00aa",
    error="#aa0000",
    success="#0000aa",
    accent="#aa00aa",
    foreground="#000000",
    background="#ffffff",
    surface="#ffffff",
    panel="#ffffff",
    boost="#ffffff",
    dark=False,
    variables={
        "primary-muted": "#55ffff",
        "block-cursor-background": "#0000aa",
        "block-cursor-foreground": "#ffffff",
        "text-primary": "#0000aa",
        "text-warning": "#aa00aa",
        "text-error": "#aa0000",
        "text-muted": "#555555",
        "footer-key-foreground": "#0000aa",
        "scrollbar": "#555555",
        "scrollbar-background": "#ffffff",
    },
)
