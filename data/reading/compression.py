"""Single-file compressions: which one some bytes are in, and reading on through it with little memory.

A damaged or cut-off stream gives everything before the damage and then raises CutShort. Archives of several files
live in `archives`. What unpacks, pyarrow for Zstandard among it, is loaded only where a file needs it.
"""

from __future__ import annotations

import contextlib
import io
import re
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, cast

# Output is asked for in such pieces, so that a small file that unpacks to terabytes never fills the memory.
_PIECE_BYTES = 64 * 1024
_ZSTANDARD_PIECE_BYTES = 16 * 1024

BELIEVED_BYTES, MAX_RATIO = 1024**3, 500
"""So much may come out of a file of any size, and more from one that is not 500 times as large unpacked: text shrinks
to a fourth or a tenth, rows that are nearly the same to a hundredth."""
SWELLS = f"unpacks to more than {BELIEVED_BYTES // 1024**3} GiB and {MAX_RATIO} times its own size"

_MAGIC = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    "Zstandard": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
    "bzip2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
    "xz": re.compile(rb"\xfd7zXZ\x00"),
}


class CutShort(Exception):  # noqa: N818 - the rows before it are used; nothing has failed
    """The bytes end or turn to nonsense before their end. `problem` says so in the words of a row's problem."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.problem = f"the file is cut short or damaged from here to its end ({detail})"


def compression_of(head: bytes) -> str | None:
    """The name of the compression that bytes beginning like this are in, None for none."""
    return next((name for name, magic in _MAGIC.items() if magic.match(head)), None)


def unpacked(name: str, file: BinaryIO) -> BinaryIO:
    """The content of a file in the compression `name`; closing it closes the file."""
    reads: dict[str, Callable[[BinaryIO], Callable[[int], bytes]]] = {
        "gzip": _gzip,
        "Zstandard": _zstandard,
        "bzip2": _bzip2,
        "xz": _xz,
    }
    return io.BufferedReader(Unpacked(reads[name](file), file), _PIECE_BYTES)


def swells(num_packed: int, num_unpacked: int) -> bool:
    """Whether a compressed file is none of rows: it was made to fill a disk, or to take all day."""
    return num_unpacked > BELIEVED_BYTES and num_unpacked > MAX_RATIO * max(num_packed, 1)


class Unpacked(io.RawIOBase):
    """A stream over a reading function, which turns every way of being damaged into CutShort, again and again."""

    def __init__(self, read: Callable[[int], bytes], file: BinaryIO) -> None:
        self._read, self._file = read, file
        self._cut, self._num_given = "", 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._cut:
            raise CutShort(self._cut)
        try:
            data = self._read(len(buffer))
        except _damage() as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk, not the content
            self._cut = str(error) or type(error).__name__
            raise CutShort(self._cut) from error
        self._num_given += len(data)
        if self._num_given > BELIEVED_BYTES and swells(self._file.tell(), self._num_given):
            self._cut = f"it {SWELLS}"
            raise CutShort(self._cut)
        buffer[: len(data)] = data
        return len(data)

    def tell(self) -> int:
        """How many bytes were given."""
        return self._num_given

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _damage() -> tuple[type[Exception], ...]:
    """What the decoders raise for content that is not theirs."""
    import lzma

    return (EOFError, ValueError, OSError, zlib.error, lzma.LZMAError)


def _bzip2(file: BinaryIO) -> Callable[[int], bytes]:
    import bz2

    return _Concatenated(file, bz2.BZ2Decompressor).read


def _xz(file: BinaryIO) -> Callable[[int], bytes]:
    import lzma

    return _Concatenated(file, lzma.LZMADecompressor).read


def _gzip(file: BinaryIO) -> Callable[[int], bytes]:
    import gzip

    return gzip.GzipFile(fileobj=file, mode="rb").read1


def _zstandard(file: BinaryIO) -> Callable[[int], bytes]:
    return _Zstandard(file).read


class _Zstandard:
    """Zstandard through pyarrow, which drops the whole piece in which it meets damage: what is good of it is fetched
    byte by byte then. Behind an error pyarrow gives nonsense, so nothing is asked of it any more.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._num_given = file, 0
        self._streams: list[Any] = []  # a stream that is let go closes the file
        self._rest = b""
        self._damage: OSError | None = None
        self._open()

    def _open(self) -> None:
        import pyarrow as pa

        self._streams.append(pa.CompressedInputStream(pa.PythonFile(self._file, mode="r"), "zstd"))

    def read(self, size: int) -> bytes:
        size = min(size, _ZSTANDARD_PIECE_BYTES)
        if self._damage is None:
            try:
                data = cast(bytes, self._streams[-1].read(size))
            except OSError as error:
                if error.errno is not None or not self._file.seekable():
                    raise
                self._damage, self._rest = error, self._before_damage()
            else:
                self._num_given += len(data)
                return data
        if not self._rest:
            raise self._damage
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def _before_damage(self) -> bytes:
        self._file.seek(0)
        self._open()
        stream, missing, found = self._streams[-1], self._num_given, bytearray()
        with contextlib.suppress(OSError):
            while missing > 0:
                missing -= len(stream.read(min(missing, _ZSTANDARD_PIECE_BYTES)))
            while byte := stream.read(1):
                found += byte
        return bytes(found)


class _Concatenated:
    """Streams of bzip2 or xz one behind another. The standard library's own file classes ignore damaged later ones."""

    def __init__(self, file: BinaryIO, make: Callable[[], Any]) -> None:
        self._file, self._make, self._decoder = file, make, make()

    def read(self, size: int) -> bytes:
        while True:
            if self._decoder.eof:
                # xz allows NUL bytes between and behind its streams.
                rest = self._decoder.unused_data.lstrip(b"\0")
                while not rest:
                    piece = self._file.read(_PIECE_BYTES)
                    if not piece:
                        return b""
                    rest = piece.lstrip(b"\0")
                self._decoder = self._make()
            elif self._decoder.needs_input:
                rest = self._file.read(_PIECE_BYTES)
                if not rest:
                    raise EOFError("Compressed file ended before the end-of-stream marker was reached")
            else:
                rest = b""
            data = self._decoder.decompress(rest, size)
            if data:
                return cast(bytes, data)
