"""A chat template's markup, found by rendering conversations of words that occur nowhere else.

What a template does is asked, not read: Jinja has no end of ways to write the same turns. Whether the markup found
says everything is for `checking`, which renders conversations both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from data.conversation import Message, Role
from data.errors import DataError
from engine.errors import ModelError

Render = Callable[[Sequence[Message]], str]
"""Messages that end with a user's -> the whole prompt. Raises DataError where the template refuses them."""
SYSTEM, USERS, ANSWERS = "qSystemWordq", ("qUserOneq", "qUserTwoq", "qUserThreeq"), ("qAnswerOneq", "qAnswerTwoq")
REMEDY = (
    "Serve the merged model or the GGUF file with a program that reads its chat template (llama.cpp's server with "
    '--jinja does), or train with data.rendering = "plain".'
)


@dataclass(frozen=True, slots=True)
class Markup:
    """The texts between messages. `system` says where a system message stands, None where there is no place for it.

    `opening` is before the first user without a system message; `before_system` and `after_system` surround that
    message; `to_answer` follows a user's message that was answered and `to_generation` the last one; `to_user` follows
    an answer. `trimmed` are the roles whose messages lose the blanks around them.
    """

    opening: str
    before_system: str
    after_system: str
    to_answer: str
    to_generation: str
    to_user: str
    system: Literal["first", "before the last user", None]
    trimmed: frozenset[str]


def derive(render: Render, start_text: str = "") -> Markup:
    """The markup of what `render` does, less `start_text` at its very beginning, which the runtime adds itself.

    Raises ModelError for a template that leaves messages out or puts them in another order.
    """
    users, answers = USERS, ANSWERS
    turns = [_user(users[0]), _answer(answers[0]), _user(users[1]), _answer(answers[1]), _user(users[2])]
    opening, to_answer, to_user, _, _, to_generation = _between(
        _render(render, turns), [turn.content for turn in turns]
    )
    opening = opening.removeprefix(start_text)
    found = _system(render, turns, start_text, opening)
    where, before, after = found
    return Markup(opening, before, after, to_answer, to_generation, to_user, where, _trimmed(render, where))


def _system(
    render: Render, turns: Sequence[Message], start_text: str, opening: str
) -> tuple[Literal["first", "before the last user", None], str, str]:
    """(where a system message stands, what is before it, what is behind it)."""
    try:
        text = render([Message("system", SYSTEM), *turns])
        alone = render([Message("system", SYSTEM), turns[0]]).removeprefix(start_text)
    except DataError:
        return None, "", ""
    if SYSTEM not in text:
        return None, "", ""
    if text.count(SYSTEM) > 1:
        raise _inexpressible("it repeats the system message")
    before, after, _ = _between(alone, [SYSTEM, turns[0].content])
    if text.index(SYSTEM) < text.index(turns[0].content):
        return "first", before, after
    if text.index(turns[-2].content) < text.index(SYSTEM) < text.index(turns[-1].content):
        if not before.startswith(opening):
            raise _inexpressible("it opens the conversation otherwise when there is a system message")
        return "before the last user", before.removeprefix(opening), after
    raise _inexpressible("it puts the system message into the middle of the conversation")


def _trimmed(render: Render, where: str | None) -> frozenset[str]:
    """Roles whose messages lose the blanks around them. Asked of two blanks on either side."""
    roles = {"user": "", "assistant": "", **({"system": ""} if where else {})}
    found = set()
    for role in roles:
        turns = [_user(USERS[0]), _answer(ANSWERS[0]), _user(USERS[1])]
        turns = [Message("system", SYSTEM), *turns] if where else turns
        spaced = [Message(turn.role, f" \n{turn.content} \n") if turn.role == role else turn for turn in turns]
        if _render(render, spaced) == _render(render, turns):
            found.add(role)
    return frozenset(found)


def _render(render: Render, turns: Sequence[Message]) -> str:
    try:
        return render(turns)
    except DataError as refused:
        raise _inexpressible(f"it refuses a plain conversation: {refused.happened}") from refused


def _between(text: str, words: Sequence[str]) -> list[str]:
    """The texts before, between and behind words, each of which stands there once and in this order."""
    found = []
    for word in words:
        before, met, text = text.partition(word)
        if not met or word in text:
            raise _inexpressible("it leaves messages out, repeats them or changes their order")
        found.append(before)
    return [*found, text]


def _user(content: str) -> Message:
    return Message("user", content)


def _answer(content: str) -> Message:
    role: Role = "assistant"
    return Message(role, content)


def _inexpressible(why: str) -> ModelError:
    return ModelError(
        f"The model's chat template cannot be written for Ollama: {why}.",
        means="Ollama has its own template language, and prompts would not be those the model was trained on.",
        remedy=REMEDY,
    )
