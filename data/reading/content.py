"""What a blob really holds: unpacked where it is compressed, of the kind its content shows, in UTF-8 where it is text.

Names are believed unless the content says otherwise beyond doubt, and each such finding is said in a note.
"""

from __future__ import annotations

import json
import re
from typing import Any

from data.errors import DataError
from data.file_choice import COMPRESSED_ENDINGS, TEXT_ENDINGS
from data.reading.blobs import Blob, head_of
from data.reading.compression import compression_of, unpacked
from data.reading.csv_dialect import DELIMITERS, fit
from data.reading.encodings import as_utf8

HEAD_BYTES = 256 * 1024
_MOST_LAYERS = 3
_JSON, _JSON_LINES = (".json",), (".jsonl", ".ndjson")
_DELIMITED = (".csv", ".tsv")
_BINARY = {b"PAR1": ".parquet", b"ARROW1": ".arrow", b"\xff\xff\xff\xff": ".arrow"}
# Control characters that no text holds.
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f\x1b")) + b"\x7f"
_MOST_CONTROL = 0.1
_ARRAY_OF_OBJECTS = re.compile(r"\s*\[\s*\{")
_NUM_LINES = 20


def content_of(blob: Blob, suffixes: dict[str, Any]) -> Blob:
    """The content that a reader can read; its `suffix` is a key of `suffixes`, the readers.

    Raises DataError for an empty, binary or unknown one, CutShort where nothing comes before a cut, and OSError.
    """
    inner, head = _unpacked(blob)
    if not head:
        with inner.open() as file:
            file.read(1)
        raise _empty(blob)
    kind = next((kind for mark, kind in _BINARY.items() if head.startswith(mark)), "")
    if kind or (inner.suffix in suffixes and not suffixes[inner.suffix].IS_TEXT):
        return _named(inner, kind or inner.suffix)
    text = as_utf8(inner, head, may_guess=False)
    if text is inner:
        _refuse_binary(inner, head)
    else:
        head = head_of(text, HEAD_BYTES)
    kind = _text_kind(head, text.suffix, is_nameless=blob.name == "stdin" or (not text.suffix and inner is not blob))
    if kind not in suffixes:
        raise _unreadable(
            blob,
            f"is of a kind that is not read ({text.suffix or 'no file name ending'})",
            f"Convert it to one of {', '.join(sorted(suffixes))}, or give it the ending of what it holds.",
        )
    if text is inner and kind in (*_DELIMITED, *TEXT_ENDINGS):
        text = as_utf8(text, head, may_guess=True)
    return _named(text, kind)


def _unpacked(blob: Blob) -> tuple[Blob, bytes]:
    """The content inside all compressions, and its beginning."""
    inner = blob
    for _ in range(_MOST_LAYERS + 1):
        head = head_of(inner, HEAD_BYTES)
        compression = compression_of(head)
        if compression is None:
            if inner is blob and blob.name.lower().endswith(COMPRESSED_ENDINGS) and head:
                blob.say("not compressed, although its name says so")
            return inner, head
        if inner is blob and not blob.name.lower().endswith((*COMPRESSED_ENDINGS, "stdin")):
            blob.say(f"{compression}-compressed, although its name does not say so")
        inner = _layer(inner, compression)
    raise _unreadable(blob, f"is compressed more than {_MOST_LAYERS} times over", "Unpack it.")


def _layer(packed: Blob, compression: str) -> Blob:
    return packed.made(lambda: unpacked(compression, packed.open()))


def _named(blob: Blob, kind: str) -> Blob:
    if kind != blob.suffix and blob.suffix:
        blob.say(f"read as {kind[1:]}, which its content is, although its name ends with {blob.suffix}")
    elif kind != blob.suffix:
        blob.say(f"read as {kind[1:]}, judged by its content")
    return blob.as_kind(kind)


def _text_kind(head: bytes, suffix: str, *, is_nameless: bool) -> str:
    """The ending for this text: what it shows beyond doubt, else the one it has; for a nameless one the likeliest."""
    text = head.decode("utf-8-sig", errors="surrogateescape")
    lines = [line for line in text.split("\n") if line.strip()]
    if len(head) >= HEAD_BYTES and len(lines) > 1:
        lines.pop()  # it may go on
    if suffix not in (*_JSON, *_JSON_LINES) and lines and all(map(_is_object, lines[:_NUM_LINES])):
        return ".jsonl" if is_nameless or len(lines) > 1 or suffix not in _DELIMITED else suffix
    if (
        (suffix in _JSON or is_nameless)
        and len(lines) > 1
        and any(map(_is_object, lines[:2]))
        and not text.lstrip().startswith("[")
    ):
        return ".jsonl"
    if suffix not in _JSON and _ARRAY_OF_OBJECTS.match(text) and (not _is_json(lines[0]) or len(lines) == 1):
        return suffix if suffix in (*TEXT_ENDINGS, *_DELIMITED) and not _begins_well(text) else ".json"
    if not is_nameless:
        return suffix
    fits = {delimiter: fit(text, delimiter)[0] for delimiter in DELIMITERS}
    if len(lines) > 1 and max(fits.values()) == 1:
        return ".csv"
    return ".json" if text.lstrip().startswith("{") else ".txt"


def _begins_well(text: str) -> bool:
    """Whether the first element of the array is whole JSON."""
    try:
        json.JSONDecoder().raw_decode(text, text.index("{"))
    except (ValueError, RecursionError):
        return False
    return True


def _is_object(line: str) -> bool:
    return line.lstrip().startswith("{") and _is_json(line)


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_binary(blob: Blob, head: bytes) -> None:
    """Raises DataError for what is no text. Some NUL bytes alone cost only the rows that hold them."""
    if b"\0" in head and len(head) - len(head.translate(None, _CONTROL)) > _MOST_CONTROL * len(head):
        raise _unreadable(blob, "is binary, not text", f"Check what it is with: file {blob.name}")


def _empty(blob: Blob) -> DataError:
    return DataError(
        f"{blob.name} is empty.",
        means="There is no row to train on.",
        remedy="Check whether writing or downloading it was cut short, or name another file as data.dataset.",
    )


def _unreadable(blob: Blob, what: str, remedy: str) -> DataError:
    return DataError(f"{blob.name} {what}.", means="No row can be read from it.", remedy=remedy)
