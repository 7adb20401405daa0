"""Bytes that can be read again from their beginning: of a file, out of a compression, from standard input.

What the bytes mean is no concern here: compressions live in `compression`, archives in `archives`, encodings in
`encodings`, rows in `readers`.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

from data.errors import DataError
from data.file_choice import row_suffix
from data.reading.compression import CutShort

BUFFER_BYTES = 256 * 1024
STDIN = "-"


@dataclass(frozen=True, slots=True, eq=False)
class Blob:
    """Bytes with a name. `suffix` is that of the content inside any compression, lower case, "" for none.

    `path` is given where the bytes are those of a plain file. `origin` is what they were made from. `sha256` and
    `num_bytes` are given where the source tells them of itself.
    """

    name: str
    suffix: str
    path: Path | None
    opener: Callable[[], BinaryIO]
    origin: Blob | None = None
    sha256: str | None = None
    num_bytes: int | None = None
    said: dict[str, None] = field(default_factory=dict)

    def open(self) -> BinaryIO:
        """The bytes from the beginning, buffered. Raises OSError; reading it may raise CutShort."""
        return self.opener()

    def say(self, note: str) -> None:
        """Keep a plain sentence about how the bytes are read, once."""
        self.said.setdefault(note)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was said about this blob, and about those it was made from or that were made from it."""
        return tuple(self.said)

    def made(self, opener: Callable[[], BinaryIO], suffix: str | None = None) -> Blob:
        """Other bytes made from these: unpacked, decoded, kept in a temporary file. Notes are shared."""
        kind = self.suffix if suffix is None else suffix
        return replace(self, suffix=kind, path=None, opener=opener, origin=self, sha256=None, num_bytes=None)

    def as_kind(self, suffix: str) -> Blob:
        """The same bytes, taken for another kind of content."""
        return replace(self, suffix=suffix)

    def digest(self) -> tuple[str, int]:
        """SHA-256 and number of the bytes as they lie in the source: of the compressed file, of the whole archive."""
        if self.origin is not None:
            return self.origin.digest()
        if self.sha256 is not None and self.num_bytes is not None:
            return self.sha256, self.num_bytes
        if self.path is not None:
            state = self.path.stat()
            return _digest_of_file(self.path, state.st_size, state.st_mtime_ns)
        with self.open() as file:
            return _digest(file)


@lru_cache(maxsize=256)
def _digest_of_file(path: Path, _size: int, _changed_ns: int) -> tuple[str, int]:
    with path.open("rb") as file:
        return _digest(file)


def _digest(file: BinaryIO) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while piece := file.read(BUFFER_BYTES):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


def file_blob(path: Path, name: str | None = None) -> Blob:
    """A file as it lies on the disk, named `name` to people. Nothing is opened."""
    return Blob(name or str(path), row_suffix(path.name), path, lambda: path.open("rb", buffering=BUFFER_BYTES))


def head_of(blob: Blob, size: int) -> bytes:
    """At most `size` bytes from the beginning, as many as can be read. Raises OSError."""
    pieces, missing = [], size
    with blob.open() as file:
        try:
            while missing and (piece := _some(file, missing)):
                pieces.append(piece)
                missing -= len(piece)
        except CutShort:
            pass  # whoever reads on meets it at its line
    return b"".join(pieces)


def _some(file: BinaryIO, size: int) -> bytes:
    """The bytes that are there, without those behind a cut."""
    return cast(Any, file).read1(size) if hasattr(file, "read1") else file.read(min(size, 8192))


class _Spool:
    """A temporary file without a name, so that nothing is left behind however the process ends."""

    def __init__(self, source: BinaryIO) -> None:
        import shutil
        import tempfile

        self.file = tempfile.TemporaryFile(prefix="finetui-")  # noqa: SIM115 - closed when the last view is gone
        weakref.finalize(self, self.file.close)
        shutil.copyfileobj(source, self.file, BUFFER_BYTES)
        self.file.flush()
        self.size = os.fstat(self.file.fileno()).st_size

    def open(self) -> BinaryIO:
        return io.BufferedReader(_View(self), BUFFER_BYTES)


class _View(io.RawIOBase):
    """A place of its own in a spooled file, so that several may read it at once."""

    def __init__(self, spool: _Spool) -> None:
        self._spool, self._at = spool, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._spool.size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = os.pread(self._spool.file.fileno(), len(buffer), self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def seekable(blob: Blob) -> Blob:
    """The blob itself where it can be sought in, otherwise a copy in a temporary file. Raises OSError, DataError."""
    with blob.open() as file:
        if file.seekable():
            return blob
        try:
            return blob.made(_Spool(file).open)
        except CutShort as cut:
            raise DataError(
                f"{blob.name}: {cut.problem}.",
                means="A file of this kind can only be read whole.",
                remedy="Download or write it again.",
            ) from cut


_stdin: tuple[object, Blob] | None = None


def stdin_blob() -> Blob:
    """Standard input, copied to a temporary file because rows are read more than once. Raises DataError, OSError."""
    global _stdin  # noqa: PLW0603 - standard input can be read once in a process, so what it held is kept for it
    if _stdin is not None and _stdin[0] is sys.stdin:
        return _stdin[1]
    if sys.stdin is None or sys.stdin.isatty():
        raise DataError(
            "The rows are to come from standard input (-), and nothing is connected to it.",
            means="finetui would wait for rows to be typed.",
            remedy="Pipe them in, as in: zcat rows.jsonl.gz | finetui data inspect -",
        )
    blob = Blob("stdin", "", None, _Spool(sys.stdin.buffer).open)
    _stdin = (sys.stdin, blob)
    return blob
