"""What a dataset of this size is good for.

Sources: OpenAI's fine-tuning guide ("we see improvements from 50 to 100 well-crafted examples"); LIMA (Zhou et
al. 2023, arXiv:2305.11206: 1,000 chosen rows align a 65B model, and more of the same did not help); AlpaGasus (Chen et
al. 2023, arXiv:2307.08701: 9,000 good rows of Alpaca's 52,000 beat all of them).
"""

from __future__ import annotations

from data.findings import Level
from data.looking import Block, Found, Setup

TITLE = "Number of rows"
LEVEL: Level = "info"
MEANS = ""
IS_DROPPABLE = False
EXAMPLE = ({"prompt": "What is one and one?", "completion": "Two."},)

ADVICE = (
    (50, "Too few to learn from; 50 to 100 good rows are where a change begins to show."),
    (500, "Enough for a tone or a fixed form; check answers by hand, each one weighs much."),
    (1_000, "Enough for one narrow task."),
    (5_000, "What one task or one style needs; better rows now help more than more rows."),
    (10_000, "Enough for several tasks or a domain; leave out what is alike."),
    (None, "Plenty; choosing the best of them is likely to beat using all."),
)
"""Below so many rows, what to expect."""


class _NumberOfRows:
    def __init__(self) -> None:
        self._num_rows = 0

    def look(self, block: Block) -> None:
        self._num_rows += 0 if block.side else len(block.usable)

    def finish(self) -> tuple[list[Found], str]:
        return [Found(num_rows=self._num_rows, means=advice(self._num_rows))], ""


def advice(num_rows: int) -> str:
    """A sentence on what so many rows are good for."""
    return next(sentence for below, sentence in ADVICE if below is None or num_rows < below)


def start(_: Setup) -> _NumberOfRows:
    """The check, ready for the first rows."""
    return _NumberOfRows()
