"""A widget that shows lines of spans and, when they change, redraws only the rows that did.

Not here: what the lines say (`tui_app/panels`), how a role looks (`tui_app/roles`).
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui_app.drawing import Line
from tui_app.roles import style_of


class LineView(Widget):
    """Rows of text in a fixed place. `show` is cheap to call often: equal rows cost nothing."""

    DEFAULT_CSS = "LineView { width: 1fr; height: 1fr; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self.lines: tuple[Line, ...] = ()

    def show(self, lines: Sequence[Line]) -> None:
        """Draw these lines, one a row; rows beyond the widget's height are not seen."""
        before, self.lines = self.lines, tuple(lines)
        if len(before) != len(self.lines):
            self.refresh()
            return
        width = self.size.width
        changed = [
            Region(0, y, width, 1) for y, (old, new) in enumerate(zip(before, self.lines, strict=True)) if old != new
        ]
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        base = self.rich_style
        if y >= len(self.lines):
            return Strip.blank(width, base)
        styled = [Segment(span.text, base + style_of(span.role, self.app)) for span in self.lines[y]]
        return Strip(styled).extend_cell_length(width, base).crop(0, width)
