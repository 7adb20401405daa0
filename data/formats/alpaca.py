"""instruction, an optional input, output, an optional system prompt.

    {"instruction": "Translate to French.", "input": "Good morning", "output": "Bonjour"}

An input follows the instruction after an empty line.
"""

from __future__ import annotations

from data.conversation import Conversation, single_turn
from data.rows import Row, optional_text, text_of

EXAMPLE = {"instruction": "Translate to French.", "input": "Good morning", "output": "Bonjour"}


def matches(row: Row) -> bool:
    """Has the two columns that every Alpaca row has."""
    return "instruction" in row and "output" in row


def convert(row: Row, line: int) -> Conversation:
    """instruction (and input) -> user, output -> assistant."""
    request = text_of(row, "instruction")
    context = optional_text(row, "input")
    if context is not None:
        request = f"{request}\n\n{context}"
    return single_turn(request, text_of(row, "output"), line, optional_text(row, "system"))
