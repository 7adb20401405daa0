"""The full-screen application: one Textual app that shows the screen it is started with, in the terminal at hand.

Not here: what the screens show (`tui_app/screens`), and whether a screen can be used at all (`tui_app/terminal`).
"""

from __future__ import annotations

from collections.abc import Callable

from textual.app import App
from textual.screen import Screen

from tui_app.glyphs import UNICODE, Glyphs
from tui_app.themes import DARK, LIGHT


class FinetuiApp(App[int]):
    """`first` makes the first screen. Its return value is the command's exit code; `farewell` is printed after it."""

    TITLE = "finetui"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [(0, "-compact"), (120, "-wide")]  # noqa: RUF012 - Textual's class variables
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012

    def __init__(
        self,
        first: Callable[[], Screen[object]],
        *,
        glyphs: Glyphs = UNICODE,
        light: bool = False,
        is_colourless: bool = False,
        is_remote: bool = False,
    ) -> None:
        super().__init__(ansi_color=is_colourless)
        self.glyphs, self.is_colourless, self.is_remote = glyphs, is_colourless, is_remote
        self.farewell: tuple[str, ...] = ()
        self._first, self._is_light = first, light

    def on_mount(self) -> None:
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = LIGHT.name if self._is_light else DARK.name
        self.push_screen(self._first())
