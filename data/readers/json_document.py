"""A JSON document: an array of objects, or an object that holds one list of them.

A `.json` file that turns out to hold JSON Lines is read as such. Rows are decoded one by one, so that each knows
its line and a cut-off file still gives the rows before the cut.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from data.errors import DataError
from data.nearest import listed
from data.readers import json_lines
from data.rows import SourceRow, has_undecodable_bytes, kind_of

SUFFIXES = (".json",)
IS_TEXT = True

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def read(path: Path) -> Iterator[SourceRow]:
    """One row per element of the array."""
    text = path.read_bytes().decode("utf-8-sig", errors="surrogateescape")
    start = _skip(text, 0)
    if text[start : start + 1] == "[":
        yield from _elements(text, start)
    elif _is_json_lines(text, start):
        yield from json_lines.read(path)
    elif text[start : start + 1] == "{":
        yield from _elements(text, _only_list(path, text, start))
    else:
        raise _hopeless(path, "is neither a JSON array nor a JSON object")


def _elements(text: str, start: int) -> Iterator[SourceRow]:
    """The elements of the array that starts at `start`; the first piece that is no JSON ends them with a problem."""
    position, line, counted = _skip(text, start + 1), 1, 0
    while text[position : position + 1] != "]":
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            message = getattr(error, "msg", "a number or a nesting beyond all measure")
            yield SourceRow(line, None, f"not valid JSON from here to the end of the file ({message})")
            return
        yield _row(line, value, text[position:end])
        position = _skip(text, end)
        if text[position : position + 1] == ",":
            position = _skip(text, position + 1)
        elif text[position : position + 1] != "]":
            line += text.count("\n", counted, position)
            yield SourceRow(line, None, "not valid JSON from here to the end of the file (the array is not closed)")
            return


def _row(line: int, value: object, source: str) -> SourceRow:
    if has_undecodable_bytes(source):
        return SourceRow(line, None, "not valid UTF-8")
    if not isinstance(value, dict):
        return SourceRow(line, None, f"the element is {kind_of(value)}, not an object")
    return SourceRow(line, value, None)


def _is_json_lines(text: str, start: int) -> bool:
    """Whether the first value is complete on its own and another one follows it."""
    try:
        _, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return False
    return _skip(text, end) < len(text)


def _only_list(path: Path, text: str, start: int) -> int:
    """Where the array begins that is the object's only list. Raises DataError when there is none, or more than one."""
    lists: dict[str, int] = {}
    position = _skip(text, start + 1)
    while text[position : position + 1] == '"':
        key, position = _DECODER.raw_decode(text, position)
        position = _skip(text, _skip(text, position) + 1)
        if text[position : position + 1] == "[":
            lists[key] = position
        try:
            _, position = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            break
        position = _skip(text, _skip(text, position) + 1)
    if len(lists) != 1:
        found = f"these lists: {listed(lists)}" if lists else "no list"
        raise _hopeless(path, f"is a JSON object that holds {found}, where one list of rows is needed")
    return next(iter(lists.values()))


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _hopeless(path: Path, what: str) -> DataError:
    return DataError(
        f"{path} {what}.",
        means="It cannot be told what its rows are.",
        remedy='Write the rows as JSON Lines (one object per line, ending .jsonl) or as one array: [{"…": "…"}, …].',
    )
