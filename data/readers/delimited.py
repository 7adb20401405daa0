"""CSV and TSV: a header line, then one record per row. The delimiter is found out: comma, semicolon, tab or bar."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from data.errors import DataError
from data.nearest import listed
from data.rows import SourceRow, has_undecodable_bytes

SUFFIXES = (".csv", ".tsv")
IS_TEXT = True

DELIMITERS = (",", ";", "\t", "|")
# The csv module's own limit, 128 KiB, is less than long documents have. It can only be set for the whole process.
LARGEST_FIELD_BYTES = 64 * 1024 * 1024
_SAMPLE_CHARACTERS = 64 * 1024


def read(path: Path) -> Iterator[SourceRow]:
    """One row per record that is not blank; `line` is the physical line on which the record starts."""
    csv.field_size_limit(LARGEST_FIELD_BYTES)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        sample = file.read(_SAMPLE_CHARACTERS)
        file.seek(0)
        records = csv.reader(file, delimiter=delimiter_of(sample, path.suffix.lower()), strict=True)
        header = _header(path, records)
        while True:
            line = records.line_num + 1
            try:
                fields = next(records)
            except StopIteration:
                return
            except csv.Error as error:
                yield SourceRow(line, None, _described(error))
                continue
            if fields:
                yield _row(line, header, fields)


def delimiter_of(sample: str, suffix: str = ".csv") -> str:
    """The delimiter that cuts the sample into records of one width, the widest such; of equals, the suffix's own."""
    own = "\t" if suffix == ".tsv" else ","
    return max(DELIMITERS, key=lambda delimiter: (*_fit(sample, delimiter), delimiter == own))


def _fit(sample: str, delimiter: str) -> tuple[float, int]:
    """How many of the first records are as wide as the header (0-1; 0 for a single column), and that width."""
    widths: list[int] = []
    try:
        for record in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
            if record:
                widths.append(len(record))
            if len(widths) == 50:
                break
    except csv.Error:
        return 0.0, 0
    if not widths or widths[0] == 1:
        return 0.0, 0
    return widths.count(widths[0]) / len(widths), widths[0]


def _header(path: Path, records: Iterator[list[str]]) -> list[str]:
    try:
        header = next((record for record in records if record), [])
    except csv.Error as error:
        raise _bad_header(path, f"is {_described(error)}") from error
    names = [name.strip() or f"column {number}" for number, name in enumerate(header, start=1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names:
        raise _bad_header(path, "is missing: the file holds blank lines only")
    if twice:
        raise _bad_header(path, f"names {listed(twice)} more than once")
    if any(map(has_undecodable_bytes, names)):
        raise _bad_header(path, "is not valid UTF-8")
    return names


def _row(line: int, header: list[str], fields: list[str]) -> SourceRow:
    if len(fields) != len(header):
        return SourceRow(line, None, f"{len(fields)} field(s) where the header has {len(header)}")
    if any(map(has_undecodable_bytes, fields)):
        return SourceRow(line, None, "not valid UTF-8")
    return SourceRow(line, dict(zip(header, fields, strict=True)), None)


def _described(error: csv.Error) -> str:
    return f"not valid CSV ({error})".replace("'\t'", "a tab")


def _bad_header(path: Path, what: str) -> DataError:
    return DataError(
        f"The header line of {path} {what}.",
        means="The columns have no names that the rows could be read by.",
        remedy="Put one line with a different name for each column first, in UTF-8.",
    )
