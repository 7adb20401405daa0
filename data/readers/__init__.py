"""Readers of dataset files. Each file here reads one kind, found by being here; there is no list to add it to.

A reader is a module with
  SUFFIXES    the file name endings it reads, lower case, without those of compressions
  IS_TEXT     whether its files are text (it is given UTF-8, whatever they are in)
  read(blob)  yields one SourceRow per row, the unusable ones with their problem; raises DataError for a hopeless file
Compressions and encodings are dealt with before (`content`), archives in `archives`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Protocol, cast

from data.errors import DataError
from data.file_choice import row_names
from data.nearest import listed
from data.reading.blobs import Blob, file_blob
from data.reading.compression import CutShort
from data.reading.content import content_of
from data.rows import SourceRow


class Reader(Protocol):
    """What every module in this folder offers."""

    SUFFIXES: tuple[str, ...]
    IS_TEXT: bool

    def read(self, blob: Blob) -> Iterator[SourceRow]:
        """The rows of one blob, lazily, in order."""


@cache
def readers() -> dict[str, Reader]:
    """Every reader by file name ending."""
    modules = [
        cast(Reader, importlib.import_module(f"{__name__}.{module.name}")) for module in pkgutil.iter_modules(__path__)
    ]
    return {suffix: module for module in modules for suffix in module.SUFFIXES}


def read_file(path: Path) -> Iterator[SourceRow]:
    """The rows of one file, lazily; of an archive those of every member that holds rows. Raises DataError."""
    for blob in blobs_in(file_blob(path)):
        yield from read_blob(blob)


def blobs_in(blob: Blob) -> list[Blob]:
    """The blob itself, or the members of an archive that hold rows. Raises DataError where it cannot be opened."""
    members = members_in(blob)
    if members is None:
        return [blob]
    inside = {member.name: member.name.removeprefix(f"{blob.name}/") for member in members}
    chosen = set(row_names(inside.values(), readers()))
    found = sorted((member for member in members if inside[member.name] in chosen), key=lambda member: member.name)
    if not found:
        raise no_rows_inside(f"The archive {blob.name}", sorted(inside.values()))
    return found


def members_in(blob: Blob) -> list[Blob] | None:
    """The files inside an archive, None where the blob is none. Raises DataError where it cannot be opened."""
    from data.reading.archives import members_of  # with zipfile and tarfile, which cost 10 ms

    try:
        return members_of(blob)
    except OSError as error:
        raise unreadable(blob, error) from error


def no_rows_inside(where: str, every: list[str]) -> DataError:
    """The error for a folder or an archive without a file of rows."""
    return DataError(
        f"{where} holds no file that is read ({', '.join(sorted(readers()))}).",
        means=f"It holds {listed(every, 6)}." if every else "It is empty.",
        remedy="Unpack or convert the files, or name others as data.dataset.",
    )


def read_blob(blob: Blob) -> Iterator[SourceRow]:
    """The rows of one blob, lazily. Raises DataError when it as a whole cannot be read."""
    try:
        content = content_of(blob, readers())
        yield from readers()[content.suffix].read(content)
    except OSError as error:
        raise unreadable(blob, error) from error
    except CutShort as cut:
        raise DataError(
            f"{blob.name}: {cut.problem}.", means="No row can be read from it.", remedy="Download or write it again."
        ) from cut


def unreadable(blob: Blob, error: OSError) -> DataError:
    """The error for a file that the system does not hand out."""
    return DataError(
        f"{blob.name} cannot be read: {error.strerror or type(error).__name__}.",
        means="Its rows are needed and missing.",
        remedy="Check that the file is there and that you may read it.",
    )
