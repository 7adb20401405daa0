"""Readers of dataset files. Each file here reads one kind, found by being here; there is no list to add it to.

A reader is a module with
  SUFFIXES    the file name endings it reads, lower case
  IS_TEXT     whether its files are UTF-8 text (compressed, binary and UTF-16 files never get that far)
  read(path)  yields one SourceRow per row, the unusable ones with their problem; raises DataError for a hopeless file
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Protocol, cast

from data.errors import DataError
from data.rows import SourceRow

# First bytes of kinds of files that people hand over by mistake.
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
}
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
PARQUET_MARK = b"PAR1"


class Reader(Protocol):
    """What every module in this folder offers."""

    SUFFIXES: tuple[str, ...]
    IS_TEXT: bool

    def read(self, path: Path) -> Iterator[SourceRow]:
        """The rows of one file, lazily, in file order."""


@cache
def readers() -> dict[str, Reader]:
    """Every reader by file name ending."""
    modules = [
        cast(Reader, importlib.import_module(f"{__name__}.{module.name}")) for module in pkgutil.iter_modules(__path__)
    ]
    return {suffix: module for module in modules for suffix in module.SUFFIXES}


def read_file(path: Path) -> Iterator[SourceRow]:
    """The rows of one file, lazily. Raises DataError when the file as a whole cannot be read."""
    reader = readers().get(path.suffix.lower())
    try:
        with path.open("rb") as file:
            head = file.read(8192)
        _check_head(path, head, reader)
        assert reader is not None
        yield from reader.read(path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or type(error).__name__}.",
            means="Its rows are needed and missing.",
            remedy="Check that the file is there and that you may read it.",
        ) from error


def _check_head(path: Path, head: bytes, reader: Reader | None) -> None:
    if not head:
        raise DataError(
            f"{path} is empty.",
            means="There is no row to train on.",
            remedy="Check whether writing or downloading it was cut short, or name another file as data.dataset.",
        )
    kind = next((name for mark, name in COMPRESSED.items() if head.startswith(mark)), None)
    if kind is not None:
        raise _unreadable(path, f"is {kind}-compressed", "Unpack it and name the unpacked file as data.dataset.")
    if reader is None:
        raise _unreadable(
            path,
            f"is of a kind that is not read ({path.suffix or 'no file name ending'})",
            f"Convert it to one of {', '.join(sorted(readers()))}, or give it the ending of what it holds.",
        )
    if not reader.IS_TEXT:
        return
    if head.startswith(PARQUET_MARK):
        raise _unreadable(path, "holds Parquet data", "Give it the ending .parquet.")
    if head.startswith(UTF16_MARKS):
        raise _unreadable(
            path, "is UTF-16 text", f"Convert it: iconv -f UTF-16 -t UTF-8 {path.name} > utf8-{path.name}"
        )
    if b"\0" in head:
        raise _unreadable(path, "is binary, not text", f"Check what it is with: file {path.name}")


def _unreadable(path: Path, what: str, remedy: str) -> DataError:
    return DataError(f"{path} {what}.", means="No row can be read from it.", remedy=remedy)
