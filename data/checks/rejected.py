"""Rows that cannot be used at all: no JSON, bad UTF-8, a column that is empty or no text, roles in no order."""

from __future__ import annotations

from data.findings import Level
from data.looking import Block, Found, Setup

TITLE = "Rows that cannot be used"
LEVEL: Level = "error"
MEANS = "A run leaves them out, so you train on fewer rows than you think."
IS_DROPPABLE = True
EXAMPLE = ({"prompt": "What is one and one?", "completion": ""}, {"prompt": "And two and two?", "completion": 4})

MAX_REASONS = 100
_OTHERS = "for other reasons"


class _Rejected:
    def __init__(self) -> None:
        self._by_reason: dict[str, Found] = {}

    def look(self, block: Block) -> None:
        if block.side:
            return
        for line, reason in block.rejected:
            self._of(reason).mark(line)

    def _of(self, reason: str) -> Found:
        if reason not in self._by_reason and len(self._by_reason) >= MAX_REASONS:
            reason = _OTHERS
        return self._by_reason.setdefault(reason, Found(title=f"{TITLE} ({reason})"))

    def finish(self) -> tuple[list[Found], str]:
        return list(self._by_reason.values()), ""


def start(_: Setup) -> _Rejected:
    """The check, ready for the first rows."""
    return _Rejected()
