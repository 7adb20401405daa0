"""One JSON array of objects, one object a line."""

from __future__ import annotations

from collections import Counter
from typing import IO

from data.writers import Columns, Prepare, Sink
from data.writing.json_text import json_preparer

SUFFIXES = (".json",)
COMPRESSIBLE = True
HOLDS = "anything"


def preparer(_columns: Columns, changes: Counter[str]) -> Prepare:
    """A row -> its object as text."""
    return json_preparer(changes)


def sink(file: IO[bytes], _columns: Columns, _suffix: str) -> Sink:
    """The array, opened with the first row."""
    return _Array(file)


class _Array:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._before = b"[\n"

    def write(self, prepared: bytes) -> None:
        self._file.write(self._before + prepared)
        self._before = b",\n"

    def close(self) -> None:
        self._file.write(b"[]\n" if self._before == b"[\n" else b"\n]\n")
