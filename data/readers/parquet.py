"""Parquet files, read in batches through pyarrow, which is loaded only here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from data.reading.blobs import Blob, seekable
from data.reading.columnar import damage_refused, rows_of
from data.rows import SourceRow

SUFFIXES = (".parquet",)
IS_TEXT = False

_ROWS_PER_BATCH = 1000
# Column chunks are read through a buffer of this size. Otherwise a row group is held whole: 1 GB where a file has one.
_BUFFER_BYTES = 1024 * 1024


def read(blob: Blob) -> Iterator[SourceRow]:
    """One row per record; `line` is its number, from 1."""
    import pyarrow.parquet as pq

    with seekable(blob).open() as opened:
        with damage_refused(blob, "Parquet"):
            file = pq.ParquetFile(
                blob.path or opened,
                pre_buffer=False,
                buffer_size=_BUFFER_BYTES,
                page_checksum_verification=True,
            )
        with file:
            yield from rows_of(blob, _batches(file), "Parquet")


def _batches(file: Any) -> Iterator[Any]:
    yield from file.iter_batches(batch_size=_ROWS_PER_BATCH, use_threads=False)
