"""The list of runs on the screen: which row the pointer is on, what is scrolled to, and the mouse.

Drawn through `LineView`: a tick that changes one number sends one row, where a DataTable sends its whole width. Not
here: what a row says (`tui_app/runs/history_table`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from textual import events
from textual.message import Message

from tui_app.drawing import Line
from tui_app.glyphs import UNICODE
from tui_app.runs.history import RunRow
from tui_app.runs.history_table import list_lines
from tui_app.widgets.line_view import LineView


class RunList(LineView, can_focus=True):
    """`offer` hands it the rows; the pointer stays on its run when the order changes."""

    DEFAULT_CSS = "RunList { height: 1fr; }"

    class Looked(Message):
        """The pointer moved."""

    class Opened(Message):
        """The run under the pointer is wanted: it was clicked again."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.rows: Sequence[RunRow] = ()
        self.marked: list[Path] = []
        self.pointed = self.top = 0
        self.empty: Sequence[Line] = ()
        """What stands there when there is no row."""

    @property
    def pointed_row(self) -> RunRow | None:
        return self.rows[self.pointed] if self.rows else None

    @property
    def seen(self) -> list[Path]:
        """The runs on the screen now."""
        return [row.run.path for row in self.rows[self.top : self.top + max(self.size.height, 1)]]

    def offer(self, rows: Sequence[RunRow], *, keep_run: bool = True) -> None:
        """Show these rows."""
        before = self.pointed_row if keep_run and (self.pointed or self.top) else None
        self.rows = rows
        place = self.pointed if keep_run else 0
        if before:
            place = {row.run.path: at for at, row in enumerate(rows)}.get(before.run.path, place)
        self._go(place)

    def move(self, by: int) -> None:
        """Move the pointer by so many rows; it stops at the ends."""
        self._go(self.pointed + by)
        self.post_message(self.Looked())

    def redraw(self) -> None:
        """Draw the rows anew; only those that changed are sent."""
        if not self.rows:
            self.show(self.empty)
            return
        self.show(
            list_lines(
                self.rows,
                pointed=self.pointed,
                top=self.top,
                marked=self.marked,
                width=self.size.width,
                height=self.size.height,
                now=time.time(),
                glyphs=getattr(self.app, "glyphs", UNICODE),
            )
        )

    def _go(self, place: int) -> None:
        last = len(self.rows) - 1
        self.pointed = min(max(place, 0), max(last, 0))
        height = max(self.size.height, 1)
        self.top = min(max(self.top, self.pointed - height + 1), self.pointed, max(last - height + 1, 0))
        self.redraw()

    def on_resize(self, _event: events.Resize) -> None:
        self._go(self.pointed)

    def on_click(self, event: events.Click) -> None:
        """Once points, twice opens."""
        place = self.top + event.y
        if place >= len(self.rows):
            return
        if place == self.pointed:
            self.post_message(self.Opened())
        else:
            self.move(place - self.pointed)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.move(-3)
