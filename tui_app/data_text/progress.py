"""How far the making of rows has come, on stderr: only for a person who waits longer than two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TypeVar

_Item = TypeVar("_Item")
WAIT_SECONDS, EVERY_ROWS = 2.0, 500


def counted(items: Iterator[_Item], total: int) -> Iterator[_Item]:
    """The same items; the count is shown where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    shown, is_shown = time.monotonic() + WAIT_SECONDS, False
    for number, item in enumerate(items):
        if number % EVERY_ROWS == 0 and time.monotonic() > shown:
            shown, is_shown = time.monotonic() + 0.5, True
            sys.stderr.write(f"\r{number:,} of {total:,} rows")
            sys.stderr.flush()
        yield item
    if is_shown:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
