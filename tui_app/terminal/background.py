"""Asks the terminal for its background colour (OSC 11), before anything is drawn.

The terminal's answer comes through the keyboard's line, so the tty is read raw for a moment and put back in every
case. Keys typed until then are dropped: they were pressed before there was a page that they could be meant for. A
question that every terminal answers (device attributes) follows the one that many do not know, so that its answer
ends the waiting.
"""

from __future__ import annotations

import os
import re
import select
import termios
import time
from typing import Any

_QUESTION = b"\x1b]11;?\x07\x1b[c"
_COLOUR = re.compile(
    rb"\x1b\]11;rgba?:([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})[^\x07\x1b]*(?:\x07|\x1b\\)"
)
_ATTRIBUTES = re.compile(rb"\x1b\[\?[\d;]*c")


def ask_whether_dark(reads: int, writes: int, *, limit_s: float) -> bool | None:
    """Ask the terminal behind the file descriptors, for at most `limit_s` seconds; None where it does not say.

    Nothing is asked from a background job, which may not change the terminal.
    """
    try:
        if os.tcgetpgrp(reads) != os.getpgrp():
            return None
        before = termios.tcgetattr(reads)
    except (OSError, termios.error):
        return None
    try:
        termios.tcsetattr(reads, termios.TCSANOW, _raw(before))
        received = _exchange(reads, writes, limit_s)
    except (OSError, termios.error):
        return None
    finally:
        termios.tcsetattr(reads, termios.TCSANOW, before)
    colour = _COLOUR.search(received)
    return None if colour is None else _is_dark(colour)


def _exchange(reads: int, writes: int, limit_s: float) -> bytes:
    """Send the question; all that came back until the last answer or the limit."""
    os.write(writes, _QUESTION)
    received, end = b"", time.monotonic() + limit_s
    while _ATTRIBUTES.search(received) is None and (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([reads], [], [], left)
        data = os.read(reads, 1024) if ready else b""
        if not data:
            break
        received += data
    return received


def _raw(attributes: list[Any]) -> list[Any]:
    """No echo and no waiting for a line; signals stay, so ctrl+c works."""
    raw = [*attributes[:3], attributes[3] & ~(termios.ECHO | termios.ICANON), *attributes[4:6], [*attributes[6]]]
    raw[6][termios.VMIN] = raw[6][termios.VTIME] = 0
    return raw


def _is_dark(colour: re.Match[bytes]) -> bool:
    """Whether the colour's luma (ITU-R BT.601) is below the middle."""
    red, green, blue = (int(part, 16) / (16 ** len(part) - 1) for part in colour.groups())
    luma: float = 0.299 * red + 0.587 * green + 0.114 * blue
    return luma < 0.5
