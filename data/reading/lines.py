"""The lines of text in UTF-8, numbered, each of bounded length, so that no single line can fill the memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

LARGEST_LINE_BYTES = 128 * 1024 * 1024
TOO_LONG = f"longer than {LARGEST_LINE_BYTES // 1024**2} MiB, which no row of text should be"

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def numbered_lines(file: BinaryIO, largest: int = LARGEST_LINE_BYTES) -> Iterator[tuple[int, bytes | None]]:
    """Every line with its number from 1, None for one that is too long. Raises CutShort where the file does."""
    number = 0
    while line := file.readline(largest):
        number += 1
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if len(line) >= largest and not line.endswith(b"\n"):
            while (rest := file.readline(largest)) and not rest.endswith(b"\n"):
                pass
            yield number, None
        else:
            yield number, line


def is_text(text: str) -> bool:
    """Whether text decoded with errors="surrogateescape" held UTF-8 throughout; faster than to look for each byte."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
