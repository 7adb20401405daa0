"""CSV and TSV: a header line, then one record a row; quoted only where it must be, lines ended by a line feed."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import IO

from data.rows import Row, RowProblem, encodable
from data.writers import Columns, Prepare, Sink
from data.writing.json_text import text_of_value

SUFFIXES = (".csv", ".tsv")
COMPRESSIBLE = True
HOLDS = "text"


def preparer(columns: Columns, changes: Counter[str]) -> Prepare:
    """A row -> the texts of its cells, in the columns' order."""
    names = columns.names
    known = frozenset(names)

    def prepare(row: Row) -> list[str]:
        if not known.issuperset(row):
            raise RowProblem("it has a column that the header does not have, or a name for one that no header can hold")
        noted: set[str] = set()
        cells = [
            value if type(value := row.get(name)) is str else text_of_value(value, f"'{name}'", noted) for name in names
        ]
        for cell in cells:
            if not cell.isascii():
                encodable(cell, "it")
            if "\0" in cell:
                raise RowProblem("it holds a NUL character, and a CSV file with one is no text file")
        changes.update(noted)
        return cells

    return prepare


def sink(file: IO[bytes], columns: Columns, suffix: str) -> Sink:
    """The header at once, so that no row still makes a table."""
    return _Table(file, columns, "\t" if suffix == ".tsv" else ",")


class _Table:
    def __init__(self, file: IO[bytes], columns: Columns, delimiter: str) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
        self._records = csv.writer(self._text, delimiter=delimiter, lineterminator="\n")
        # The csv module leaves a lone carriage return unquoted, and takes it for the end of the record.
        self._quoted = csv.writer(self._text, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
        self.write(list(columns.names))

    def write(self, prepared: list[str]) -> None:
        records = self._quoted if any("\r" in cell for cell in prepared) else self._records
        records.writerow(prepared)

    def close(self) -> None:
        self._text.detach()  # flushes, and leaves the file open
