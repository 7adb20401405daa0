"""A bound on the time that work on a stranger's text may take: a pattern that explodes, a template without an end.

Not here: what is done about it (`bounded_pattern`, and the rendering of chat templates in the engine).
"""

from __future__ import annotations

import signal
import threading
from typing import Any


class TookTooLong(BaseException):
    """The time is up. No Exception: the compiler of Jinja catches those, and begins again."""


class TimeLimit:
    """`with TimeLimit(5):` raises TookTooLong in what takes longer than so many seconds by the clock.

    It rings by SIGALRM, which Python's own code and its regular expressions heed in the middle of their work. Only the
    main thread hears it: in another one nothing is bounded. Two limits do not nest.
    """

    __slots__ = ("_before", "_is_main", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._is_main = threading.current_thread() is threading.main_thread()
        self._before: Any = None

    def __enter__(self) -> None:
        if self._is_main:
            self._before = signal.signal(signal.SIGALRM, _ring)
            signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def __exit__(self, *_: object) -> None:
        if self._is_main:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before or signal.SIG_DFL)


def _ring(*_: object) -> None:
    raise TookTooLong
