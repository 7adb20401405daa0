"""A JSON document: an array of objects, an object that holds one list of them, or objects one behind another.

Rows are decoded one by one, so that a document of any size takes little memory, each row knows its line, and a cut-off
file still gives the rows before the cut.
"""

from __future__ import annotations

from collections.abc import Iterator

from data.errors import DataError
from data.nearest import listed
from data.reading.blobs import Blob
from data.reading.json_window import JsonWindow, Malformed
from data.rows import SourceRow, kind_of

SUFFIXES = (".json",)
IS_TEXT = True

# A second list in an object is looked for so far before the first is taken for the only one. One that comes later is
# refused when it is met, after the rows of the first.
_LOOK_AHEAD_BYTES = 64 * 1024 * 1024


def read(blob: Blob) -> Iterator[SourceRow]:
    """One row per element. Raises DataError where it cannot be told what the rows are."""
    with blob.open() as file:
        window = JsonWindow(file)
        first = window.peek()
        if first == "[":
            yield from _to_the_end(window, _elements(window))
            return
        if first != "{":
            raise _hopeless(blob, "is neither a JSON array nor a JSON object")
    lists, is_followed = _lists(blob)
    if is_followed:
        yield from _behind_one_another(blob)
        return
    if len(lists) != 1:
        raise _no_single_list(blob, lists)
    with blob.open() as file:
        window = JsonWindow(file)
        yield from _to_the_end(window, _of_list(blob, window, lists[0]))


def _lists(blob: Blob) -> tuple[list[str], bool]:
    """The keys of the object's lists, as far as they can be read, and whether another object follows it."""
    lists: list[str] = []
    with blob.open() as file:
        window = JsonWindow(file)
        try:
            for key in _keys(window):
                if window.peek() != "[":
                    window.value()
                    continue
                lists.append(key)
                for _ in _elements(window):
                    if window.num_read > _LOOK_AHEAD_BYTES:
                        return lists, False
            return lists, window.peek() == "{"
        except Malformed:
            return lists, False


def _keys(window: JsonWindow) -> Iterator[str]:
    """The keys of the object that comes next, each when the place is before its value. Raises Malformed."""
    window.passes("{")
    while window.peek() == '"':
        key, _ = window.value()
        if not window.passes(":"):
            raise Malformed(window.cut or "Expecting ':' delimiter")
        yield str(key)
        if not window.passes(","):
            break
    if not window.passes("}"):
        raise Malformed(window.cut or "the object is not closed")


def _of_list(blob: Blob, window: JsonWindow, wanted: str) -> Iterator[SourceRow]:
    """The elements of the object's list of that name. Raises Malformed, and DataError where there is another list."""
    for key in _keys(window):
        if key == wanted:
            yield from _elements(window)
        elif window.peek() == "[":
            raise _no_single_list(blob, [wanted, key])
        else:
            window.value()


def _elements(window: JsonWindow) -> Iterator[SourceRow]:
    """The elements of the array that comes next. Raises Malformed."""
    window.passes("[")
    if window.passes("]"):
        return
    while True:
        yield _next_row(window)
        if window.passes(","):
            continue
        if window.passes("]"):
            return
        raise Malformed(window.cut or "the array is not closed")


def _behind_one_another(blob: Blob) -> Iterator[SourceRow]:
    """Objects that follow one another without commas, each over as many lines as it likes."""
    blob.say("read as JSON objects one behind another")
    with blob.open() as file:
        window = JsonWindow(file)
        yield from _to_the_end(window, iter(lambda: _next_row(window) if window.peek() else None, None))


def _next_row(window: JsonWindow) -> SourceRow:
    window.peek()
    line = window.line
    value, is_clean = window.value()
    if not is_clean:
        return SourceRow(line, None, "not valid UTF-8")
    if not isinstance(value, dict):
        return SourceRow(line, None, f"the element is {kind_of(value)}, not an object")
    return SourceRow(line, value, None)


def _to_the_end(window: JsonWindow, rows: Iterator[SourceRow]) -> Iterator[SourceRow]:
    """The rows; then one problem where the document breaks off, or where something follows it.

    Rows that share a physical line, as in an array without line breaks, are numbered as if each had its own.
    """
    last = 0
    try:
        for row in rows:
            last = max(row.line, last + 1)
            yield row if row.line == last else SourceRow(last, row.value, row.problem)
        reason = window.cut or ("text behind its end" if window.peek() else "")
    except Malformed as fault:
        reason = fault.reason
    if reason:
        is_cut = reason == window.cut
        problem = reason if is_cut else f"not valid JSON from here to the end of the file ({reason})"
        yield SourceRow(max(window.line, last + 1), None, problem)


def _no_single_list(blob: Blob, lists: list[str]) -> DataError:
    found = f"these lists: {listed(lists)}" if lists else "no list"
    return _hopeless(blob, f"is a JSON object that holds {found}, where one list of rows is needed")


def _hopeless(blob: Blob, what: str) -> DataError:
    return DataError(
        f"{blob.name} {what}.",
        means="It cannot be told what its rows are.",
        remedy='Write the rows as JSON Lines (one object per line, ending .jsonl) or as one array: [{"…": "…"}, …].',
    )
