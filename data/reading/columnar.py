"""Record batches of Parquet and Arrow files as rows of plain JSON values. pyarrow is loaded by the readers that use it.

Most types become what they are in Python. Those that JSON has no word for are put into one: dates and times as ISO
8601 text, decimals as text, durations as seconds, bytes as text where they are UTF-8 and as Base64 otherwise.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from data.errors import DataError
from data.reading.blobs import Blob
from data.rows import SourceRow


def rows_of(blob: Blob, batches: Iterable[Any], kind: str) -> Iterator[SourceRow]:
    """One row per record of the batches; `line` is its number, from 1. Raises DataError where a batch is damaged."""
    from pyarrow import types

    line, is_plain = 0, None
    source = iter(batches)
    while True:
        with damage_refused(blob, kind, line):
            batch = next(source, None)
            if batch is None:
                return
            if is_plain is None:
                is_plain = all(_is_plain(field.type, types) for field in batch.schema)
                _say_bytes(blob, batch.schema, types)
                _refuse_twice(blob, batch.schema.names)
            values = batch.to_pylist()
        for value in values:
            line += 1
            yield SourceRow(line, value if is_plain else {key: plain(each) for key, each in value.items()}, None)


@contextmanager
def damage_refused(blob: Blob, kind: str, num_read: int = 0) -> Iterator[None]:
    """Turns what pyarrow raises for a damaged file into a DataError that says how many rows could be read."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, ValueError, ArithmeticError, LookupError, EOFError, MemoryError, OSError) as error:
        # A damaged length asks for more memory than there is; damaged pages come as OSError without an errno.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(
            f"{blob.name} is not a whole {kind} file (readable up to row {num_read}).",
            means="The file is damaged, cut short, or of another kind.",
            remedy="Download or write it again.",
        ) from error


def plain(value: Any) -> Any:
    """The value as JSON has it, all the way down."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(each, tuple) and len(each) == 2 for each in value):
            return {str(key): plain(each) for key, each in value}  # a map, which pyarrow gives as pairs
        return [plain(each) for each in value]
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return _text_or_base64(value)
    return str(value) if isinstance(value, decimal.Decimal | uuid.UUID) else plain_scalar(value)


def plain_scalar(value: Any) -> Any:
    """A value of a library of its own (numpy, pandas) by what it says of itself."""
    if hasattr(value, "item"):
        return value.item()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _text_or_base64(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(value).decode("ascii")


def _is_plain(kind: Any, types: Any) -> bool:
    """Whether to_pylist gives JSON values for this type already, so that no value has to be looked at."""
    if types.is_nested(kind) and not types.is_map(kind) and not types.is_union(kind):
        return all(_is_plain(kind.field(place).type, types) for place in range(kind.num_fields))
    if types.is_dictionary(kind):
        return _is_plain(kind.value_type, types)
    tests = (
        types.is_boolean,
        types.is_integer,
        types.is_floating,
        types.is_string,
        types.is_large_string,
        types.is_null,
    )
    return any(test(kind) for test in tests) or str(kind) == "string_view"


def _say_bytes(blob: Blob, schema: Any, types: Any) -> None:
    for field in schema:
        if types.is_binary(field.type) or types.is_large_binary(field.type):
            blob.say(f"the column '{field.name}' holds bytes: given as text where they are UTF-8, else as Base64")


def _refuse_twice(blob: Blob, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{blob.name} names the column {twice[0]!r} more than once.",
            means="One of the two would be lost in every row.",
            remedy="Write the file with a different name for each column.",
        )
