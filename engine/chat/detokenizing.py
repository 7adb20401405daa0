"""Text out of tokens as they come: nothing is shown that a later token could still change.

A character may be spread over several tokens, and a decoder may join or drop blanks between two. Not here: the
tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

UNFINISHED = "\ufffd"
LONGEST_CHARACTER = 4
"""Bytes of a character in UTF-8, and so the most tokens that one can be spread over."""


class GrowingText:
    """`add` a token, get the text that is settled by it. The pieces and `rest` joined are the decoded whole."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._start = self._told = 0
        """Tokens from which on text is decoded, and those of it whose text was handed out."""

    def add(self, token: int) -> str:
        self._ids.append(token)
        piece = self._new_text()
        is_unfinished = piece.endswith(UNFINISHED) and len(self._ids) - self._told < LONGEST_CHARACTER
        return "" if is_unfinished else self._tell(piece)

    def rest(self) -> str:
        """What was held back, once no token follows."""
        return self._tell(self._new_text())

    def _new_text(self) -> str:
        before = self._decode(self._ids[self._start : self._told])
        return self._decode(self._ids[self._start :])[len(before) :]

    def _tell(self, piece: str) -> str:
        if piece:
            self._start, self._told = self._told, len(self._ids)
        return piece
