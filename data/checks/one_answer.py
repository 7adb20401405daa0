"""One answer that most rows share. Counted as Misra and Gries do, so that memory does not grow with rows."""

from __future__ import annotations

from data.conversation import Conversation
from data.findings import Level
from data.looking import Block, Found, Setup

TITLE = "One and the same answer"
LEVEL: Level = "warning"
MEANS = "Always giving it is nearly right, so that is what is learned; add rows with other answers."
IS_DROPPABLE = False
EXAMPLE = tuple({"prompt": f"Is {number} a number?", "completion": "Yes, it is."} for number in range(20))

LEAST_ROWS, LEAST_SHARE = 20, 0.5
NUM_COUNTERS = 1000
"""A count comes out too low by at most one in so many rows."""


class _OneAnswer:
    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._first: dict[int, int] = {}
        self._num_rows = 0

    def look(self, block: Block) -> None:
        if block.side:
            return
        for (line, example), answer in zip(block.usable, block.answers, strict=True):
            if isinstance(example, Conversation):
                self._num_rows += 1
                self._count(hash(answer), line)

    def _count(self, answer: int, line: int) -> None:
        if answer in self._counts:
            self._counts[answer] += 1
        elif len(self._counts) < NUM_COUNTERS:
            self._counts[answer], self._first[answer] = 1, line
        else:
            self._counts = {known: count - 1 for known, count in self._counts.items() if count > 1}
            self._first = {known: self._first[known] for known in self._counts}

    def finish(self) -> tuple[list[Found], str]:
        answer, count = max(self._counts.items(), key=lambda pair: pair[1], default=(0, 0))
        if self._num_rows < LEAST_ROWS or count < LEAST_SHARE * self._num_rows:
            return [], ""
        found = Found(title=f"One and the same answer in {count / self._num_rows:.0%} of the rows", num_rows=count)
        found.mark(self._first[answer])
        return [found], ""


def start(_: Setup) -> _OneAnswer:
    """The check, ready for the first rows."""
    return _OneAnswer()
