"""What a screen shows, as files."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from textual.strip import Strip

from mftui.export.formats import Files


def screen_files(screen: str, svg: str, strips: Iterable[Strip], now: float) -> Files:
    """mftui-explore-20261123-214005.svg, and .txt; `now` in seconds since 1970."""
    stem = f"mftui-{screen}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}"
    text = "\n".join(strip.text.rstrip() for strip in strips) + "\n"
    return {f"{stem}.svg": svg.encode(), f"{stem}.txt": text.encode()}


def self_contained(svg: str) -> str:
    """Without the fonts that Textual's pictures load from elsewhere: the reader's own monospaced font serves."""
    svg = re.sub(r"@font-face\s*{[^}]*}", "", svg)
    return svg.replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")
