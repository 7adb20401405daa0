"""From a conversation to token ids and labels: what the model sees, and which of it is trained.

A row's ids are those of its whole text, as upstream tokenizes it, and begin with those of its prompt, exactly
as the model will be asked; where a token would reach across that border, the answer is tokenized apart.

What a message says never becomes a control token: an `<|im_end|>` or `</s>` that somebody wrote is encoded as
the plain characters it is, in training as in asking, so it neither ends a turn nor forges one. Only plain text
is taken as it stands, control tokens included: it has no turns, and its writer put them there on purpose.
Not here: truncation (`dataset_files`) and counting (`data.receipt`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from data.conversation import Conversation, Example, Message, PlainText
from data.errors import DataError

IGNORED = -100
"""Label of a token that is not trained, as torch's cross entropy ignores it."""
PRIVATE_USE = range(0xE000, 0xF900)
"""Characters without a meaning of their own; those a row does not use stand in for control tokens it spells."""

Part = tuple[str, bool]
"""A piece of a row's text, and whether it is an answer."""


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
    controls: dict[str, int] = field(init=False, repr=False, compare=False)
    """Text and id of every token that is more than its text."""

    def __post_init__(self) -> None:
        # The tokenizer's list of special tokens holds the named ones only: Gemma's end of turn is not among them.
        added = {token.content: place for place, token in self.tokenizer.added_tokens_decoder.items() if token.special}
        named = zip(self.tokenizer.all_special_tokens, self.tokenizer.all_special_ids, strict=True)
        object.__setattr__(self, "controls", added | dict(named))

    def render(self, example: Example) -> Rendered:
        """Raises DataError naming the row where the chat template cannot take it."""
        match example:
            case PlainText():
                ids = self._whole_text(example.text)
                return Rendered(example.line, ids, list(ids), self._last_control(ids[-1:]) is not None)
            case Conversation() if self.rendering == "chat":
                spelled = self._spelled(message.content for message in example.messages)
                pieces = self._split(self._chat_parts(example, spelled), spelled)
                return self._labelled(example.line, [], pieces)
            case Conversation():
                prompt = plain_prompt(example)
                spelled = self._spelled((prompt, example.answer))
                parts = [(spelled.hide(prompt), False), (spelled.hide(example.answer), True)]
                (asked, _), (answered, _) = self._split(parts, spelled)
                pieces = [(asked, False), ([*answered, *self._eos()], True)]
                return self._labelled(example.line, self._bos(), pieces)

    def prompt_ids(self, messages: tuple[Message, ...]) -> list[int]:
        """Token ids of a prompt the model is to answer; `messages` ends with a user's turn.

        Raises DataError where the chat template cannot take it.
        """
        spelled = self._spelled(message.content for message in messages)
        if self.rendering == "chat":
            return self._ids(self._template(messages, spelled, prompt=True, line=0), spelled)
        text = plain_prompt(Conversation((*messages, Message("assistant", "")), 0))
        return [*self._bos(), *self._ids(spelled.hide(text), spelled)]

    def stop_ids(self) -> list[int]:
        """Tokens that end an answer: EOS, and what the chat template puts behind an assistant's turn."""
        found = set(self._eos())
        if self.rendering == "chat":
            turns = (Message("user", "a"), Message("assistant", "b"))
            row = Renderer(self.tokenizer, "chat", completion_only_loss=True).render(Conversation(turns, 0))
            found |= {row.labels[end]} if (end := self._last_control(row.labels)) is not None else set()
        return sorted(found)

    def _chat_parts(self, example: Conversation, spelled: _Spelled) -> list[Part]:
        """The row's text in pieces. An answer's piece ends with whatever closes the turn."""
        parts: list[Part] = []
        done = 0
        whole = self._template(example.messages, spelled, prompt=False, line=example.line)
        for index, message in enumerate(example.messages):
            if message.role != "assistant":
                continue
            prompt = self._template(example.messages[:index], spelled, prompt=True, line=example.line)
            until = self._template(example.messages[: index + 1], spelled, prompt=False, line=example.line)
            if not (until.startswith(prompt) and whole.startswith(until) and len(prompt) >= done):
                raise DataError(
                    f"Row {example.line}: the chat template rewrites earlier turns, so message {index + 1}, an answer, "
                    "cannot be found in it.",
                    means="Which tokens are the answer would be a guess.",
                    remedy='Set data.rendering = "plain", or use rows with a single answer.',
                )
            parts += [(whole[done : len(prompt)], False), (whole[len(prompt) : len(until)], True)]
            done = len(until)
        return parts

    def _template(self, messages: tuple[Message, ...], spelled: _Spelled, *, prompt: bool, line: int) -> str:
        from jinja2 import TemplateError

        turns = [{"role": message.role, "content": spelled.hide(message.content)} for message in messages]
        try:
            return str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=prompt))
        except (TemplateError, TypeError, ValueError) as fault:
            where = f"Row {line}" if line else "A prompt"
            raise DataError(
                f"{where}: the model's chat template refuses it: {fault}.",
                means="Some templates take no system message, or only turns in strict alternation.",
                remedy='Drop data.system, mend the row, or set data.rendering = "plain".',
            ) from fault

    def _split(self, parts: list[Part], spelled: _Spelled) -> list[tuple[list[int], bool]]:
        """The ids of the whole text, cut where the pieces end; each piece's own ids where no cut is there."""
        whole = self._ids("".join(text for text, _ in parts), spelled)
        pieces: list[tuple[list[int], bool]] = []
        done, so_far = 0, ""
        for text, is_answer in parts:
            so_far += text
            before = self._ids(so_far, spelled)
            if whole[: len(before)] != before:
                return [(self._ids(text, spelled), is_answer) for text, is_answer in parts]
            pieces.append((whole[done : len(before)], is_answer))
            done = len(before)
        return pieces

    def _labelled(self, line: int, lead: list[int], pieces: list[tuple[list[int], bool]]) -> Rendered:
        input_ids = list(lead)
        labels = [IGNORED] * len(lead) if self.completion_only_loss else list(lead)
        stop_trained = False
        for ids, is_answer in pieces:
            last = self._last_control(ids) if is_answer else None
            stop_trained = stop_trained or last is not None
            trained = len(ids) if is_answer or not self.completion_only_loss else 0
            if last is not None and self.completion_only_loss:
                # What follows the end-of-turn token (a newline in ChatML) is never generated, so it is not trained.
                trained = last + 1
            input_ids += ids
            labels += ids[:trained] + [IGNORED] * (len(ids) - trained)
        return Rendered(line, input_ids, labels, stop_trained)

    def _last_control(self, ids: list[int]) -> int | None:
        controls = set(self.controls.values())
        return max((place for place, token in enumerate(ids) if token in controls), default=None)

    def _spelled(self, texts: Iterable[str]) -> _Spelled:
        return _Spelled.of(texts, self.controls)

    def _whole_text(self, text: str) -> list[int]:
        """Ids of plain text between a start and an end token, neither of them twice."""
        ids, bos, eos = self._ids(text, _Spelled({})), self._bos(), self._eos()
        return [*(bos if ids[:1] != bos else []), *ids, *(eos if ids[-1:] != eos else [])]

    def _ids(self, text: str, spelled: _Spelled) -> list[int]:
        ids: list[int] = []
        for piece, is_control in spelled.pieces(text):
            ids += self.tokenizer(piece, add_special_tokens=False, split_special_tokens=is_control)["input_ids"]
        return ids

    def _bos(self) -> list[int]:
        """The start token where the tokenizer puts one before a text. A chat template brings its own."""
        starts = list(self.tokenizer("a")["input_ids"][:1])
        return starts if starts == [self.tokenizer.bos_token_id] else []

    def _eos(self) -> list[int]:
        return [] if self.tokenizer.eos_token_id is None else [self.tokenizer.eos_token_id]


@dataclass(frozen=True, slots=True)
class _Spelled:
    """The control tokens that a row's own text spells out, and the character that stands in for each meanwhile."""

    stand_ins: dict[str, str]

    @staticmethod
    def of(texts: Iterable[str], controls: dict[str, int]) -> _Spelled:
        text = "\n".join(texts)
        found = sorted((control for control in controls if control and control in text), key=len, reverse=True)
        free = (chr(code) for code in PRIVATE_USE if chr(code) not in text)
        return _Spelled(dict(zip(found, free, strict=False)))

    def hide(self, text: str) -> str:
        for control, stand_in in self.stand_ins.items():
            text = text.replace(control, stand_in)
        return text

    def pieces(self, text: str) -> Iterable[tuple[str, bool]]:
        """(text, is a control token that the row spelled) in turn, nothing empty."""
        if not self.stand_ins:
            return [(text, False)] if text else []
        back = {stand_in: control for control, stand_in in self.stand_ins.items()}
        cut = re.split(f"([{''.join(back)}])", text)
        return [(back.get(piece, piece), piece in back) for piece in cut if piece]


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
