"""How a model is asked through Ollama: TEMPLATE and stop texts, checked against the tokenizer and the GGUF file.

The prompts must be those of training, as text and as llama.cpp's tokens. Not here: finding the markup (`deriving`), and
the Modelfile around it (`modelfile`, `engine.exporters.ollama`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data.conversation import Message
from data.errors import DataError
from engine.chat_markup.bounded_rendering import RefusedByTemplateError, rendered
from engine.chat_markup.checking import checked_prompts
from engine.chat_markup.deriving import Markup, Render, derive
from engine.chat_markup.go_template import COMPLETION, compose
from engine.errors import ModelError

EVERY_ROLE = frozenset(("system", "user", "assistant"))


@dataclass(frozen=True, slots=True)
class Chat:
    """`num_checked` conversations rendered alike, 0 for a model that continues plain text. `notes` are for people."""

    template: str
    stop: tuple[str, ...]
    num_checked: int
    notes: tuple[str, ...]


def completion_chat(stop: tuple[str, ...]) -> Chat:
    """For a model trained on plain text without turns."""
    told = "the rows are plain text without turns: the model continues what it is given"
    return Chat(COMPLETION, stop, 0, (told,))


def served_chat(
    tokenizer: Any, rendering: str, gguf_file: Path, stop: tuple[str, ...], *, system: str | None = None
) -> Chat:
    """The chat of a model whose training rendered rows by `rendering` (chat or plain).

    Of `gguf_file` only the vocabulary is loaded. Raises ModelError for a template that Ollama's language cannot
    express, for a system text without a place, and for tokens other than training's.
    """
    from engine.gguf_runtime.model import GgufModel

    render = rendering_of(tokenizer, rendering)
    with GgufModel.open(gguf_file, vocabulary_only=True) as model:
        adds_start = len(model.tokenize("a", start_token=True)) > len(model.tokenize("a"))
        opening = render((Message("user", "a"),))
        start = str(tokenizer.bos_token or "") if adds_start and rendering == "chat" else ""
        start_text = start if opening.startswith(start) else ""
        markup = derive(render, start_text)
        if rendering == "plain":
            markup = replace(markup, trimmed=EVERY_ROLE)
        if system and markup.system is None:
            raise _no_place_for_system()
        template = compose(markup)
        prompts = list(checked_prompts(template, markup, render, start_text))
        has_new_start = bool(start) and not start_text
        _check_tokens(tokenizer, rendering, model, prompts, skipped=int(has_new_start))
    return Chat(template, stop, len(prompts), tuple(_notes(tokenizer, rendering, markup, has_new_start)))


def rendering_of(tokenizer: Any, rendering: str) -> Render:
    """Messages -> the prompt's text, as training has it."""
    from engine.training.rendering import plain_prompt

    def plain(messages: Sequence[Message]) -> str:
        from data.conversation import Conversation

        return plain_prompt(Conversation((*messages, Message("assistant", "")), 0))

    def chat(messages: Sequence[Message]) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return rendered(tokenizer, turns, prompt=True)
        except RefusedByTemplateError as fault:
            raise DataError(str(fault)) from fault

    return plain if rendering == "plain" else chat


def _check_tokens(
    tokenizer: Any, rendering: str, model: Any, prompts: Sequence[tuple[list[Message], str]], *, skipped: int
) -> None:
    """llama.cpp's tokens of every prompt are those of training, but for the first `skipped`."""
    from engine.training.rendering import Renderer

    renderer = Renderer(tokenizer, rendering, completion_only_loss=True)
    for messages, prompt in prompts:
        if any(control in message.content for control in renderer.controls for message in messages):
            continue  # training reads a control token that a person wrote as plain text; Ollama does not
        found = model.tokenize(prompt, start_token=True)[skipped:]
        wanted = renderer.prompt_ids(tuple(messages))
        if found != wanted:
            place = next((at for at, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), 0)
            raise ModelError(
                f"Through Ollama the model would read other tokens than in training: {prompt[:60]!r} becomes "
                f"{found[place : place + 6]} instead of {wanted[place : place + 6]} from place {place} on.",
                means="The texts agree; llama.cpp cuts them otherwise between control tokens and words.",
                remedy="Serve the merged model, or the GGUF file with a program that sends token ids.",
            )


def _notes(tokenizer: Any, rendering: str, markup: Markup, has_new_start: bool) -> list[str]:
    found = []
    if markup.trimmed:
        roles = ", ".join(sorted(markup.trimmed))
        found.append(
            f"training dropped blanks around messages ({roles}); Ollama's templates cannot: send messages without them"
        )
    if markup.system is None:
        found.append("the model's chat template has no place for a system message; Ollama's SYSTEM is ignored")
    if has_new_start:
        found.append(f"llama.cpp puts {tokenizer.bos_token} before the prompt, which training did not")
    if rendering == "chat" and "strftime_now" in str(tokenizer.chat_template):
        found.append("the model's chat template writes the date; Ollama's keeps the date of this export")
    return found


def _no_place_for_system() -> ModelError:
    return ModelError(
        "The rows have a system text (data.system, or their first message); the chat template has no place for one.",
        means="Ollama would drop it, and the model would be asked otherwise than it was trained.",
        remedy="Put it into the user's message of each row, without data.system, and train again.",
    )
