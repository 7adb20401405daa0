"""A block of lines that is as high as what it draws, and is drawn anew when its width changes.

Not here: what the lines say. Whoever makes one hands over a function from width (cells) to lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.segment import Segment
from textual import events
from textual.geometry import Size
from textual.strip import Strip

from tui_app.drawing import Line
from tui_app.glyphs import UNICODE
from tui_app.widgets.line_view import LineView

ELLIPSIS = "…"
"""Of our sentences and of what is cut off; where only ASCII is drawn, a `~` of the same width."""
Draw = Callable[[int], Sequence[Line]]


class DrawnView(LineView):
    """`LineView` inside a scrolling page: its height follows its lines."""

    DEFAULT_CSS = "DrawnView { width: 1fr; height: auto; }"

    def __init__(self, draw: Draw | None = None, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._draw = draw

    def draw(self, width: int) -> Sequence[Line]:
        """The lines in `width` cells."""
        return self._draw(width) if self._draw else ()

    def redraw(self) -> None:
        """Something that the lines tell has changed."""
        if not self.size.width:
            return
        before = len(self.lines)
        self.show(self.draw(self.size.width))
        if len(self.lines) != before:
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual calls it
        return len(self.draw(width))

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        if getattr(self.app, "glyphs", UNICODE).is_unicode or ELLIPSIS not in strip.text:
            return strip
        return Strip([Segment(each.text.replace(ELLIPSIS, "~"), each.style) for each in strip], strip.cell_length)

    def on_resize(self, event: events.Resize) -> None:
        self.show(self.draw(event.size.width))
