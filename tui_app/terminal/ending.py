"""Signals that ask a program to end: the terminal is given back first, as it was.

Textual minds only Ctrl-C: at any other it dies with the terminal still in its hands, and the shell after it gets
mouse movements for keys. Not here: what is kept and said at the end (`tui_app/screens/showing`).
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
PATIENCE_SECONDS = 20
"""For an orderly end, which waits for threads that read a model or rows; then the system ends the process."""


@contextmanager
def asked_to_end(end: Callable[[int], None]) -> Iterator[None]:
    """While it lasts such a signal calls `end` with its number, between two instructions of the main thread."""

    def obey(number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE_SECONDS)
        end(number)

    before = {number: signal.signal(number, obey) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
