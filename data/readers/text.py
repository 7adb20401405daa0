"""Plain text files for continued pretraining: {"text": ...} per paragraph.

Paragraphs are set apart by blank lines, since prose wraps its lines. A file without any blank line between
its texts holds one text per line instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data.rows import SourceRow

SUFFIXES = (".txt",)
IS_TEXT = True

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read(path: Path) -> Iterator[SourceRow]:
    """One row per paragraph, or per line where no blank line sets paragraphs apart; `line` is where it starts."""
    if not _has_paragraphs(path):
        for number, line in _lines(path):
            if line.strip():
                yield _row(number, [line])
        return
    paragraph: list[bytes] = []
    start = 1
    for number, line in _lines(path):
        if line.strip():
            start = start if paragraph else number
            paragraph.append(line)
        elif paragraph:
            yield _row(start, paragraph)
            paragraph = []
    if paragraph:
        yield _row(start, paragraph)


def _has_paragraphs(path: Path) -> bool:
    blank_after_text = seen_text = False
    for _, line in _lines(path):
        if line.strip() and blank_after_text:
            return True
        blank_after_text = blank_after_text or (seen_text and not line.strip())
        seen_text = seen_text or bool(line.strip())
    return False


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            yield number, line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line


def _row(start: int, lines: list[bytes]) -> SourceRow:
    try:
        text = b"".join(lines).decode("utf-8")
    except UnicodeDecodeError:
        return SourceRow(start, None, "not valid UTF-8")
    return SourceRow(start, {"text": text.replace("\r\n", "\n").rstrip("\n")}, None)
