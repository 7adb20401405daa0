"""The shapes that training accepts: a conversation with an answer, or plain text. Rows become them in `formats`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: Role
    content: str

    def to_json(self) -> dict[str, Any]:
        """Plain dict, the shape chat templates take."""
        return {"role": self.role, "content": self.content}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Message:
        """The opposite of to_json."""
        return cls(value["role"], value["content"])


@dataclass(frozen=True, slots=True)
class Conversation:
    """An optional system message, then user and assistant in turn; the last message is the assistant's.

    `line` counts from 1: the row's line in its file. With several files it counts on from the end of the file before.
    `refused` is the answer that a preference pair holds against the last message; it is kept, and never trained.
    """

    messages: tuple[Message, ...]
    line: int
    refused: str | None = None

    @property
    def request(self) -> str:
        """The text of everything before the last assistant message, one line break between messages."""
        return "\n".join(message.content for message in self.messages[:-1])

    @property
    def answer(self) -> str:
        """The last assistant message: what is trained."""
        return self.messages[-1].content

    def to_json(self) -> dict[str, Any]:
        """Plain dict: {"messages": [...], "line": n}, and "refused" where there is one."""
        value = {"messages": [message.to_json() for message in self.messages], "line": self.line}
        return value if self.refused is None else value | {"refused": self.refused}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Conversation:
        """The opposite of to_json."""
        messages = tuple(Message.from_json(message) for message in value["messages"])
        return cls(messages, value["line"], value.get("refused"))


@dataclass(frozen=True, slots=True)
class PlainText:
    """Text for continued pretraining: all of it is trained, nothing is asked."""

    text: str
    line: int

    @property
    def request(self) -> str:
        """Always empty."""
        return ""

    @property
    def answer(self) -> str:
        """The whole text."""
        return self.text

    def to_json(self) -> dict[str, Any]:
        """Plain dict: {"text": ..., "line": n}."""
        return {"text": self.text, "line": self.line}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PlainText:
        """The opposite of to_json."""
        return cls(value["text"], value["line"])


Example = Conversation | PlainText


def example_from_json(value: Mapping[str, Any]) -> Example:
    """An example of either shape, out of what its to_json gave."""
    return Conversation.from_json(value) if "messages" in value else PlainText.from_json(value)


def single_turn(request: str, answer: str, line: int, system: str | None = None) -> Conversation:
    """One request and its answer, behind a system message when there is one."""
    start = () if system is None else (Message("system", system),)
    return Conversation((*start, Message("user", request), Message("assistant", answer)), line)
