"""problem and solution, an optional system prompt.

{"problem": "What is 7 x 8?", "solution": "7 x 8 = 56"}

Read as the same two: problem and generated_solution (OpenMathInstruct), message_1 and message_2 (CAMEL).
"""

from __future__ import annotations

from typing import Any

from data.conversation import Conversation, Example
from data.rows import Row
from data.understanding.pairs import SYSTEM, converted_pair, pair_in, row_of_pair

EXAMPLE = {"problem": "What is 7 x 8?", "solution": "7 x 8 = 56"}
DEPTH = 1
_PAIRS = (("problem", "solution"), ("problem", "generated_solution"), ("message_1", "message_2"))
COLUMNS = (*dict.fromkeys(name for pair in _PAIRS for name in pair), *SYSTEM)


def matches(row: Row) -> bool:
    """Has two columns that go together; a third message makes a conversation that two columns do not hold."""
    return pair_in(row, _PAIRS) is not None and "message_3" not in row


def convert(row: Row, line: int) -> Conversation:
    """problem -> user, solution -> assistant."""
    return converted_pair(row, line, _PAIRS)


def row_of(example: Example) -> dict[str, Any]:
    """The whole request is the problem."""
    return row_of_pair(example, _PAIRS[0], "problem_solution")
