"""Parquet files, read in batches through pyarrow, which is loaded only here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data.errors import DataError
from data.rows import SourceRow

SUFFIXES = (".parquet",)
IS_TEXT = False

_ROWS_PER_BATCH = 1000


def read(path: Path) -> Iterator[SourceRow]:
    """One row per record; `line` is its number, from 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    line = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS_PER_BATCH, use_threads=False):
                for value in batch.to_pylist():
                    line += 1
                    yield SourceRow(line, value, None)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _broken(path, line) from error
    except OSError as error:
        # pyarrow reports damaged pages as OSError without an errno.
        if error.errno is not None:
            raise
        raise _broken(path, line) from error


def _broken(path: Path, num_read: int) -> DataError:
    return DataError(
        f"{path} is not a whole Parquet file (readable up to row {num_read}).",
        means="The file is damaged, cut short, or of another kind.",
        remedy="Download or write it again.",
    )
