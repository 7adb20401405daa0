"""Rows kept in a file instead of in memory: written one at a time, read as often as wanted, one JSON object a line.

Not here: which rows are kept (`preparation`).
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from data.conversation import Example, example_from_json
from data.many_rows.key_index import RowNumbers
from data.rows import Rejection

T = TypeVar("T")
_BUFFERED_BYTES = 1 << 20
_ENCODER = json.JSONEncoder(ensure_ascii=False)  # json.dumps would make one for every row


class Scratch:
    """A folder of temporary files; it goes when nothing refers to this object any more, or with the process."""

    def __init__(self) -> None:
        import shutil
        import tempfile

        self.path = Path(tempfile.mkdtemp(prefix="finetui-rows-"))
        self.remove = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class StoredRows(Sequence[T]):
    """Rows in a file. Going through them holds one; an index or a slice is found by reading from the start.

    `keeps` is whatever must stay for the file to stay.
    """

    def __init__(self, path: Path, num_rows: int, decode: Callable[[Any], T], keeps: object = None) -> None:
        self.path, self.decode = path, decode
        self._num_rows, self.keeps = num_rows, keeps

    def __len__(self) -> int:
        return self._num_rows

    def __iter__(self) -> Iterator[T]:
        for line in self.lines():
            yield self.decode(json.loads(line))

    def lines(self) -> Iterator[bytes]:
        """Each row as it stands in the file, with its line break."""
        if self._num_rows:
            with self.path.open("rb", buffering=_BUFFERED_BYTES) as file:
                yield from islice(file, self._num_rows)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        if isinstance(index, slice):
            start, stop, step = index.indices(self._num_rows)
            if step < 0:
                raise ValueError("rows in a file are read forwards only")
            return tuple(islice(self, start, stop, step))
        place = range(self._num_rows)[index]
        return next(islice(self, place, None))


def stored_examples(path: Path, num_rows: int, keeps: object = None) -> StoredRows[Example]:
    """The examples in a file."""
    return StoredRows(path, num_rows, example_from_json, keeps)


def stored_rejections(path: Path, num_rows: int, keeps: object = None) -> StoredRows[Rejection]:
    """The rejections in a file."""
    return StoredRows(path, num_rows, lambda value: Rejection(value["line"], value["reason"], value["file"]), keeps)


def less(rows: Sequence[T], left_out: RowNumbers) -> Sequence[T]:
    """The rows without those whose number (from 0) is in `left_out`; rows in a file are taken out of it."""
    if not len(left_out):
        return rows
    if not isinstance(rows, StoredRows):
        return tuple(row for number, row in enumerate(rows) if number not in left_out)
    new = rows.path.with_suffix(".part")
    new.unlink(missing_ok=True)
    with RowWriter(new) as writer:
        for number, line in enumerate(rows.lines()):
            if number not in left_out:
                writer.write_line(line)
    new.replace(rows.path)
    return StoredRows(rows.path, writer.num_rows, rows.decode, rows.keeps)


def more(rejected: Sequence[Rejection], others: Iterable[Rejection]) -> Sequence[Rejection]:
    """The rejections and others behind them; those in a file are added to it."""
    if not isinstance(rejected, StoredRows):
        return (*rejected, *others)
    with RowWriter(rejected.path) as writer:
        for rejection in others:
            writer.reject(rejection)
    return stored_rejections(rejected.path, len(rejected) + writer.num_rows, rejected.keeps)


class RowWriter:
    """Writes rows to a file that may be there already, behind what it holds. Counts those that it wrote."""

    def __init__(self, path: Path) -> None:
        self.path, self.num_rows = path, 0
        self._file = path.open("ab", buffering=_BUFFERED_BYTES)

    def write(self, value: Any) -> None:
        """One JSON value, in UTF-8 whatever the locale."""
        self.write_line(_ENCODER.encode(value).encode() + b"\n")

    def write_line(self, line: bytes) -> None:
        """A row as `StoredRows.lines` gave it."""
        self._file.write(line)
        self.num_rows += 1

    def reject(self, rejection: Rejection) -> None:
        """A row that is not used. Text that is no valid Unicode (in a file's name, say) is written as escapes."""
        value = {"file": rejection.file, "line": rejection.line, "reason": rejection.reason}
        self.write_line(json.dumps(value).encode() + b"\n")

    def flush(self) -> None:
        """Let readers see all of it."""
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
