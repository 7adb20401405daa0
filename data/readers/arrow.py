"""Arrow files, both the stream that datasets.save_to_disk writes and the file format, through pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from data.reading.blobs import Blob, seekable
from data.reading.columnar import damage_refused, rows_of
from data.rows import SourceRow

SUFFIXES = (".arrow", ".feather")
IS_TEXT = False

_FILE_MARK = b"ARROW1"
_ROWS_PER_PIECE = 1000


def read(blob: Blob) -> Iterator[SourceRow]:
    """One row per record; `line` is its number, from 1."""
    import pyarrow as pa

    whole = seekable(blob)
    with whole.open() as opened:
        is_file = opened.read(len(_FILE_MARK)) == _FILE_MARK
        opened.seek(0)
        with damage_refused(blob, "Arrow"):
            reader = pa.ipc.open_file(opened) if is_file else pa.ipc.open_stream(opened)
        yield from rows_of(blob, _batches(reader, is_file), "Arrow")


def _batches(reader: Any, is_file: bool) -> Iterator[Any]:
    """The batches, checked and cut into pieces of which few values are in memory as Python objects."""
    whole = (reader.get_batch(number) for number in range(reader.num_record_batches)) if is_file else reader
    for batch in whole:
        # A damaged offset would be followed into foreign memory otherwise.
        batch.validate(full=True)
        for start in range(0, batch.num_rows, _ROWS_PER_PIECE):
            yield batch.slice(start, _ROWS_PER_PIECE)
