"""Room kept on the disk for the last words of an event file: a disk that fills up must not swallow why a run ended.

Blocks are reserved behind the end of the file without its getting longer. Not here: what is written (`event_log`).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import math
import sys
from collections.abc import Callable
from typing import Any

KEEP_SIZE = 1
"""FALLOC_FL_KEEP_SIZE of linux/falloc.h."""
ROOM_BYTES = 8192
"""Two of the longest lines: why a worker failed, and how the run ended."""


class Room:
    """What is reserved behind the end of an open file. Where a filesystem reserves nothing, it does no harm."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._until = 0.0

    def keep(self, end: int) -> bool:
        """Have room behind the byte `end`; False where the disk is too full for it."""
        for num_bytes in (4 * ROOM_BYTES, ROOM_BYTES):  # the more at once, the more seldom it is asked for
            if self._until >= end + ROOM_BYTES:
                return True
            fault = _reserve(self._fd, end, num_bytes)
            if fault not in (0, errno.ENOSPC, errno.EDQUOT):
                self._until = math.inf
            elif not fault:
                self._until = end + num_bytes
        return self._until >= end + ROOM_BYTES


def _reserve(fd: int, start: int, num_bytes: int) -> int:
    """Reserve blocks; 0, or the errno."""
    call = _fallocate()
    if call is None:
        return errno.EOPNOTSUPP
    return ctypes.get_errno() if call(fd, KEEP_SIZE, start, num_bytes) else 0


@functools.cache
def _fallocate() -> Callable[..., Any] | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None, use_errno=True)
    found = getattr(library, "fallocate64", None)
    if found is not None:
        found.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return found
