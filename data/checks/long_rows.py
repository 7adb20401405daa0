"""Rows of so many characters that a part is likely cut off, told without a model."""

from __future__ import annotations

from data.findings import Level
from data.looking import Block, Found, Setup

TITLE = "Very long rows"
LEVEL: Level = "warning"
MEANS = "About 4 characters make a token, so their end is likely cut off; --model counts the tokens."
IS_DROPPABLE = True
EXAMPLE = ({"prompt": "Say it often.", "completion": "it " * 20_000},)


class _LongRows:
    def __init__(self, most: int) -> None:
        self._most, self._found = most, Found(title=f"Rows of more than {most:,} characters")

    def look(self, block: Block) -> None:
        if block.side:
            return
        for (line, _), text in zip(block.usable, block.texts, strict=True):
            if len(text) > self._most:
                self._found.mark(line)

    def finish(self) -> tuple[list[Found], str]:
        return [self._found], ""


def start(setup: Setup) -> _LongRows:
    """The check, ready for the first rows."""
    return _LongRows(setup.limits.max_characters)
