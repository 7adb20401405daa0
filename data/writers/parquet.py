"""Parquet through pyarrow, which is loaded only here: typed columns, zstandard inside, row groups of about 32 MiB."""

from __future__ import annotations

from collections import Counter
from typing import IO, Any

from data.errors import DataError
from data.rows import Row, RowProblem, encodable
from data.writers import Columns, Prepare, Sink

SUFFIXES = (".parquet",)
COMPRESSIBLE = False
HOLDS = "values"

ROW_GROUP_BYTES = 32 * 1024 * 1024
_ROWS_PER_BATCH = 1000


def preparer(columns: Columns, _changes: Counter[str]) -> Prepare:
    """A row as it is, once its columns are known and its texts can be encoded."""
    known = frozenset(columns.names)

    def prepare(row: Row) -> Row:
        if not known.issuperset(row):
            raise RowProblem("it has a column that the file's schema does not have")
        for name, value in row.items():
            _check_text(value, name)
        return row

    return prepare


def sink(file: IO[bytes], columns: Columns, _suffix: str) -> Sink:
    """A file with the columns' schema."""
    return _Groups(file, columns.schema)


def _check_text(value: Any, name: str) -> None:
    if isinstance(value, str):
        if not value.isascii():
            encodable(value, f"'{name}'")
    elif isinstance(value, dict):
        for key, one in value.items():
            _check_text(key, name)
            _check_text(one, name)
    elif isinstance(value, list):
        for one in value:
            _check_text(one, name)


class _Groups:
    def __init__(self, file: IO[bytes], schema: Any) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._schema = schema
        self._rows: list[Row] = []
        self._batches: list[Any] = []
        self._num_bytes = 0
        try:
            self._file = pq.ParquetWriter(file, schema, compression="zstd", compression_level=3)
        except pa.ArrowNotImplementedError as error:
            raise _unfit(str(error)) from error

    def write(self, prepared: Row) -> None:
        self._rows.append(prepared)
        if len(self._rows) == _ROWS_PER_BATCH:
            self._gather()

    def close(self) -> None:
        self._gather()
        self._write_group()
        self._file.close()

    def _gather(self) -> None:
        """Rows to columns, which take a fraction of the memory."""
        import pyarrow as pa

        if not self._rows:
            return
        try:
            batch = pa.RecordBatch.from_pylist(self._rows, schema=self._schema)
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            raise _unfit(str(error)) from error
        self._rows = []
        self._batches.append(batch)
        self._num_bytes += batch.nbytes
        if self._num_bytes >= ROW_GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow as pa

        if self._batches:
            table = pa.Table.from_batches(self._batches, self._schema).combine_chunks()
            self._file.write_table(table, row_group_size=max(len(table), 1))
        self._batches, self._num_bytes = [], 0


def _unfit(why: str) -> DataError:
    return DataError(
        f"The rows do not fit the columns of a Parquet file: {why.splitlines()[0] if why else 'no reason given'}.",
        means="Every column of a Parquet file holds values of one type.",
        remedy="Write a kind of file that holds anything: --kind jsonl, or a name that ends in .jsonl.",
    )
