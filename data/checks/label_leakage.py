"""Answers that stand word for word in their own request. Short ones are left alone: a choice names its answers."""

from __future__ import annotations

from data.conversation import Conversation
from data.findings import Level
from data.looking import Block, Found, Setup

TITLE = "The answer stands in its own request"
LEVEL: Level = "warning"
MEANS = "The model learns to copy instead of to answer; meant only where the task is to quote."
IS_DROPPABLE = True
EXAMPLE = ({"prompt": "The answer is forty-two thousand years.", "completion": "forty-two thousand years"},)

LEAST_CHARACTERS = 20


class _LabelLeakage:
    def __init__(self) -> None:
        self._found = Found()

    def look(self, block: Block) -> None:
        if block.side:
            return
        for (line, example), answer in zip(block.usable, block.answers, strict=True):
            if len(answer) >= LEAST_CHARACTERS and isinstance(example, Conversation) and _stands_in(answer, example):
                self._found.mark(line)

    def finish(self) -> tuple[list[Found], str]:
        return [self._found], ""


def _stands_in(answer: str, example: Conversation) -> bool:
    """In what is asked or said before by anyone but the assistant, who may well say a thing twice."""
    answer = answer.strip()
    return len(answer) >= LEAST_CHARACTERS and any(
        answer in message.content for message in example.messages[:-1] if message.role != "assistant"
    )


def start(_: Setup) -> _LabelLeakage:
    """The check, ready for the first rows."""
    return _LabelLeakage()
