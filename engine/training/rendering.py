"""From a conversation to token ids and labels: what the model sees, and which of it is trained.

The prompt part is tokenized apart from the answer, exactly as it will be when the model is asked, so the
trained tokens are those it has to generate. Not here: truncation (`dataset_files`) and counting (`data.receipt`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from data.conversation import Conversation, Example, Message, PlainText
from data.errors import DataError

IGNORED = -100
"""Label of a token that is not trained, as torch's cross entropy ignores it."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One row as tokens; `labels` repeats the id where it is trained and is -100 elsewhere."""

    line: int
    input_ids: list[int]
    labels: list[int]
    stop_token_trained: bool

    @property
    def num_trained(self) -> int:
        return sum(label != IGNORED for label in self.labels)


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders rows with one tokenizer; `rendering` is chat or plain."""

    tokenizer: Any
    rendering: str
    completion_only_loss: bool

    def render(self, example: Example) -> Rendered:
        """Raises DataError naming the row where the chat template cannot take it."""
        match example:
            case PlainText():
                return self._join(example.line, [(self._bos() + example.text, True), (self.stop_text, True)])
            case Conversation() if self.rendering == "chat":
                return self._join(example.line, self._chat_parts(example))
            case Conversation():
                prompt = self._bos() + plain_prompt(example)
                return self._join(example.line, [(prompt, False), (example.answer + self.stop_text, True)])

    def prompt_ids(self, messages: tuple[Message, ...]) -> list[int]:
        """Token ids of a prompt the model is to answer; `messages` ends with a user's turn."""
        if self.rendering == "chat":
            return self._ids(self._template(messages, prompt=True, line=0))
        return self._ids(self._bos() + plain_prompt(Conversation((*messages, Message("assistant", "")), 0)))

    @property
    def stop_text(self) -> str:
        return str(self.tokenizer.eos_token or "")

    def stop_ids(self) -> list[int]:
        """Tokens that end an answer: EOS, and what the chat template puts behind an assistant's turn."""
        found = {self.tokenizer.eos_token_id} if self.tokenizer.eos_token_id is not None else set()
        if self.rendering == "chat":
            turns = (Message("user", "a"), Message("assistant", "b"))
            _, (text, _) = self._chat_parts(Conversation(turns, 0))[:2]
            found |= set(self._ids(text)) & set(self.tokenizer.all_special_ids)
        return sorted(found)

    def _chat_parts(self, example: Conversation) -> list[tuple[str, bool]]:
        """(text, is an answer) in turn. An answer's text ends with whatever closes the turn."""
        parts: list[tuple[str, bool]] = []
        done = 0
        whole = self._template(example.messages, prompt=False, line=example.line)
        for index, message in enumerate(example.messages):
            if message.role != "assistant":
                continue
            prompt = self._template(example.messages[:index], prompt=True, line=example.line)
            until = self._template(example.messages[: index + 1], prompt=False, line=example.line)
            if not (until.startswith(prompt) and whole.startswith(until) and len(prompt) >= done):
                raise DataError(
                    f"Row {example.line}: the chat template rewrites earlier turns, so answer {index} cannot be found.",
                    means="Which tokens are the answer would be a guess.",
                    remedy='Set data.rendering = "plain", or use rows with a single answer.',
                )
            parts += [(whole[done : len(prompt)], False), (whole[len(prompt) : len(until)], True)]
            done = len(until)
        return parts

    def _template(self, messages: tuple[Message, ...], *, prompt: bool, line: int) -> str:
        from jinja2 import TemplateError

        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=prompt))
        except (TemplateError, TypeError, ValueError) as fault:
            raise DataError(
                f"Row {line}: the model's chat template refuses it: {fault}.",
                means="Some templates take no system message, or only turns in strict alternation.",
                remedy='Drop data.system, mend the row, or set data.rendering = "plain".',
            ) from fault

    def _join(self, line: int, parts: list[tuple[str, bool]]) -> Rendered:
        input_ids: list[int] = []
        labels: list[int] = []
        stops, stop_trained = set(self.tokenizer.all_special_ids), False
        for text, is_answer in parts:
            ids = self._ids(text)
            input_ids += ids
            if not is_answer:
                labels += [IGNORED] * len(ids) if self.completion_only_loss else ids
                continue
            last_stop = max((i for i, token in enumerate(ids) if token in stops), default=None)
            stop_trained = stop_trained or last_stop is not None
            # What follows the end-of-turn token (a newline in ChatML) is never generated, so it is not trained.
            end = len(ids) if last_stop is None or not self.completion_only_loss else last_stop + 1
            labels += ids[:end] + [IGNORED] * (len(ids) - end)
        return Rendered(line, input_ids, labels, stop_trained)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []

    def _bos(self) -> str:
        starts = self.tokenizer("a")["input_ids"][:1]
        has_bos = self.tokenizer.bos_token_id is not None and starts == [self.tokenizer.bos_token_id]
        return str(self.tokenizer.bos_token) if has_bos else ""


def plain_prompt(example: Conversation) -> str:
    """Everything before the answer, joined without a chat template; a line break keeps the answer apart."""
    request = example.request
    return request if not request or request[-1].isspace() else request + "\n"


def rendering_for(choice: str, tokenizer: Any) -> str:
    """`chat` or `plain` for the recipe's data.rendering. Raises DataError when chat is impossible."""
    if choice == "plain" or (choice == "auto" and not tokenizer.chat_template):
        return "plain"
    if not tokenizer.chat_template:
        raise DataError(
            "The recipe asks for rendering by chat template, but the model has none.",
            means="It is a base model: it was never taught turns.",
            remedy='Set data.rendering = "plain", or use the instruct variant of the model.',
        )
    return "chat"
