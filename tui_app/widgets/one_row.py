"""A row that is drawn for the width it has: at the top or the bottom of a screen.

Not here: what the rows say (`crumbs`, `footer`).
"""

from __future__ import annotations

from textual import events

from tui_app.drawing import Line
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.widgets.line_view import LineView


class OneRow(LineView):
    """Whoever makes one says in `row` what it shows."""

    @property
    def glyphs(self) -> Glyphs:
        glyphs: Glyphs = getattr(self.app, "glyphs", UNICODE)
        return glyphs

    def row(self, width: int) -> Line:
        """The row in `width` cells."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Something that the row tells has changed."""
        if self.size.width:
            self.show([self.row(self.size.width)])

    def on_mount(self) -> None:
        self.redraw()

    def on_resize(self, _event: events.Resize) -> None:
        self.redraw()
