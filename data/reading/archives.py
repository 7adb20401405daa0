"""Archives of several files: zip and tar. Their members are read where they lie, and no name in them becomes a path.

Which members hold rows is chosen in `file_choice`, as for the files of a folder.
"""

from __future__ import annotations

import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeVar, cast

from data.errors import DataError
from data.file_choice import row_suffix
from data.reading.blobs import Blob, head_of, seekable
from data.reading.compression import SWELLS, CutShort, Unpacked, compression_of, swells, unpacked

_Entry = TypeVar("_Entry")
MOST_MEMBERS = 100_000
_ZIP, _TAR_AT, _TAR = (b"PK\x03\x04", b"PK\x05\x06"), 257, b"ustar"
_HEAD_BYTES = 512
# What zipfile raises for an archive that is not as it should be; OSError where it is led to a place before the file.
_BROKEN_ZIP: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    ValueError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
)
_BROKEN_ZIP = (*_BROKEN_ZIP, struct.error, zlib.error, lzma.LZMAError)
_BROKEN_TAR = (tarfile.TarError, CutShort, ValueError, EOFError)
_OFFICE = {".xlsx": "an Excel workbook", ".xlsm": "an Excel workbook", ".ods": "a spreadsheet", ".docx": "a Word file"}


def members_of(blob: Blob) -> list[Blob] | None:
    """The files inside an archive, named "archive/member"; None where the blob is no archive.

    Raises DataError for an archive that is damaged, encrypted or an office document, and OSError.
    """
    head = head_of(blob, _HEAD_BYTES)
    if head.startswith(_ZIP):
        return _zip_members(blob)
    kind = compression_of(head)
    inner = blob.made(lambda: unpacked(kind, blob.open())) if kind else blob
    if head_of(inner, _HEAD_BYTES)[_TAR_AT:].startswith(_TAR):
        return _tar_members(inner)
    return None


def _zip_members(blob: Blob) -> list[Blob]:
    if blob.suffix in _OFFICE:
        raise _hopeless(blob, f"is {_OFFICE[blob.suffix]}", "Save the sheet that holds the rows as CSV (UTF-8).")
    whole = seekable(blob)
    try:
        with whole.open() as file, zipfile.ZipFile(file) as archive:
            found = [entry for entry in archive.infolist() if not entry.is_dir()]
    except _BROKEN_ZIP as error:
        raise _hopeless(blob, f"is a damaged zip archive ({error})", "Download or write it again.") from error
    if any(entry.flag_bits & 1 for entry in found):
        raise _hopeless(blob, "is an encrypted zip archive", "Unpack it with its password, and name the folder.")
    if bomb := next((entry for entry in found if swells(entry.compress_size, entry.file_size)), None):
        raise _hopeless(blob, f"holds {bomb.filename[:80]!r}, which {SWELLS}", "Unpack it, and name the folder.")
    return [_member(blob, entry.filename, _opener_in_zip(whole, entry)) for entry in _bounded(blob, found)]


def _opener_in_zip(whole: Blob, entry: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        file = whole.open()
        try:
            # Never closed itself: closing the member and the file leaves nothing open.
            archive = zipfile.ZipFile(file)
            member = cast(BinaryIO, archive.open(entry))
        except _BROKEN_ZIP as error:
            file.close()
            raise CutShort(str(error)) from error
        return io.BufferedReader(Unpacked(_read_from(member), file))

    return opened


def _read_from(member: BinaryIO) -> Callable[[int], bytes]:
    def read(size: int) -> bytes:
        try:
            return cast(io.BufferedReader, member).read1(size)
        except zipfile.BadZipFile as error:
            raise EOFError(str(error)) from error

    return read


def _tar_members(blob: Blob) -> list[Blob]:
    try:
        with blob.open() as file, tarfile.open(fileobj=file, mode="r|") as archive:
            found = [entry for entry in _counted(blob, archive) if entry.isfile()]
    except _BROKEN_TAR as error:
        raise _hopeless(blob, f"is a damaged tar archive ({error})", "Download or write it again.") from error
    return [
        _member(blob, entry.name, _opener_in_tar(blob, number)) for number, entry in enumerate(_bounded(blob, found))
    ]


def _opener_in_tar(blob: Blob, wanted: int) -> Callable[[], BinaryIO]:
    """Opens the file at that place of the archive; a tar has no table of contents, so it is read up to there."""

    def opened() -> BinaryIO:
        file = blob.open()
        try:
            archive = tarfile.open(fileobj=file, mode="r|")  # noqa: SIM115 - lives as long as the member
            files = (entry for entry in archive if entry.isfile())
            entry = next(entry for number, entry in enumerate(files) if number == wanted)
            member = archive.extractfile(entry)
        except (*_BROKEN_TAR, StopIteration) as error:
            file.close()
            raise CutShort(str(error)) from error
        assert member is not None
        return io.BufferedReader(Unpacked(_read_all_of(cast(BinaryIO, member), entry.size), file))

    return opened


def _read_all_of(member: BinaryIO, size: int) -> Callable[[int], bytes]:
    """Reads the member, and knows its size: a tar that ends early does not say so by itself."""
    left = size

    def read(wanted: int) -> bytes:
        nonlocal left
        try:
            data = member.read(min(wanted, left))
        except tarfile.TarError as error:
            raise EOFError(str(error)) from error
        left -= len(data)
        if left and not data:
            raise EOFError(f"the last {left} bytes of the member are missing")
        return data

    return read


def _member(archive: Blob, name: str, opener: Callable[[], BinaryIO]) -> Blob:
    origin = archive if archive.origin is None else archive.origin
    return Blob(f"{archive.name}/{name}", row_suffix(name), None, opener, origin)


def _counted(blob: Blob, archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The entries, folders and links among them; a small compressed file can hold entries without an end."""
    for number, entry in enumerate(archive):
        if number == MOST_MEMBERS:
            raise _hopeless(blob, f"holds more than {MOST_MEMBERS:,} entries", "Unpack it, and name the folder.")
        yield entry


def _bounded(blob: Blob, entries: list[_Entry]) -> list[_Entry]:
    if len(entries) > MOST_MEMBERS:
        raise _hopeless(blob, f"holds more than {MOST_MEMBERS:,} files", "Unpack it, and name the folder.")
    return entries


def _hopeless(blob: Blob, what: str, remedy: str) -> DataError:
    return DataError(f"{blob.name} {what}.", means="No row can be read from it.", remedy=remedy)
