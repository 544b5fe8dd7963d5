"""Series and matrices into cells: pure functions of plain data, without a terminal.

`draw(Plot(…), width, height, glyphs)` and `draw_heatmap(Heatmap(…), width, height, glyphs)` give a `Frame`;
`changed_spans(before, after)` tells what of it must be sent.
"""

from mftui.canvas.axis import Axis
from mftui.canvas.dots import Dots, draw_dots
from mftui.canvas.frame import Corner, Frame, Span, Style, changed_spans
from mftui.canvas.glyphs import Glyphs
from mftui.canvas.heatmap import Heatmap
from mftui.canvas.heatmap_render import Entries, draw_heatmap, entries_at, marks_entries
from mftui.canvas.limits import Limits, from_zero, sticky_limits
from mftui.canvas.plot import ErrorBars, Label, Line, Plot, Points, Rule, Steps
from mftui.canvas.readout import Reading, readout
from mftui.canvas.render import Layout, draw, layout

__all__ = [
    "Axis",
    "Corner",
    "Dots",
    "Entries",
    "ErrorBars",
    "Frame",
    "Glyphs",
    "Heatmap",
    "Label",
    "Layout",
    "Limits",
    "Line",
    "Plot",
    "Points",
    "Reading",
    "Rule",
    "Span",
    "Steps",
    "Style",
    "changed_spans",
    "draw",
    "draw_dots",
    "draw_heatmap",
    "entries_at",
    "from_zero",
    "layout",
    "marks_entries",
    "readout",
    "sticky_limits",
]
