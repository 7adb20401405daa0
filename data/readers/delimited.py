"""CSV and TSV: a header line, then one record per row. The delimiter is found out: comma, semicolon, tab or bar.

How the delimiter is told lives in `data/reading/csv_dialect`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from data.errors import DataError
from data.nearest import listed
from data.reading.blobs import Blob, head_of
from data.reading.compression import CutShort
from data.reading.csv_dialect import DELIMITERS, delimiter_of, named_delimiter, without_header
from data.reading.lines import LARGEST_LINE_BYTES, TOO_LONG, is_text
from data.rows import SourceRow

SUFFIXES = (".csv", ".tsv")
IS_TEXT = True

# The csv module's own limit, 128 KiB, is less than long documents have. It can only be set for the whole process.
LARGEST_FIELD_CHARACTERS = 64 * 1024 * 1024
_SAMPLE_BYTES = 64 * 1024
_LINE_ENDS = ("\n", "\r")


class _Lines:
    """The lines for the csv module. `fault` is what is wrong with one since it was last set to ""."""

    def __init__(self, file: BinaryIO) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        self.fault = ""

    def __iter__(self) -> Iterator[str]:
        readline = self._text.readline
        while line := readline(LARGEST_LINE_BYTES):
            if len(line) >= LARGEST_LINE_BYTES and not line.endswith(_LINE_ENDS):
                self.fault, line = TOO_LONG, "\n"
                while (rest := readline(LARGEST_LINE_BYTES)) and not rest.endswith(_LINE_ENDS):
                    pass
            elif not line.isascii() and not is_text(line):
                self.fault = "not valid UTF-8"
            elif "\0" in line:
                self.fault = "holds NUL bytes, which are no text"
            yield line


def read(blob: Blob) -> Iterator[SourceRow]:
    """One row per record that is not blank; `line` is the physical line on which the record starts."""
    csv.field_size_limit(LARGEST_FIELD_CHARACTERS)
    sample = head_of(blob, _SAMPLE_BYTES).decode("utf-8-sig", errors="surrogateescape")
    delimiter = named_delimiter(sample) or delimiter_of(sample, blob.suffix)
    with blob.open() as file:
        lines = _Lines(file)
        records = csv.reader(lines, delimiter=delimiter, strict=True)
        if named_delimiter(sample):
            next(records)
        header, notes = _header(blob, records, lines)
        blob.say(f"fields are separated by {DELIMITERS[delimiter]}" if len(header) > 1 else "there is one column")
        for note in notes:
            blob.say(note)
        yield from _rows(blob, lines, records, header)


def _rows(blob: Blob, lines: _Lines, records: Any, header: list[str]) -> Iterator[SourceRow]:
    while True:
        line = records.line_num + 1
        lines.fault = ""
        try:
            fields = next(records)
        except StopIteration:
            return
        except CutShort as cut:
            yield SourceRow(line, None, cut.problem)
            return
        except csv.Error as error:
            yield SourceRow(line, None, _described(error))
            if records.line_num > line and "field larger" in str(error):
                yield SourceRow(records.line_num + 1, None, _UNCLOSED)
                return
        else:
            if lines.fault:
                yield SourceRow(line, None, lines.fault)
            elif len(fields) > 1 or (fields and fields[0].strip()):
                yield _row(blob, line, header, fields)


# Reading on from the middle of such a field would take its text for records.
_UNCLOSED = "not read from here to the end of the file: a quote that opened before does not close"


def _header(blob: Blob, records: Iterator[list[str]], lines: _Lines) -> tuple[list[str], list[str]]:
    """The names of the columns, and what is to be said about them."""
    try:
        header = next((record for record in records if any(name.strip() for name in record)), [])
    except csv.Error as error:
        raise _bad_header(blob, f"is {_described(error)}") from error
    except CutShort as cut:
        raise _bad_header(blob, f"is cut off: {cut.problem}") from cut
    fault = lines.fault
    names = [name.strip() or f"column {number}" for number, name in enumerate(header, start=1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names:
        raise _bad_header(blob, "is missing: the file holds blank lines only")
    if twice:
        raise _bad_header(blob, f"names {listed(twice)} more than once")
    if fault:
        raise _bad_header(blob, f"is {fault}" if fault.startswith("not") else fault)
    notes = [
        f"the column without a name is called '{name}'"
        for name, own in zip(names, header, strict=True)
        if not own.strip()
    ]
    return names, [*notes, *without_header(header)]


def _row(blob: Blob, line: int, header: list[str], fields: list[str]) -> SourceRow:
    if len(fields) == len(header) + 1 and not fields[-1]:
        blob.say("a delimiter at the end of a line is taken for no further field")
        fields.pop()
    if len(fields) != len(header):
        return SourceRow(line, None, f"{len(fields)} field(s) where the header has {len(header)}")
    return SourceRow(line, dict(zip(header, fields, strict=True)), None)


def _described(error: csv.Error) -> str:
    return f"not valid CSV ({error})".replace("'\t'", "a tab")


def _bad_header(blob: Blob, what: str) -> DataError:
    return DataError(
        f"The header line of {blob.name} {what}.",
        means="The columns have no names that the rows could be read by.",
        remedy="Put one line with a different name for each column first, in UTF-8.",
    )
