"""JSON read through a sliding window: one value after another out of a document of any size, with little memory.

The window grows by doubling only while a single value does not fit into it, so the work stays in proportion to the
size. What the values mean is decided in `readers/json_document`.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import BinaryIO

from data.reading.compression import CutShort
from data.reading.lines import LARGEST_LINE_BYTES, TOO_LONG, is_text

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_PIECE_BYTES = 512 * 1024
# A value that ends with the window fails at most so far before its end ("\\uD83D\\uDE", "-Infinit").
_NEAR_THE_END = 16
_ENDLESS = "a number or a nesting beyond all measure"


class Malformed(Exception):  # noqa: N818 - becomes the problem of one row
    """No JSON value stands here. `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class JsonWindow:
    """A place in a JSON document that only moves forward. `line` is where it stands, counted from 1.

    `cut` is the problem of a file that is cut short, once that is met, else ""; `num_read` counts bytes.
    """

    def __init__(self, file: BinaryIO, largest: int = LARGEST_LINE_BYTES) -> None:
        self._file, self._largest = file, largest
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._text, self._at, self._counted = "", 0, 0
        self._line, self._is_clean = 1, True
        self._at_end, self.cut, self.num_read = False, "", 0

    @property
    def line(self) -> int:
        """The physical line of the place."""
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def peek(self) -> str:
        """The next character that is no space, without passing it; "" at the end."""
        if (character := self._text[self._at : self._at + 1]) > " ":
            return character
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._grow():
                return ""

    def passes(self, character: str) -> bool:
        """Whether that character comes next; it is passed then."""
        if not self._text.startswith(character, self._at) and self.peek() != character:
            return False
        self._at += 1
        return True

    def value(self) -> tuple[object, bool]:
        """The value that comes next, and whether all of it was UTF-8. Raises Malformed where none does."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                # A value cut off by the window's end looks like a malformed one; only more text can tell.
                is_cut = error.msg.startswith("Unterminated string") or error.pos > len(self._text) - _NEAR_THE_END
                if is_cut and self._grow():
                    continue
                raise Malformed(self.cut or error.msg) from error
            except (ValueError, RecursionError) as error:
                raise Malformed(_ENDLESS) from error
            # A number goes on, and a row's end is only seen, with what follows.
            if end == len(self._text) and self._grow():
                continue
            is_clean = self._is_clean or is_text(self._text[self._at : end])
            self._at = end
            return value, is_clean

    def _grow(self) -> bool:
        """Take in more text, at least as much as the value under way has; False at the end of the file."""
        held = len(self._text) - self._at
        if held > self._largest:
            raise Malformed(TOO_LONG)
        if self._at_end:
            return False
        _ = self.line
        data = self._read(max(_PIECE_BYTES, held))
        more = self._decoder.decode(data, self._at_end)
        self._is_clean = is_text(more) and (self._is_clean or not held or is_text(self._text[self._at :]))
        self._text = self._text[self._at :] + more
        self._at = self._counted = 0
        return bool(more) or not self._at_end

    def _read(self, size: int) -> bytes:
        """The next bytes; where the file is cut short, those before the cut and then the end."""
        pieces = []
        try:
            while size > 0 and (piece := self._file.read1(size)):  # type: ignore[attr-defined]
                pieces.append(piece)
                size -= len(piece)
            self._at_end = size > 0
        except CutShort as cut:
            self._at_end, self.cut = True, cut.problem
        data = b"".join(pieces)
        self.num_read += len(data)
        return data
