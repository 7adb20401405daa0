"""The last row of every screen: the keys that matter now, from the screen's table.

Not here: the table (`tui_app/keys`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tui_app.drawing import Line
from tui_app.keys import HELP, Key, footer_line, in_ascii
from tui_app.widgets.one_row import OneRow


class KeyFooter(OneRow):
    """`refused`: action -> why it cannot be done now; those are drawn grey."""

    DEFAULT_CSS = "KeyFooter { dock: bottom; height: 1; width: 1fr; background: $surface; }"

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        super().__init__(id="footer")
        self._keys, self._refused, self._help = tuple(keys), dict[str, str](), HELP

    def offer(self, keys: Iterable[Key], refused: Mapping[str, str] | None = None, help_key: Key = HELP) -> None:
        """Draw another table, or other keys of it grey; `help_key` where `?` would be typed."""
        self._keys, self._refused, self._help = tuple(keys), dict(refused or {}), help_key
        self.redraw()

    def row(self, width: int) -> Line:
        keys = self._keys if self.glyphs.is_unicode else in_ascii(self._keys)
        return footer_line(keys, width, self._refused, self._help)
