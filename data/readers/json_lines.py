"""JSON Lines: one JSON object per line, UTF-8. Blank lines are no rows; a broken line costs only itself."""

from __future__ import annotations

import json
from collections.abc import Iterator

from data.reading.blobs import Blob
from data.reading.compression import CutShort
from data.reading.lines import LARGEST_LINE_BYTES, TOO_LONG, numbered_lines
from data.rows import SourceRow, kind_of

SUFFIXES = (".jsonl", ".ndjson")
IS_TEXT = True


def read(blob: Blob, largest_line: int = LARGEST_LINE_BYTES) -> Iterator[SourceRow]:
    """One row per line that is not blank."""
    number = 0
    with blob.open() as file:
        try:
            for number, line in numbered_lines(file, largest_line):
                if line is None:
                    yield SourceRow(number, None, TOO_LONG)
                elif not line.isspace() and line:
                    yield _row(number, line)
        except CutShort as cut:
            yield SourceRow(number + 1, None, cut.problem)


def _row(number: int, line: bytes) -> SourceRow:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return SourceRow(number, None, "not valid UTF-8")
    except json.JSONDecodeError as error:
        return SourceRow(number, None, f"not valid JSON ({error.msg})")
    except (ValueError, RecursionError):
        return SourceRow(number, None, "JSON with a number or a nesting beyond all measure")
    if not isinstance(value, dict):
        return SourceRow(number, None, f"the line is {kind_of(value)}, not an object")
    return SourceRow(number, value, None)
