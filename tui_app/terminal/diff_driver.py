"""A Textual driver that sends only the cells that changed, and never more than the terminal takes.

Textual resends every cell of a refreshed region. Here its stream goes into a grid instead (`screen_stream`,
`cell_grid`), and one frame at a time goes out: the difference to what the terminal shows. While a frame is on its
way, newer ones are merged in the grid, so a slow line costs frames, never memory, order or the event loop's time.

All of it happens in the thread of the event loop; other threads' writes are passed to it. Only the handlers of
SIGTSTP, SIGCONT and SIGWINCH can come in between two lines.

Inline applications do not come here: Textual draws those with a driver of its own.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import select
import selectors
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TextIO, cast

from textual import events
from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.constants import ESCAPE_DELAY
from textual.drivers.linux_driver import LinuxDriver

from tui_app.terminal.cell_grid import CellGrid
from tui_app.terminal.screen_stream import Raw, ScreenStream, Setting, Sync

if TYPE_CHECKING:
    from textual.app import App
    from textual.driver import Driver
    from textual.message import Message

# How long Textual is given to draw itself after the window changed.
_REPAINT_AFTER_S = 0.25
_LOOK_FOR_END_S = 0.1
_READ_BYTES = 4096
_SYNC_BEGINS, _SYNC_ENDS = "\x1b[?2026h", "\x1b[?2026l"


def driver_class(environ: Mapping[str, str], *, wanted: bool = True) -> type[Driver] | None:
    """What to give `App(driver_class=...)`: the driver here, or None for Textual's own.

    `wanted` is the command line's say; FINETUI_DIFF=0 and a driver named in TEXTUAL_DRIVER turn it off as well.
    """
    if not wanted or environ.get("FINETUI_DIFF") == "0" or environ.get("TEXTUAL_DRIVER"):
        return None
    return DiffDriver


def repaint(app: App[Any]) -> None:
    """Draw the whole screen again, for a terminal on which something else has written; with any driver."""
    driver = app._driver
    if isinstance(driver, DiffDriver):
        driver.invalidate()
    else:
        app.refresh(layout=True)


class DiffDriver(LinuxDriver):
    """LinuxDriver with a memory of what the terminal shows."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        assert self._file is not None, "Textual draws on stderr"
        self._terminal = TerminalFile(self._file, self._drained)
        self._file = cast("Any", self._terminal)
        self._thread = threading.get_ident()
        self._grid = CellGrid(*app.size)
        self._stream = ScreenStream(self._grid)
        self._settings: dict[str, str] = {}
        self._handed_over = 0
        self._in_sync = False
        self._terminal_syncs = False
        self._has_screen = False
        self._reported_size: tuple[int, ...] = ()

    def invalidate(self) -> None:
        """Forget what the terminal shows and repaint it whole, for a screen that something else has written on."""
        self._grid.forget()
        self._send_frame()

    def write(self, data: str) -> None:
        """Take what Textual draws. Returns at once, unless escape sequences we do not know fill the writer's queue."""
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self.write, data)
            return
        self._follow_size()
        for passage in self._stream.feed(data):
            match passage:
                case Setting(text, kind):
                    # Of two settings of one kind that both wait, only the newer one counts, in its own place.
                    self._settings.pop(kind, None)
                    self._settings[kind] = text
                case Raw(text):
                    self._hand_over(self._taken_settings() + text)
                case Sync(begins):
                    self._terminal_syncs = True
                    self._in_sync = begins
        self._send_frame()

    def flush(self) -> None:
        """Send what was drawn, as far as the terminal is ready for it."""
        self._send_frame()

    def start_application_mode(self) -> None:
        """Take the screen, of which nothing is known yet. After a suspension, what stood there is drawn again:
        Textual leaves that to the terminal when it was stopped by a signal.
        """
        self._stream.restart()
        self._settings.clear()
        self._in_sync = False
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._has_screen = True
        self._hand_over(self._taken_settings())
        if self._reported_size == (self._grid.columns, self._grid.rows):  # otherwise Textual draws for the new size
            self._send_frame()

    def stop_application_mode(self) -> None:
        """Give the screen back. Cells that were not sent yet are not sent any more; terminal settings are."""
        self._has_screen = False
        self._settings["look"] = "\x1b[m"
        super().stop_application_mode()
        self._hand_over(self._taken_settings())

    def run_input_thread(self) -> None:
        """Keys, as in Textual's loop, which looks only every 100 ms whether an Escape was the whole key."""
        parser, decode = XTermParser(self._debug), codecs.getincrementaldecoder("utf-8")("replace").decode
        selector = selectors.SelectSelector()
        selector.register(self.fileno, selectors.EVENT_READ)
        try:
            while not self.exit_event.is_set():
                is_undecided = parser._timeout_time is not None
                typed = ""
                if selector.select(ESCAPE_DELAY if is_undecided else _LOOK_FOR_END_S):
                    typed = decode(os.read(self.fileno, _READ_BYTES))
                for message in [*(parser.feed(typed) if typed else ()), *parser.tick()]:
                    self.process_message(message)
        finally:
            selector.close()
            with contextlib.suppress(EOFError, ParseError):
                list(parser.feed(""))

    def process_message(self, message: Message) -> None:
        """Messages from the input thread; one of them is the new size, where the terminal reports it there."""
        if isinstance(message, events.Resize) and tuple(message.size) != self._reported_size:
            self._reported_size = tuple(message.size)
            self._loop.call_soon_threadsafe(self._window_changed)
        super().process_message(message)

    def _get_terminal_size(self) -> tuple[int, int]:
        """Asked at the start and, in a signal handler, whenever the window changes."""
        self._loop.call_soon_threadsafe(self._window_changed)
        self._reported_size = size = super()._get_terminal_size()
        return size

    def _window_changed(self) -> None:
        """Terminals move or cut what they show, even if the size is the old one again: then Textual draws nothing."""
        self._grid.forget()
        self._loop.call_later(_REPAINT_AFTER_S, self._send_frame)

    def _follow_size(self) -> None:
        size = self._app.size
        if (size.width, size.height) != (self._grid.columns, self._grid.rows):
            self._grid.resize(size.width, size.height)

    def _send_frame(self) -> None:
        """Send the newest frame, unless the terminal still takes the last one: then `_drained` comes back here."""
        if self._in_sync or not self._has_screen or self._is_busy():
            return
        forgotten = self._grid.forgotten
        frame = self._stream.frame()
        if forgotten != self._grid.forgotten:
            # A signal handler gave the screen away, and took it back, while the frame was being made.
            self._grid.forget()
            frame = self._stream.frame()
        text = frame.text
        if frame.cells and self._terminal_syncs:
            text = f"{_SYNC_BEGINS}{text}{_SYNC_ENDS}"
        self._hand_over(self._taken_settings() + text)

    def _taken_settings(self) -> str:
        """The settings that wait, which then wait no more."""
        settings = "".join(self._settings.values())
        self._settings.clear()
        return settings

    def _hand_over(self, text: str) -> None:
        """Give text to the writer's thread. Between a suspension and the return there is none, and nothing to write."""
        if text and self._writer_thread is not None and self._writer_thread.is_alive():
            self._handed_over += 1
            self._writer_thread.write(text)

    def _is_busy(self) -> bool:
        return self._handed_over > self._terminal.taken

    def _drained(self) -> None:
        """The terminal has taken everything, says the writer's thread. What was merged meanwhile goes out next."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it what there was to draw
            self._loop.call_soon_threadsafe(self._send_frame)


class TerminalFile:
    """The file that the writer's thread writes to: counts what the terminal has taken, and outlives its end."""

    def __init__(self, file: TextIO, drained: Callable[[], None]) -> None:
        self._fileno = file.fileno()
        self._encoding = file.encoding or "utf-8"
        self._drained = drained
        self._gone = False
        self.taken = 0

    def write(self, text: str) -> int:
        """Write all of `text`, waiting for the terminal as long as it takes. Nothing, once the terminal is gone."""
        data = memoryview(text.encode(self._encoding, "replace"))
        while data and not self._gone:
            try:
                data = data[os.write(self._fileno, data) :]
            except BlockingIOError:  # the shell left it non-blocking
                select.select([], [self._fileno], [])
            except OSError:
                self._gone = True
        self.taken += 1
        self._drained()
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def fileno(self) -> int:
        """The terminal's file descriptor."""
        return self._fileno
