"""The same request with different answers."""

from __future__ import annotations

from zlib import crc32

from data.conversation import Conversation
from data.findings import Level
from data.looking import Block, Found, Setup
from data.many_rows.key_index import KeyIndex

TITLE = "The same request as an earlier row, with another answer"
LEVEL: Level = "warning"
MEANS = "The model is pulled both ways; fine where many answers are right, a fault where one is."
IS_DROPPABLE = True
EXAMPLE = ({"prompt": "Is it so?", "completion": "Yes, it is."}, {"prompt": "is it  SO?", "completion": "No, never."})


class _Contradictions:
    """The index takes a checksum of the answer for the side: two answers differ where it does."""

    def __init__(self, setup: Setup) -> None:
        self._index = KeyIndex(setup.made_folder())

    def look(self, block: Block) -> None:
        if block.side:
            return
        for (line, example), key, answer in zip(block.usable, block.keys, block.answers, strict=True):
            if isinstance(example, Conversation):
                self._index.add(key, line, crc32(answer.encode("utf-8", "surrogatepass")))

    def finish(self) -> tuple[list[Found], str]:
        found = Found()
        for first, *others in self._index.groups():
            for other in others:
                if other.side != first.side:
                    found.pair(other.number, 0, first.number)
        return [found], ""


def start(setup: Setup) -> _Contradictions:
    """The check, ready for the first rows."""
    return _Contradictions(setup)
