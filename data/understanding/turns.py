"""A list of turns as rows hold it (role/content or from/value) <-> a Conversation with legal roles in a legal order."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from data.conversation import Conversation, Example, Message, PlainText, Role
from data.rows import RowProblem, checked_text, is_usable_text, kind_of

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
}

_IN_TURN: list[Role] = ["user", "assistant"] * 50
"""What nearly all conversations are, told by one comparison."""


def conversation_of(turns: object, column: str, line: int, system: str | None = None) -> Conversation:
    """The conversation in `turns`. `system` goes in front when the turns hold no system message of their own.

    Raises RowProblem for an unknown role, an illegal order, an empty message, or an end that is no answer.
    """
    messages = list(messages_of(turns, column))
    if system is not None and messages[0].role != "system":
        messages.insert(0, Message("system", system))
    _check_order([message.role for message in messages])
    return Conversation(tuple(messages), line)


def messages_of(turns: object, column: str) -> tuple[Message, ...]:
    """The turns as messages, at least one, in whatever order they stand. Raises RowProblem."""
    turns = unpacked(turns)
    if not isinstance(turns, list | tuple):
        raise RowProblem(f"'{column}' is {kind_of(turns)}, not a list of messages")
    if not turns:
        raise RowProblem(f"'{column}' holds no message")
    return tuple([_message(turn, column) for turn in turns])


def writable(example: Example, format_name: str, *, keeps_refused: bool = False) -> Conversation:
    """The example itself, where it is a conversation that is read back as it is.

    Raises RowProblem for plain text, for a refused answer that the format has no place for, and for messages that
    are blank or out of order, as a template may fill them.
    """
    if isinstance(example, PlainText):
        raise RowProblem(f"it is plain text, and {format_name} holds a request and an answer")
    if example.refused is not None and not keeps_refused:
        raise RowProblem(f"it holds a refused answer, and {format_name} has no place for one")
    for message in example.messages:
        if not is_usable_text(message.content):
            checked_text(message.content, _named(message.role))
    _check_order([message.role for message in example.messages])
    return example


def unpacked(value: object) -> object:
    """A list that is written as JSON in a text column (CSV has no lists), as the list; anything else unchanged."""
    if not (isinstance(value, str) and value.lstrip().startswith("[")):
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return found if isinstance(found, list) else value


def turns_in(value: object) -> list[Any] | None:
    """The value as a list of turns, where it is a list, or text that is a JSON list of them; None for anything else."""
    found = unpacked(value)
    if isinstance(value, str) and isinstance(found, list):
        are_turns = all(isinstance(each, dict) and ("role" in each or "from" in each) for each in found)
        return found if found and are_turns else None
    return list(found) if isinstance(found, list | tuple) else None


def _message(turn: Any, column: str) -> Message:
    if not isinstance(turn, dict):
        raise RowProblem(f"a message in '{column}' is {kind_of(turn)}, not an object")
    name = _either(turn, "role", "from")
    role = ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        role = _role(name, column)
    content = _either(turn, "content", "value")
    if is_usable_text(content):
        return Message(role, content)
    content = _joined_parts(content)
    if content is None and turn.get("tool_calls"):
        raise RowProblem("a message calls tools instead of saying something")
    return Message(role, checked_text(content, _named(role)))


def _role(name: object, column: str) -> Role:
    """The role that a name stands for which is written in capitals or between blanks. Raises RowProblem."""
    if name is None:
        raise RowProblem(f"a message in '{column}' has no role")
    role = ROLES.get(name.strip().casefold()) if isinstance(name, str) else None
    if role is None:
        raise RowProblem(f"unknown role {str(name)[:20]!r}")
    return role


def _either(turn: dict[str, Any], first: str, second: str) -> Any:
    """Parquet fills the names that a turn does not have with null."""
    value = turn.get(first)
    return turn.get(second) if value is None else value


def _named(role: Role) -> str:
    return f"{'an' if role == 'assistant' else 'a'} {role} message"


def _joined_parts(content: object) -> object:
    """Content given as a list of text parts, as one text; anything else unchanged."""
    if not isinstance(content, list) or not content:
        return content
    if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
        raise RowProblem("a message holds parts that are not text (images, audio or tool calls)")
    return "".join(part["text"] for part in content)


def _check_order(roles: list[Role]) -> None:
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if spoken and len(spoken) % 2 == 0 and spoken == _IN_TURN[: len(spoken)]:
        return
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
