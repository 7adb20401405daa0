"""JSON Lines: one object per line, UTF-8, letters as they are (no \\u escapes)."""

from __future__ import annotations

from collections import Counter
from typing import IO

from data.writers import Columns, Prepare, Sink
from data.writing.json_text import json_preparer

SUFFIXES = (".jsonl", ".ndjson")
COMPRESSIBLE = True
HOLDS = "anything"


def preparer(_columns: Columns, changes: Counter[str]) -> Prepare:
    """A row -> its line, without the line break."""
    return json_preparer(changes)


def sink(file: IO[bytes], _columns: Columns, _suffix: str) -> Sink:
    """One line a row."""
    return _Lines(file)


class _Lines:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, prepared: bytes) -> None:
        self._file.write(prepared + b"\n")

    def close(self) -> None:
        pass
