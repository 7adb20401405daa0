"""Answers of one or two characters among longer ones. Where most answers are so short, they are labels and meant."""

from __future__ import annotations

from data.findings import Level
from data.looking import Block, Found, Setup

TITLE = "Very short answers"
LEVEL: Level = "warning"
MEANS = "There is next to nothing to learn from them, and the model is taught to break off."
IS_DROPPABLE = True
_LONGER = tuple({"prompt": f"What is {number} and one?", "completion": f"It is {number + 1}."} for number in range(3))
EXAMPLE = ({"prompt": "What is one and one?", "completion": "2"}, *_LONGER)

SHARE_OF_LABELS = 0.5


class _ShortAnswers:
    def __init__(self, least: int) -> None:
        self._least, self._found, self._num_rows = least, Found(title=f"Answers under {least} characters"), 0

    def look(self, block: Block) -> None:
        if block.side:
            return
        self._num_rows += len(block.usable)
        for (line, _), answer in zip(block.usable, block.answers, strict=True):
            if len(answer.strip()) < self._least:
                self._found.mark(line)

    def finish(self) -> tuple[list[Found], str]:
        are_labels = self._found.count > SHARE_OF_LABELS * self._num_rows
        return [] if are_labels else [self._found], ""


def start(setup: Setup) -> _ShortAnswers:
    """The check, ready for the first rows."""
    return _ShortAnswers(setup.limits.short_characters)
