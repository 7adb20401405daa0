"""conversations, a list of from and value, or of role and content (ShareGPT's shape).

    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]}

human is the user, gpt the assistant. The column may be called "conversation", and its turns may be pairs of input
and output (Capybara).
"""

from __future__ import annotations

from typing import Any

from data.conversation import Conversation, Example
from data.rows import Row
from data.understanding.pairs import SYSTEM, system_of
from data.understanding.turns import conversation_of, unpacked, writable

EXAMPLE = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]}
DEPTH = 2
COLUMNS = ("conversations", "conversation", *SYSTEM)
_NAMES = {"system": "system", "user": "human", "assistant": "gpt"}


def matches(row: Row) -> bool:
    """Has the column, in the plural or the singular."""
    return "conversations" in row or "conversation" in row


def convert(row: Row, line: int) -> Conversation:
    """Each turn as it stands; a `system` column goes in front when the turns hold no system message."""
    column = "conversation" if row.get("conversations") is None and "conversation" in row else "conversations"
    return conversation_of(_unpaired(unpacked(row.get(column))), column, line, system_of(row))


def row_of(example: Example) -> dict[str, Any]:
    """Each message as a turn of from and value."""
    messages = writable(example, "sharegpt").messages
    return {"conversations": [{"from": _NAMES[each.role], "value": each.content} for each in messages]}


def _unpaired(turns: object) -> object:
    """Turns that hold both a request (input) and its answer (output), as two turns each; anything else unchanged."""
    if not (isinstance(turns, list) and turns):
        return turns
    if not all(isinstance(turn, dict) and "input" in turn and "output" in turn for turn in turns):
        return turns
    found = []
    for turn in turns:
        found += [{"role": "system", "content": turn["system"]}] if turn.get("system") else []
        found += [{"role": "user", "content": turn["input"]}, {"role": "assistant", "content": turn["output"]}]
    return found
