"""The encoding of text, told by its beginning, and any encoding turned into UTF-8 while it is read.

Readers see UTF-8 only. Bytes that are no text in their encoding become bytes that are no UTF-8, so that the row that
holds them is set aside by its reader. charset-normalizer is loaded only where text is no UTF-8.
"""

from __future__ import annotations

import codecs
import io
from typing import Any, BinaryIO

from data.reading.blobs import BUFFER_BYTES, Blob

# The longer marks first: UTF-16's little-endian mark begins UTF-32's.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NAMES = {"utf-16": "UTF-16", "utf-32": "UTF-32", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}
_NAMES |= {"utf-32-le": "UTF-32", "utf-32-be": "UTF-32", "cp932": "Shift JIS (cp932)", "gb18030": "GB 18030"}
_LEGACY = ["cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r"]
_LEGACY += ["cp932", "euc_jp", "gb18030", "big5", "euc_kr"]
# What Western European text in Windows-1252 holds beside ASCII. Many code pages share its letters.
_WESTERN = frozenset("àâäáãåæçèéêëìíîïñòóôöõøœùúûüýÿßÀÂÄÁÃÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÖÕØŒÙÚÛÜÝ’‘“”„–—…€«»¿¡°§£©®·´½\xa0")
_GUESS_BYTES = 64 * 1024
NOT_TEXT = "finetui.not_text"


def _marked(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end


codecs.register_error(NOT_TEXT, _marked)


def as_utf8(blob: Blob, head: bytes, *, may_guess: bool) -> Blob:
    """The blob in UTF-8, with a note where it is in another encoding; `may_guess` allows legacy ones."""
    encoding, is_guess = _encoding_of(head, may_guess)
    if encoding == "utf-8":
        return blob
    name = _NAMES.get(encoding, encoding.replace("cp12", "Windows-12"))
    blob.say(f"read as {name}, which is a guess: it is no valid UTF-8" if is_guess else f"read as {name}")
    return blob.made(lambda: io.BufferedReader(_Recoded(blob.open(), encoding), BUFFER_BYTES))


def _encoding_of(head: bytes, may_guess: bool) -> tuple[str, bool]:
    """The encoding, and whether that is a guess."""
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding, False
    if wide := _wide(head):
        return wide, False
    return (_legacy(head), True) if may_guess and _is_legacy(head) else ("utf-8", False)


def _wide(head: bytes) -> str:
    """UTF-16 or UTF-32 without a mark, told by where the NUL bytes of its ASCII characters stand; "" for neither."""
    sample = head[: len(head) // 4 * 4]
    if len(sample) < 8 or b"\0" not in sample:
        return ""
    nuls = [sample[place::4].count(0) / (len(sample) / 4) for place in range(4)]
    for encoding, places in {
        "utf-32-le": (1, 2, 3),
        "utf-32-be": (0, 1, 2),
        "utf-16-le": (1, 3),
        "utf-16-be": (0, 2),
    }.items():
        if all(
            (share > 0.6) == (place in places) and (share > 0.6 or share < 0.02) for place, share in enumerate(nuls)
        ):
            return encoding
    return ""


def _is_legacy(head: bytes) -> bool:
    """Whether lines that are no UTF-8 outnumber by far those that are UTF-8 and more than ASCII."""
    lines = [line for line in head.replace(b"\r", b"\n").split(b"\n")[: -1 if len(head) > 4096 else None] if line]
    beyond_ascii = [line for line in lines if not line.isascii()]
    broken = sum(map(_is_broken, beyond_ascii))
    return broken > 4 * (len(beyond_ascii) - broken)


def _is_broken(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def _legacy(head: bytes) -> str:
    import charset_normalizer

    lines = [line for line in head.splitlines(keepends=True) if not line.isascii()]
    sample = b"".join(lines)[:_GUESS_BYTES]
    western = sample.decode("cp1252", errors="replace")
    if all(character.isascii() or character in _WESTERN for character in western):
        return "cp1252"
    best = charset_normalizer.from_bytes(sample, cp_isolation=_LEGACY, threshold=0.5).best()
    return best.encoding if best is not None else "cp1252"


class _Recoded(io.RawIOBase):
    """Text in one encoding, read as UTF-8."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file, self._ready, self._at_end = file, b"", False
        self._decoder = codecs.getincrementaldecoder(encoding)(NOT_TEXT)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._at_end:
            piece = self._file.read(BUFFER_BYTES // 4)
            self._at_end = not piece
            text = self._decoder.decode(piece, self._at_end)
            self._ready = text.encode("utf-8", errors="surrogateescape")
        data, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
