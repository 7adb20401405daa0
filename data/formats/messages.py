"""messages, a list of role and content (OpenAI's shape).

    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}

Roles are system (or developer), user and assistant.
"""

from __future__ import annotations

from data.conversation import Conversation
from data.rows import Row, optional_text
from data.turns import conversation_of

EXAMPLE = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}


def matches(row: Row) -> bool:
    """Has the column."""
    return "messages" in row


def convert(row: Row, line: int) -> Conversation:
    """Each message as it stands; a `system` column goes in front when the messages hold no system message."""
    return conversation_of(row.get("messages"), "messages", line, optional_text(row, "system"))
