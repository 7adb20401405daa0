"""Writers of dataset files. Each file here writes one kind, found by being here; there is no list to add it to.

A writer is a module with
  SUFFIXES                    the file name endings it writes, lower case
  COMPRESSIBLE                whether .gz or .zst may follow (a kind that compresses by itself takes neither)
  HOLDS                       what a column can hold: "text" only, "values" of one type each, or "anything"
  preparer(columns, changes)  a function from a row to what the sink takes; it raises RowProblem for a row that
                              this kind of file cannot hold, and counts in `changes` what it had to write otherwise
  sink(file, columns, suffix) writes what the preparer gave, then closes; the file itself stays open

Preparing is apart from writing because a resumed output prepares the rows that it has already written.
The bytes depend on the rows and the columns alone: no date, no name, no compression by threads.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import IO, Any, Literal, Protocol, cast

from data.errors import DataError
from data.nearest import nearest
from data.rows import Row

Prepare = Callable[[Row], Any]
COMPRESSIONS = (".gz", ".zst")
_GZIP_LEVEL, _ZSTANDARD_LEVEL = 6, 3


@dataclass(frozen=True, slots=True)
class Columns:
    """Every column of the rows to come, in order; `schema` is their pyarrow schema, for the kinds that need one."""

    names: tuple[str, ...] = ()
    schema: Any = None


class Sink(Protocol):
    """An open file of rows."""

    def write(self, prepared: Any) -> None:
        """One row, as the preparer gave it."""

    def close(self) -> None:
        """Write what is left. The file underneath stays open."""


class Kind(Protocol):
    """What every module in this folder offers."""

    SUFFIXES: tuple[str, ...]
    COMPRESSIBLE: bool
    HOLDS: Literal["text", "values", "anything"]

    def preparer(self, columns: Columns, changes: Counter[str]) -> Prepare:
        """See above."""

    def sink(self, file: IO[bytes], columns: Columns, suffix: str) -> Sink:
        """See above."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """How files of rows are written: the kind's own ending (".csv"), and ".gz", ".zst" or "" for no compression."""

    ending: str
    compression: str

    @property
    def suffix(self) -> str:
        """The whole ending of its files' names."""
        return self.ending + self.compression

    @property
    def writer(self) -> Kind:
        """The module that writes it."""
        return kinds()[self.ending]

    @contextmanager
    def opened(self, file: IO[bytes], columns: Columns) -> Iterator[Sink]:
        """A sink that writes to `file`, compressed; closed at the end, unless an error ends it."""
        outer = _compressed(file, self.compression)
        sink = self.writer.sink(outer, columns, self.ending)
        yield sink
        sink.close()
        if outer is not file:
            outer.close()


@cache
def kinds() -> dict[str, Kind]:
    """Every kind by file name ending."""
    modules = [
        cast(Kind, importlib.import_module(f"{__name__}.{module.name}")) for module in pkgutil.iter_modules(__path__)
    ]
    return {suffix: module for module in modules for suffix in module.SUFFIXES}


def kind_of_name(name: str) -> FileKind | None:
    """The kind that a file name's ending says ("rows.csv.gz"), or None. Raises DataError for a .parquet.gz."""
    lower = name.lower()
    compression = next((ending for ending in COMPRESSIONS if lower.endswith(ending)), "")
    ending = next((one for one in kinds() if lower.removesuffix(compression).endswith(one)), None)
    if ending is None:
        return None
    if compression and not kinds()[ending].COMPRESSIBLE:
        raise DataError(
            f"{name} asks for a {ending} file that is compressed once more.",
            means=f"{ending} files are compressed inside, and nothing reads them with {compression} around.",
            remedy=f"Leave {compression} out.",
        )
    return FileKind(ending, compression)


def kind_named(word: str) -> FileKind:
    """The kind for "jsonl", "csv.gz", … Raises DataError naming the kinds."""
    found = kind_of_name("." + word.removeprefix("."))
    if found is None or found.suffix != "." + word.removeprefix(".").lower():
        names = [ending.removeprefix(".") for ending in kinds()]
        near = nearest(word, names)
        raise DataError(
            f"There is no kind of file named {word!r}.",
            means="The rows cannot be written.",
            remedy=f"Choose {'perhaps ' + near[0] + ', or ' if near else ''}one of {', '.join(names)}"
            ", text kinds also with .gz or .zst behind.",
        )
    return found


def _compressed(file: IO[bytes], compression: str) -> IO[bytes]:
    """`file` behind a compressor whose bytes hold neither a date nor a name."""
    if compression == ".gz":
        import gzip

        return cast(IO[bytes], gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0))
    if compression == ".zst":
        import zstandard

        return cast(IO[bytes], zstandard.ZstdCompressor(_ZSTANDARD_LEVEL).stream_writer(file, closefd=False))
    return file
