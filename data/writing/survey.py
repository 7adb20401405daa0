"""Which columns rows have, and of which types: what a header line or a Parquet schema must know before the first row.

One pass over all rows; a thousand of them at a time are held. Not here: writing them (`writers/`).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from data.many_rows.key_index import RowNumbers
from data.rows import Row
from data.writers import Columns

MISFIT = "a column holds another type of value here than in earlier rows, and Parquet holds one type a column"
_ROWS_AT_ONCE = 1000


def names_in(rows: Iterable[tuple[int, Row]]) -> Columns:
    """Every column in order of first appearance, less those whose names no header line can hold.

    `rows` are row numbers and rows.
    """
    names: dict[str, None] = {}
    for _, row in rows:
        if names.keys() != row.keys():
            names.update(dict.fromkeys(filter(_can_head, row)))
    return Columns(tuple(names))


def _can_head(name: str) -> bool:
    return "\0" not in name and (name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name))


def types_in(rows: Iterable[tuple[int, Row]]) -> tuple[Columns, RowNumbers]:
    """Columns with the pyarrow schema that holds all rows, and the numbers of the rows that it cannot hold.

    Types widen as pyarrow's "permissive" promotion does: null to anything, whole numbers to fractions, fields of
    objects together. What cannot be brought together keeps the type met first.
    """
    import pyarrow as pa

    schema, misfits = pa.schema([]), RowNumbers()
    numbered = iter(rows)
    while chunk := list(islice(numbered, _ROWS_AT_ONCE)):
        wider = _widened(schema, [row for _, row in chunk])
        if wider is not None:
            schema = wider
            continue
        for number, row in chunk:
            wider = _widened(schema, [row])
            if wider is None:
                misfits.add(number)
            else:
                schema = wider
    return Columns(tuple(schema.names), schema), misfits


def _widened(schema: Any, rows: list[Row]) -> Any:
    """The schema that also holds these rows, or None where there is none."""
    import pyarrow as pa

    names = dict.fromkeys(name for row in rows for name in row)
    try:
        found = pa.schema([(name, pa.array([row.get(name) for row in rows]).type) for name in names])
        wider = pa.unify_schemas([schema, found], promote_options="permissive")
        if wider != schema and wider != found:
            # A type can widen to one that these very values do not go into: 2**60 and 0.5.
            pa.RecordBatch.from_pylist(rows, schema=wider)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return None
    return wider
