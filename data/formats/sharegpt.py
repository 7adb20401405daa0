"""conversations, a list of from and value, or of role and content (ShareGPT's shape).

    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]}

human is the user, gpt the assistant.
"""

from __future__ import annotations

from data.conversation import Conversation
from data.rows import Row, optional_text
from data.turns import conversation_of

EXAMPLE = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]}


def matches(row: Row) -> bool:
    """Has the column."""
    return "conversations" in row


def convert(row: Row, line: int) -> Conversation:
    """Each turn as it stands; a `system` column goes in front when the turns hold no system message."""
    return conversation_of(row.get("conversations"), "conversations", line, optional_text(row, "system"))
