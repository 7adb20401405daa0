"""Answers in which another assistant refuses or speaks of itself."""

from __future__ import annotations

import re

from data.conversation import Conversation
from data.findings import Level
from data.looking import Block, Found, Setup, Text

TITLE = "Refusals and talk of being an AI"
LEVEL: Level = "warning"
MEANS = "The model learns to refuse, and to speak as the assistant that wrote the rows."
IS_DROPPABLE = True
EXAMPLE = ({"prompt": "Tell me a joke.", "completion": "As an AI language model, I have no sense of humour."},)

# Each phrase holds one of these; a search for them is fast.
_SIGNS = (
    *("an AI", "anguage model", "I can't", "I cannot", "I can\u2019t", "I'm sorry", "I\u2019m sorry", "I apologi"),
    *("unable to", "my knowledge cutoff", "OpenAI", "ChatGPT"),
)
_PHRASES = re.compile(
    r"\bas an AI\b|\bas a (?:large )?language model\b|\bI(?:'|’)?(?:m| am) (?:just |only )?an? (?:AI|language model)\b"
    r"|^(?:I(?:'|’)m|I am) sorry, but\b|^(?:Sorry, )?(?:but )?I (?:can(?:'|’)t|cannot|am unable to) "
    r"(?:assist|help|fulfil|provide|comply|do that|create|generate)|^I apologi[sz]e, but\b"
    r"|\bmy knowledge cutoff\b|\b(?:trained|developed|created) by OpenAI\b|\bI(?:'|’)?(?:m| am) ChatGPT\b",
    re.IGNORECASE,
)


class _Refusals:
    def __init__(self) -> None:
        self._found = Found()

    def look(self, block: Block) -> None:
        if block.side or not block.whole.holds_any(_SIGNS):
            return
        for line, example in block.usable:
            if (
                isinstance(example, Conversation)
                and Text(example.answer).holds_any(_SIGNS)
                and _PHRASES.search(example.answer.lstrip())
            ):
                self._found.mark(line)

    def finish(self) -> tuple[list[Found], str]:
        return [self._found], ""


def start(_: Setup) -> _Refusals:
    """The check, ready for the first rows."""
    return _Refusals()
