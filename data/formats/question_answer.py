"""question and answer, an optional system prompt.

{"question": "How many legs has a spider?", "answer": "Eight."}
"""

from __future__ import annotations

from data.conversation import Conversation, single_turn
from data.rows import Row, optional_text, text_of

EXAMPLE = {"question": "How many legs has a spider?", "answer": "Eight."}


def matches(row: Row) -> bool:
    """Has both columns."""
    return "question" in row and "answer" in row


def convert(row: Row, line: int) -> Conversation:
    """question -> user, answer -> assistant."""
    return single_turn(text_of(row, "question"), text_of(row, "answer"), line, optional_text(row, "system"))
