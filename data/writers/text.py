"""Plain text files for continued pretraining: one {"text": ...} per paragraph, a blank line between two."""

from __future__ import annotations

from collections import Counter
from typing import IO

from data.errors import DataError
from data.rows import Row, RowProblem, text_of
from data.writers import Columns, Prepare, Sink

SUFFIXES = (".txt",)
COMPRESSIBLE = True
HOLDS = "text"


def preparer(_columns: Columns, _changes: Counter[str]) -> Prepare:
    """A row -> its text, which must come back as one paragraph."""
    return _paragraph


def sink(file: IO[bytes], _columns: Columns, _suffix: str) -> Sink:
    """Paragraph after paragraph."""
    return _Paragraphs(file)


def _paragraph(row: Row) -> bytes:
    if any(name != "text" and value is not None for name, value in row.items()):
        raise RowProblem("it has columns beside 'text', and a text file has no place for them")
    text = text_of(row, "text")
    lines = text.split("\n")
    if not all(line.strip() for line in lines) or "\r" in text or "\0" in text:
        raise RowProblem("'text' holds a blank line or control characters; in a text file it would be several texts")
    return text.encode()


class _Paragraphs:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._num_texts = 0
        self._has_lines = False

    def write(self, prepared: bytes) -> None:
        self._file.write(b"\n" + prepared + b"\n" if self._num_texts else prepared + b"\n")
        self._num_texts += 1
        self._has_lines = self._has_lines or b"\n" in prepared

    def close(self) -> None:
        if self._num_texts == 1 and self._has_lines:
            raise DataError(
                "A text file with a single text of several lines would be read as one text per line.",
                means="The row would not come back as it was.",
                remedy="Write another kind of file: --kind jsonl, or a name that ends in .jsonl.",
            )
