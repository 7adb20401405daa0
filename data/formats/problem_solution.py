"""problem and solution, an optional system prompt.

{"problem": "What is 7 x 8?", "solution": "7 x 8 = 56"}
"""

from __future__ import annotations

from data.conversation import Conversation, single_turn
from data.rows import Row, optional_text, text_of

EXAMPLE = {"problem": "What is 7 x 8?", "solution": "7 x 8 = 56"}


def matches(row: Row) -> bool:
    """Has both columns."""
    return "problem" in row and "solution" in row


def convert(row: Row, line: int) -> Conversation:
    """problem -> user, solution -> assistant."""
    return single_turn(text_of(row, "problem"), text_of(row, "solution"), line, optional_text(row, "system"))
