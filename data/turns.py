"""A list of turns as rows hold it (role/content or from/value) -> a Conversation with legal roles in a legal order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from data.conversation import Conversation, Message, Role
from data.rows import RowProblem, checked_text, kind_of

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
}


def conversation_of(turns: object, column: str, line: int, system: str | None = None) -> Conversation:
    """The conversation in `turns`. `system` goes in front when the turns hold no system message of their own.

    Raises RowProblem for an unknown role, an illegal order, an empty message, or an end that is no answer.
    """
    if not isinstance(turns, list | tuple):
        raise RowProblem(f"'{column}' is {kind_of(turns)}, not a list of messages")
    if not turns:
        raise RowProblem(f"'{column}' holds no message")
    messages = [_message(turn, column) for turn in turns]
    if system is not None and messages[0].role != "system":
        messages.insert(0, Message("system", system))
    _check_order([message.role for message in messages])
    return Conversation(tuple(messages), line)


def _message(turn: Any, column: str) -> Message:
    if not isinstance(turn, dict):
        raise RowProblem(f"a message in '{column}' is {kind_of(turn)}, not an object")
    name = turn.get("role", turn.get("from"))
    if name is None:
        raise RowProblem(f"a message in '{column}' has no role")
    role = ROLES.get(name.strip().casefold()) if isinstance(name, str) else None
    if role is None:
        raise RowProblem(f"unknown role {str(name)[:20]!r}")
    content = turn.get("content") if "content" in turn else turn.get("value")
    article = "an" if role == "assistant" else "a"
    return Message(role, checked_text(_joined_parts(content), f"{article} {role} message"))


def _joined_parts(content: object) -> object:
    """Content given as a list of text parts, as one text; anything else unchanged."""
    if not isinstance(content, list) or not content:
        return content
    if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
        raise RowProblem("a message holds parts that are not text (images, audio or tool calls)")
    return "".join(part["text"] for part in content)


def _check_order(roles: list[Role]) -> None:
    spoken = roles[1:] if roles[0] == "system" else roles
    if "assistant" not in spoken:
        raise RowProblem("no message is from the assistant, so there is no answer to train on")
    if "system" in spoken:
        raise RowProblem("a system message stands after the first message")
    if spoken[0] != "user":
        raise RowProblem("the first message is from the assistant, before anyone asked")
    for before, after in pairwise(spoken):
        if before == after:
            raise RowProblem(f"two {before} messages in a row")
    if spoken[-1] != "assistant":
        raise RowProblem("the last message is not from the assistant")
