"""A place on the screen that shows one panel of a run, with its title; a panel that fails says so and ends nothing.

Not here: what panels draw (`tui_app/panels`), and when they are drawn (`tui_app/screens/live`).
"""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.widget import Widget

from tui_app.cli import write_traceback
from tui_app.drawing import Line, line, literal, plain_text, spread, width_of, wrap
from tui_app.meters import clipped
from tui_app.panels import Panel
from tui_app.runs.view import RunView
from tui_app.widgets.line_view import LineView


class PanelView(LineView):
    """`panel` may be exchanged; `number` is the digit that leads to it, 0 for none."""

    class Chosen(Message):
        """Somebody clicked on it."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    class Scrolled(Message):
        """The wheel was turned over it; `rows` is negative for upwards."""

        def __init__(self, panel: Panel, rows: int) -> None:
            super().__init__()
            self.panel, self.rows = panel, rows

    def __init__(self, panel: Panel, *, id: str, number: int = 0, titled: bool = True) -> None:  # noqa: A002 - Textual's
        super().__init__(id=id)
        self.panel, self.number, self.titled = panel, number, titled
        self.failure = self.log_path = ""

    def paint(self, view: RunView, *, is_active: bool = False) -> None:
        """Draw the panel as it is now; not while the place is hidden."""
        width, height = self.size
        is_hidden = not all(node.display for node in self.ancestors_with_self if isinstance(node, Widget))
        if is_hidden or width < 1 or height < 1:
            return
        title = [self._title(view, width, is_active=is_active)] if self.titled and height > 1 else []
        self.show([*title, *self.content(view, width, height - len(title))])

    def content(self, view: RunView, width: int, height: int) -> list[Line]:
        """The panel's lines, or what went wrong with it."""
        try:
            drawn = self.panel.draw(view, width, height)
        except Exception as fault:  # noqa: BLE001 - training goes on, and so do the other panels
            told = f"panel failed: {type(fault).__name__}: {fault}"
            if told != self.failure:
                self.failure = told
                self.log_path = str(write_traceback())
            text = f"{literal(told)[:400]}; y copies. The traceback is in {self.log_path}; the run is untouched."
            return clipped(wrap(text, max(width, 1), "bad"), width, height, view.glyphs)
        self.failure = ""
        return drawn

    def text(self, view: RunView) -> str:
        """What is copied of it."""
        if self.failure:
            return f"{self.failure}\n{self.log_path}"
        whole = getattr(self.panel, "text", None)
        return str(whole(view)) if whole else plain_text(self.panel.draw(view, max(self.size.width, 1), 1_000))

    def _title(self, view: RunView, width: int, *, is_active: bool) -> Line:
        dash = view.glyphs.horizontal
        digit = f"{self.number} " if self.number else ""
        name = f"{digit}{self.panel.TITLE}"
        head = line((dash, "faint"), " ", (name, "title" if is_active else "dim"), " ")
        note = getattr(self.panel, "note", "")
        tail = line((dash, "faint"), f" {note} ") if note else ()
        rest = max(width - width_of(head) - width_of(tail), 0)
        return spread((*head, *tail, *line((dash * rest, "faint"))), (), width, ellipsis=view.glyphs.ellipsis)

    def on_click(self, _event: events.Click) -> None:
        if self.number:
            self.post_message(self.Chosen(self.number))

    def on_mouse_scroll_down(self, _event: events.MouseScrollDown) -> None:
        self.post_message(self.Scrolled(self.panel, 3))

    def on_mouse_scroll_up(self, _event: events.MouseScrollUp) -> None:
        self.post_message(self.Scrolled(self.panel, -3))
