"""question, an optional context, answer, an optional system prompt.

{"question": "How many legs has a spider?", "answer": "Eight."}

A context follows the question after an empty line. "query" is read as another name for "question" (MetaMathQA) and
"response" as another name for "answer" (OpenOrca).
"""

from __future__ import annotations

from typing import Any

from data.conversation import Conversation, Example
from data.rows import Row
from data.understanding.pairs import SYSTEM, converted_pair, pair_in, row_of_pair

EXAMPLE = {"question": "How many legs has a spider?", "answer": "Eight."}
DEPTH = 1
_PAIRS = (("question", "answer"), ("question", "response"), ("query", "answer"), ("query", "response"))
COLUMNS = ("question", "query", "context", "answer", "response", *SYSTEM)


def matches(row: Row) -> bool:
    """Has either name of both."""
    return pair_in(row, _PAIRS) is not None


def convert(row: Row, line: int) -> Conversation:
    """question (and context) -> user, answer -> assistant."""
    return converted_pair(row, line, _PAIRS, "context")


def row_of(example: Example) -> dict[str, Any]:
    """The whole request is the question."""
    return row_of_pair(example, _PAIRS[0], "question_answer")
