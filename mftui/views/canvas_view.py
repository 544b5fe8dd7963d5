"""A widget that shows a plot, a heatmap or dots, and sends only the cells that changed."""

from __future__ import annotations

from functools import cache

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from mftui.canvas import Dots, Frame, Glyphs, Heatmap, Plot, changed_spans, draw, draw_dots, draw_heatmap, layout
from mftui.encoding import knows_unicode
from mftui.views.roles import few_colors, rich_style


@cache
def glyphs() -> Glyphs:
    """Braille where the locale can say it, else ASCII."""
    return Glyphs.BRAILLE if knows_unicode() else Glyphs.ASCII


class CanvasView(Widget):
    """Shows the latest drawing it was given."""

    DEFAULT_CSS = "CanvasView { height: 1fr; width: 1fr; }"

    class Pointed(Message):
        """The mouse is held over an x of the plot."""

        def __init__(self, x: float) -> None:
            self.x = x
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.drawing: Plot | Heatmap | Dots | None = None
        self.frame: Frame | None = None
        self._stale = False
        """whether the frame is of another drawing"""
        self._strips: dict[int, Strip] = {}
        self._base: RichStyle | None = None

    @property
    def base(self) -> RichStyle:
        """What it has of its own and of its ancestors' style: Textual takes 0.1 ms to find it."""
        if self._base is None:
            self._base = self.rich_style
        return self._base

    def show(self, drawing: Plot | Heatmap | Dots) -> None:
        """Draw what changed; if the screen is to be laid out first, only then, once it is known how large."""
        self.drawing = drawing
        if any(each._layout_required for each in self.ancestors_with_self if isinstance(each, Widget)):
            self._stale = True
            self.refresh()
        else:
            self._draw()

    def clear(self) -> None:
        """Show nothing."""
        if self.drawing is not None:
            self.drawing = self.frame = None
            self._strips.clear()
            self.refresh()

    @property
    def has_colors(self) -> bool:
        """Of which heatmaps need many."""
        return not self.app.no_color and not few_colors()

    def render_line(self, y: int) -> Strip:
        if self.drawing is not None and not self._fits:
            self._strips.clear()
            self._draw_anew(self.drawing)
        if self.frame is None or y >= self.frame.height:
            return Strip.blank(self.size.width, self.base)
        if y not in self._strips:
            dark = self.app.current_theme.dark
            segments = [Segment(text, self.base + rich_style(style, dark)) for text, style in self.frame.runs(y)]
            self._strips[y] = Strip(segments, self.frame.width)
        return self._strips[y].adjust_cell_length(self.size.width, self.base)

    def notify_style_update(self) -> None:
        self._base = None
        self._strips.clear()
        super().notify_style_update()

    @property
    def _fits(self) -> bool:
        """Whether the frame is of the drawing, and as large as the widget."""
        return self.frame is not None and not self._stale and (self.frame.width, self.frame.height) == self.size

    def _draw(self) -> None:
        """Have the cells sent that changed; where all do, they are drawn as they are rendered."""
        before = self.frame
        if self.drawing is None or before is None or not self._fits:
            self.refresh()
            return
        after = self._draw_anew(self.drawing)
        if spans := changed_spans(before, after):
            for span in spans:
                self._strips.pop(span.row, None)
            self.refresh(*(Region(span.first, span.row, span.end - span.first, 1) for span in spans))

    def _draw_anew(self, drawing: Plot | Heatmap | Dots) -> Frame:
        width, height = self.size
        if isinstance(drawing, Plot):
            keep = self.frame.legend if self.frame else None
            self.frame = draw(drawing, width, height, glyphs(), keep_legend=keep)
        elif isinstance(drawing, Dots):
            self.frame = draw_dots(drawing, width, height, glyphs(), colored=self.has_colors)
        else:
            self.frame = draw_heatmap(drawing, width, height, glyphs(), colored=self.has_colors)
        self._stale = False
        return self.frame

    # --- mouse -------------------------------------------------------------------------------------------------------

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.capture_mouse()
        self._point(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if event.button:
            self._point(event.x)

    def on_mouse_up(self) -> None:
        self.release_mouse()

    def _point(self, column: int) -> None:
        if isinstance(self.drawing, Plot):
            placed = layout(self.drawing, *self.size, glyphs())
            self.post_message(self.Pointed(placed.x_at(self.drawing.x, column)))
