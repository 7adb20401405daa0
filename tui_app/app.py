"""The full-screen application: one Textual app that shows the screen it is started with, in the terminal at hand.

Not here: what the screens show (`tui_app/screens`), and whether a screen can be used at all (`tui_app/terminal`).
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable
from typing import Any

from textual import events
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.screen import Screen

from tui_app.looks import Looks
from tui_app.themes import DARK, LIGHT


class FinetuiApp(App[int]):
    """`first` makes the first screen; what it returns is the command's exit code, `farewell` is printed after it.

    `is_blurred`: another window of the terminal has the keys. `fault`: what ended the app against its will;
    `ended_by`: the signal that did.
    """

    TITLE = "finetui"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS = [Binding("ctrl+z", "suspend_process", "suspend", show=False)]  # noqa: RUF012 - Textual's class variable
    HORIZONTAL_BREAKPOINTS = [(0, "-compact"), (120, "-wide")]  # noqa: RUF012 - Textual's class variables
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012
    CSS = """
    Screen { background: $background; color: $foreground; }
    ModalScreen { background: $background 60%; align: center middle; }
    """

    def __init__(self, first: Callable[[], Screen[Any]], looks: Looks = Looks()) -> None:  # noqa: B008 - frozen
        super().__init__(ansi_color=looks.is_colourless, driver_class=looks.driver_class)
        self.glyphs, self.is_colourless, self.is_remote = looks.glyphs, looks.is_colourless, looks.is_remote
        self.farewell: tuple[str, ...] = ()
        self.is_blurred = False
        self.fault: Exception | None = None
        self.ended_by: int | None = None
        self._first, self._is_light = first, looks.is_light
        self._loop_of_app: asyncio.AbstractEventLoop | None = None

    def on_mount(self) -> None:
        self._loop_of_app = asyncio.get_running_loop()
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = LIGHT.name if self._is_light else DARK.name
        if self.is_remote:
            self.animation_level = "none"
        self.push_screen(self._first())

    def on_app_blur(self, _event: events.AppBlur) -> None:
        self.is_blurred = True

    def on_app_focus(self, _event: events.AppFocus) -> None:
        self.is_blurred = False
        for screen in self.screen_stack:
            if look := getattr(screen, "look_now", None):
                look()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Every key of the screen at hand, and what holds for the whole app."""
        for command in getattr(screen, "commands", list)():
            yield SystemCommand(command.label, command.help, command.run)
        other = LIGHT if self.theme == DARK.name else DARK
        kind = "dark" if other.dark else "light"
        yield SystemCommand(f"Colours: {kind}", f"Draw for a {kind} terminal", lambda: self.wear(other.name))

    def end(self, number: int) -> None:
        """End because of a signal, with the exit code that shells give it; what was filled in is kept first.

        For signal handlers. Raises SystemExit while nothing is shown yet.
        """
        if self.ended_by is not None:  # a terminal that is closed hangs up twice
            return
        self.ended_by = number
        if self._loop_of_app is None:
            raise SystemExit(128 + number)
        self._loop_of_app.call_soon_threadsafe(self._end, 128 + number)

    async def action_quit(self) -> None:
        """Ctrl-Q: at once, on every page; what was filled in is kept."""
        self._end(0)

    def action_help_quit(self) -> None:
        """Ctrl-C where nothing is selected to be copied: what the signal does, not a hint at another key."""
        self.end(signal.SIGINT)

    def _end(self, code: int) -> None:
        for screen in self.screen_stack:
            if keep := getattr(screen, "keep", None):
                keep()
        self.exit(code)

    def wear(self, theme: str) -> None:
        """Change to the theme of that name."""
        self.theme = theme

    def say(self, text: str, *, is_warning: bool = False) -> None:
        """A short note in the corner; the text is drawn as it stands."""
        self.notify(text, markup=False, severity="warning" if is_warning else "information", timeout=4)

    def ring(self, sequence: str) -> None:
        """Send the terminal what touches no cell of the screen: the bell, a message for its desktop."""
        if self._driver is not None and not self.is_web and sequence:
            self._driver.write(sequence)

    def copy(self, text: str) -> None:
        """Hand the text to the terminal's clipboard (OSC 52), and say so: not every terminal takes it."""
        self.copy_to_clipboard(text)
        self.say("Copied, if this terminal lets programs copy (OSC 52).")

    def _handle_exception(self, error: Exception) -> None:
        """Textual prints a traceback with every local; ours is kept for the caller, who says it in a sentence."""
        self.fault = self.fault or error
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        self._close_messages_no_wait()
