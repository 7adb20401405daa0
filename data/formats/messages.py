"""messages, a list of role and content (OpenAI's shape).

    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}

Roles are system (or developer), user and assistant. In a file of text columns the list may be written as JSON.
"""

from __future__ import annotations

from typing import Any

from data.conversation import Conversation, Example
from data.rows import Row
from data.understanding.pairs import SYSTEM, system_of
from data.understanding.turns import conversation_of, writable

EXAMPLE = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}
DEPTH = 2
COLUMNS = ("messages", *SYSTEM)


def matches(row: Row) -> bool:
    """Has the column."""
    return "messages" in row


def convert(row: Row, line: int) -> Conversation:
    """Each message as it stands; a `system` column goes in front when the messages hold no system message."""
    return conversation_of(row.get("messages"), "messages", line, system_of(row))


def row_of(example: Example) -> dict[str, Any]:
    """Each message as it stands."""
    return {"messages": [message.to_json() for message in writable(example, "messages").messages]}
