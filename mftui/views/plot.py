"""A widget that shows a chart and sends only the lines that changed."""

from __future__ import annotations

from textual import work
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from mftui.views.plotting import Chart, draw_in_thread


class Plot(Widget):
    """Draws the latest chart it was given, in the plotting thread; charts that came meanwhile are skipped."""

    DEFAULT_CSS = "Plot { height: 1fr; width: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.chart: Chart | None = None
        self._drawn: tuple[Chart, int, int] | None = None
        self._drawing = False
        self._lines: list[Strip] = []

    def show(self, chart: Chart) -> None:
        self.chart = chart
        self._draw_if_needed()

    def on_resize(self) -> None:
        self._draw_if_needed()

    def render_line(self, y: int) -> Strip:
        if y >= len(self._lines):
            return Strip.blank(self.size.width, self.rich_style)
        style = self.rich_style
        return self._lines[y].adjust_cell_length(self.size.width).apply_style(style)

    @property
    def _wanted(self) -> tuple[Chart, int, int] | None:
        return (self.chart, *self.size) if self.chart is not None and self.size else None

    def _draw_if_needed(self) -> None:
        if not self._drawing and self._wanted not in (None, self._drawn):
            self._drawing = True
            self._draw()

    @work
    async def _draw(self) -> None:
        while (wanted := self._wanted) is not None and wanted != self._drawn:
            lines = await draw_in_thread(*wanted)
            self._drawn = wanted
            self._replace(lines)
        self._drawing = False

    def _replace(self, lines: list[Strip]) -> None:
        before, self._lines = self._lines, lines
        if len(before) != len(lines):
            self.refresh()
            return
        pairs = enumerate(zip(before, lines, strict=True))
        changed = [y for y, (old, new) in pairs if old != new]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))
