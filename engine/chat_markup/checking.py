"""Whether a template for Ollama makes the prompts that a model was trained on: conversations, rendered both ways.

Not here: how the markup is found (`deriving`), and the tokens that llama.cpp makes of the prompts
(`served_chat`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from data.conversation import Message, Role
from data.errors import DataError
from engine.chat_markup.deriving import REMEDY, Markup, Render
from engine.chat_markup.go_evaluation import evaluate
from engine.errors import ModelError

CONTENTS = (
    "Which environments are older than thirty days?",
    "COMMAND: venvy ls --sort size\nCONFIDENCE: high",
    "two\n\n\nempty lines, and  two   blanks",
    "{{ .System }} {{- end }} {% if x %} {# no #} }} {",
    'He said "no", it\'s \\n not \\\\ a `break` """ here',
    "naïve 中文 🙂 \u200d é",
    "42",
    " blanks around  ",
    "\n\tline breaks around\n",
    "[INST] not a turn [/INST] User: no",
)
SYSTEMS = (None, "You translate requests into venvy commands.", 'Be "brief" {{ .Prompt }}.\nAlways.', "  spaced \n")
LENGTHS = (1, 2, 3, 5)
"""Turns of the user."""


def conversations() -> Iterator[list[Message]]:
    """Every length with every system message and contents in turn; each ends with a user's message."""
    place = 0
    for system in SYSTEMS:
        for length in LENGTHS:
            for _ in CONTENTS[::length]:
                turns = [Message("system", system)] if system is not None else []
                for number in range(2 * length - 1):
                    role: Role = "user" if number % 2 == 0 else "assistant"
                    turns.append(Message(role, CONTENTS[place % len(CONTENTS)]))
                    place += 1
                yield turns


def as_rendered(messages: Sequence[Message], markup: Markup) -> list[Message]:
    """The messages without the blanks that the model's template removes; Ollama's language cannot remove them."""
    return [
        Message(message.role, message.content.strip() if message.role in markup.trimmed else message.content)
        for message in messages
    ]


def checked_prompts(
    template: str, markup: Markup, render: Render, start_text: str = ""
) -> Iterator[tuple[list[Message], str]]:
    """(messages, prompt) of every conversation, once both ways agree on it.

    Raises ModelError saying where they first differ, and for a template that refuses every conversation.
    """
    number = 0
    for turns in conversations():
        if turns[0].role == "system" and markup.system is None:
            continue
        messages = as_rendered(turns, markup)
        try:
            wanted = render(messages)
        except DataError:
            continue
        found = start_text + evaluate(template, messages) if wanted.startswith(start_text) else None
        if found != wanted:
            raise _differs(wanted, found or "")
        number += 1
        yield messages, wanted.removeprefix(start_text)
    if not number:
        raise _differs("", "")


def _differs(wanted: str, found: str) -> ModelError:
    same = next(
        (place for place, pair in enumerate(zip(wanted, found, strict=False)) if pair[0] != pair[1]),
        min(len(wanted), len(found)),
    )
    return ModelError(
        f"The model's chat template cannot be written for Ollama: after {wanted[max(0, same - 40) : same]!r} it "
        f"goes on with {wanted[same : same + 40]!r}, a template of Ollama with {found[same : same + 40]!r}.",
        means="Ollama would ask the model otherwise than it was trained, and its answers would be worse.",
        remedy=REMEDY,
    )
