"""Requests of the checked rows that stand in another dataset too, such as the one they are measured by."""

from __future__ import annotations

from data.findings import Level
from data.looking import Block, Found, Setup
from data.many_rows.key_index import KeyIndex

TITLE = "The same request as in another dataset"
LEVEL: Level = "error"
MEANS = "Rows that are trained on measure nothing. A run leaves them out of the eval or test rows by itself."
IS_DROPPABLE = False
EXAMPLE = ({"prompt": "What is one and one?", "completion": "Two."},)


class _Contamination:
    def __init__(self, setup: Setup) -> None:
        self._index, self._datasets = KeyIndex(setup.made_folder()), setup.datasets

    def look(self, block: Block) -> None:
        if len(self._datasets) > 1:
            for (line, _), key in zip(block.usable, block.keys, strict=True):
                self._index.add(key, line, block.side)

    def finish(self) -> tuple[list[Found], str]:
        by_side = {
            side: Found(title=f"The same request as in {name}") for side, name in enumerate(self._datasets[1:], start=1)
        }
        for group in self._index.groups():
            others = {seen.side: seen for seen in reversed(group) if seen.side}
            for seen in group:
                if seen.side == 0:
                    for side, other in others.items():
                        by_side[side].pair(seen.number, side, other.number)
        return list(by_side.values()), ""


def start(setup: Setup) -> _Contamination:
    """The check, ready for the first rows."""
    return _Contamination(setup)
