"""Plain text files for continued pretraining: {"text": ...} per paragraph.

Paragraphs are set apart by blank lines, since prose wraps its lines. A file without any blank line between
its texts holds one text per line instead.
"""

from __future__ import annotations

from collections.abc import Iterator

from data.file_choice import TEXT_ENDINGS
from data.reading.blobs import Blob
from data.reading.compression import CutShort
from data.reading.lines import LARGEST_LINE_BYTES, TOO_LONG, numbered_lines
from data.rows import SourceRow

SUFFIXES = TEXT_ENDINGS
IS_TEXT = True


def read(blob: Blob) -> Iterator[SourceRow]:
    """One row per paragraph, or per line where no blank line sets paragraphs apart; `line` is where it starts."""
    by_paragraph = _has_paragraphs(blob)
    blob.say("each paragraph is a row" if by_paragraph else "each line is a row, since no blank line parts paragraphs")
    paragraph: list[bytes | None] = []
    start, number, size = 1, 0, 0
    with blob.open() as file:
        try:
            for number, line in numbered_lines(file):
                is_blank = line is not None and not line.strip()
                if paragraph and (is_blank or not by_paragraph):
                    yield _row(start, paragraph)
                    paragraph = []
                if is_blank:
                    continue
                if not paragraph:
                    start, size = number, 0
                size += LARGEST_LINE_BYTES if line is None else len(line)
                # What is too long is known by its place alone.
                paragraph = [None] if size >= LARGEST_LINE_BYTES else _with(paragraph, line)
            if paragraph:
                yield _row(start, paragraph)
        except CutShort as cut:
            if paragraph and not by_paragraph:
                yield _row(start, paragraph)
            yield SourceRow(start if paragraph and by_paragraph else number + 1, None, cut.problem)


def _with(paragraph: list[bytes | None], line: bytes | None) -> list[bytes | None]:
    paragraph.append(line)
    return paragraph


def _has_paragraphs(blob: Blob) -> bool:
    blank_after_text = seen_text = False
    with blob.open() as file:
        try:
            for _, line in numbered_lines(file):
                is_blank = line is not None and not line.strip()
                if not is_blank and blank_after_text:
                    return True
                blank_after_text = blank_after_text or (seen_text and is_blank)
                seen_text = seen_text or not is_blank
        except CutShort:
            pass  # said by the row at the cut
    return False


def _row(start: int, lines: list[bytes | None]) -> SourceRow:
    whole = [line for line in lines if line is not None]
    if len(whole) < len(lines):
        return SourceRow(start, None, TOO_LONG)
    try:
        text = b"".join(whole).decode("utf-8")
    except UnicodeDecodeError:
        return SourceRow(start, None, "not valid UTF-8")
    if "\0" in text:
        return SourceRow(start, None, "holds NUL bytes, which are no text")
    return SourceRow(start, {"text": text.replace("\r\n", "\n").rstrip("\n")}, None)
