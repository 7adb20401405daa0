"""Text that is longer than its place: scrolled by keys and wheel, without a scrollbar.

Not here: where the lines come from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType

from tui_app.drawing import Line
from tui_app.widgets.line_view import LineView

Maker = Callable[[int], list[Line]]
"""Width in cells -> every line there is."""


class Pages(LineView, can_focus=True):
    """Draws what `make` says for the present width; remembers where it was scrolled to."""

    DEFAULT_CSS = "Pages { width: 1fr; height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_by(-1)", show=False),
        Binding("down,j", "scroll_by(1)", show=False),
        Binding("pageup", "scroll_page(-1)", show=False),
        Binding("pagedown,space", "scroll_page(1)", show=False),
        Binding("home", "scroll_by(-100000)", show=False),
        Binding("end", "scroll_by(100000)", show=False),
    ]

    def __init__(self, make: Maker, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._make = make
        self.first = 0
        self.num_lines = 0

    def make_anew(self, make: Maker | None = None) -> None:
        """Draw again, from another source if one is given."""
        self._make = make or self._make
        if not self.size.width or not self.size.height:
            return
        every = self._make(self.size.width)
        self.num_lines = len(every)
        self.first = max(min(self.first, len(every) - self.size.height), 0)
        self.show(every[self.first : self.first + self.size.height])

    def on_mount(self) -> None:
        self.make_anew()

    def on_resize(self, _event: events.Resize) -> None:
        self.make_anew()

    def action_scroll_by(self, lines: int) -> None:
        self.first = max(self.first + lines, 0)
        self.make_anew()

    def action_scroll_page(self, pages: int) -> None:
        self.action_scroll_by(pages * max(self.size.height - 1, 1))

    def on_mouse_scroll_down(self, _event: events.MouseScrollDown) -> None:
        self.action_scroll_by(3)

    def on_mouse_scroll_up(self, _event: events.MouseScrollUp) -> None:
        self.action_scroll_by(-3)
