"""A file while rows are written to it: a temporary name, a running SHA-256, and what a full disk means for people."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import DataError
from data.file_modes import placed
from data.writers import Columns, FileKind

NUM_BUFFERED_BYTES = 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A complete file of rows."""

    name: str
    num_rows: int
    num_bytes: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        return {"name": self.name, "rows": self.num_rows, "bytes": self.num_bytes, "sha256": self.sha256}


class OpenFile:
    """A file of rows that gets its name with `complete`.

    Raises OSError where it cannot be written, DataError where another process is writing the same file.
    """

    def __init__(self, path: Path, kind: FileKind, columns: Columns) -> None:
        self.num_rows = 0
        self._path, self._temporary = path, path.with_name(f".{path.name}.part")
        self._raw = _Hashing(_opened_alone(self._temporary, path))
        self._buffered = io.BufferedWriter(self._raw, NUM_BUFFERED_BYTES)
        self._sink_context = ExitStack()
        try:
            self._sink = self._sink_context.enter_context(kind.opened(self._buffered, columns))
        except BaseException:
            self.abandon()
            raise

    def write(self, prepared: Any) -> None:
        """One row, as the kind's preparer gave it."""
        self._sink.write(prepared)
        self.num_rows += 1

    def complete(self) -> WrittenFile:
        """Close it and give it its name."""
        try:
            self._sink_context.close()
            self._buffered.close()
            placed(self._temporary, self._path)
        except BaseException:
            self.abandon()
            raise
        return WrittenFile(self._path.name, self.num_rows, self._raw.num_bytes, self._raw.sha256.hexdigest())

    def abandon(self) -> None:
        """Take it away."""
        # Writers and compressors write when they are closed, and closed they must be; from here on it goes nowhere.
        self._raw.is_given_up = True
        with contextlib.suppress(OSError, ValueError, DataError):
            self._sink_context.close()
        with contextlib.suppress(OSError, ValueError):
            self._buffered.close()
        self._temporary.unlink(missing_ok=True)


class _Hashing(io.RawIOBase):
    """A file that keeps the SHA-256 and the number of the bytes that went into it."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.num_bytes = 0
        self.is_given_up = False

    def writable(self) -> bool:
        return True

    def write(self, content: Any, /) -> int:
        view = memoryview(content)
        if self.is_given_up:
            return len(view)
        written = self._file.write(view)
        self.sha256.update(view[:written])
        self.num_bytes += written
        return written

    def close(self) -> None:
        self._file.close()
        super().close()


def _opened_alone(temporary: Path, path: Path) -> io.FileIO:
    """The temporary file, empty, and locked until it is closed: two writers would spoil each other's rows."""
    while True:
        file = io.FileIO(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666), "w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise in_use(path) from None
        except OSError:
            pass  # a file system without locks
        # Meanwhile, the one that held the lock may have given the file its name: it must not be emptied then.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), temporary.stat()):
                file.truncate(0)
                return file
        file.close()


def sha256_of(path: Path) -> str:
    """The hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def writing(place: Path, kept: Callable[[], str]) -> Iterator[None]:
    """Turns an OSError into a DataError that says what is kept of `place`."""
    try:
        yield
    except OSError as error:
        raise unwritable(place, error, kept()) from error


def unwritable(place: Path, error: OSError, kept: str) -> DataError:
    """The error for a place that cannot be written, or not any more."""
    full = error.errno in _FULL
    return DataError(
        f"{place} cannot be written: {error.strerror or error}.",
        means=kept,
        remedy="Free some space and give the same command again." if full else "Check the path and its rights.",
    )


def in_use(place: Path) -> DataError:
    """The error for a place that another command is writing to."""
    return DataError(
        f"Another command is writing to {place}.",
        means="Two writers would spoil each other's files.",
        remedy="Wait for it to end, or name another output.",
    )
