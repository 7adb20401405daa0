"""What panels share whose text is read from its beginning and scrolled.

Not here: the panels, and how far a text is scrolled (`tui_app/scrolling`).
"""

from __future__ import annotations

from tui_app.drawing import Line
from tui_app.meters import clipped
from tui_app.runs.view import RunView
from tui_app.scrolling import Scroll


class Scrolled:
    """Whoever is one says in `rows` everything there is to read."""

    def __init__(self) -> None:
        self.scroll = Scroll()

    @property
    def note(self) -> str:
        return f"{self.scroll.num_below} more" if self.scroll.num_below else ""

    def rows(self, view: RunView, width: int) -> list[Line]:
        """Every line, also those that are not seen."""
        raise NotImplementedError

    def draw(self, view: RunView, width: int, height: int) -> list[Line]:
        rows = self.rows(view, width)
        return clipped(rows[self.scroll.window(len(rows), height)], width, height, view.glyphs)
