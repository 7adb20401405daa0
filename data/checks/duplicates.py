"""Rows whose request and answer stand in an earlier row already, letter case and white space of the request aside."""

from __future__ import annotations

from data.findings import Level
from data.looking import Block, Found, Setup
from data.many_rows.key_index import KeyIndex

TITLE = "The same request and answer as an earlier row"
LEVEL: Level = "warning"
MEANS = "What is repeated is learned by heart, and counts several times; a run drops the repeats."
IS_DROPPABLE = True
EXAMPLE = ({"prompt": "Is it so?", "completion": "Yes, it is."}, {"prompt": "is it  SO?", "completion": "Yes, it is."})


class _Duplicates:
    def __init__(self, setup: Setup) -> None:
        self._index = KeyIndex(setup.made_folder())

    def look(self, block: Block) -> None:
        if block.side:
            return
        for (line, _), key, answer in zip(block.usable, block.keys, block.answers, strict=True):
            self._index.add(f"{key}\0{answer}", line)

    def finish(self) -> tuple[list[Found], str]:
        found = Found()
        for first, *repeats in self._index.groups():
            for repeat in repeats:
                found.pair(repeat.number, 0, first.number)
        return [found], ""


def start(setup: Setup) -> _Duplicates:
    """The check, ready for the first rows."""
    return _Duplicates(setup)
