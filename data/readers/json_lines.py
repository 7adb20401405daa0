"""JSON Lines: one JSON object per line, UTF-8. Blank lines are no rows; a broken line costs only itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from data.rows import SourceRow, kind_of

SUFFIXES = (".jsonl", ".ndjson")
IS_TEXT = True

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read(path: Path) -> Iterator[SourceRow]:
    """One row per line that is not blank."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            line = raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 else raw
            if line.strip():
                yield _row(number, line)


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
