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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from data.conversation import Conversation, Example, Message, PlainText
from data.errors import DataError
from engine.chat_markup.bounded_rendering import RefusedByTemplateError, rendered

AT_ONCE = 64
"""Rows that are tokenized in one call."""
LONGEST_TAIL = 80
"""Characters of the ends of prompts whose tokens are remembered: a template's own words, not a row's."""
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
    """Renders rows with one tokenizer; `rendering` is chat or plain.

    `trained_answers` is every or last: with `completion_only_loss`, which answers of a row are trained.
    """

    tokenizer: Any
    rendering: str
    completion_only_loss: bool
    trained_answers: str = "every"
    controls: dict[str, int] = field(init=False, repr=False, compare=False)
    """Text and id of every token that is more than its text."""
    _control_ids: frozenset[int] = field(init=False, repr=False, compare=False)
    _control_texts: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _tails: dict[str, list[int]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        # The tokenizer's list of special tokens holds the named ones only: Gemma's end of turn is not among them.
        added = {token.content: place for place, token in self.tokenizer.added_tokens_decoder.items() if token.special}
        named = zip(self.tokenizer.all_special_tokens, self.tokenizer.all_special_ids, strict=True)
        controls = added | dict(named)
        longest_first = sorted(filter(None, controls), key=len, reverse=True)
        object.__setattr__(self, "controls", controls)
        object.__setattr__(self, "_control_ids", frozenset(controls.values()))
        object.__setattr__(self, "_control_texts", re.compile("|".join(map(re.escape, longest_first)) or "(?!)"))

    def render(self, example: Example) -> Rendered:
        """Raises DataError naming the row where the chat template cannot take it."""
        laid = self._laid(example)
        return self._rendered(example, laid, self._ids(laid.text, laid.spelled))

    def render_all(self, examples: Iterable[Example]) -> Iterator[Rendered | DataError]:
        """What `render` makes of each, in order, or the error it raises; many are tokenized at once."""
        waiting = iter(examples)
        while batch := list(islice(waiting, AT_ONCE)):
            laid = [self._laid_or_refused(example) for example in batch]
            whole = iter(self._ids_of_all([each for each in laid if isinstance(each, _Laid)]))
            for example, each in zip(batch, laid, strict=True):
                yield self._rendered(example, each, next(whole)) if isinstance(each, _Laid) else each

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

    def _laid(self, example: Example) -> _Laid:
        """The row's text in pieces, without its start and end tokens where no template brings them."""
        if isinstance(example, PlainText):
            return _Laid([(example.text, True)], _Spelled({}))
        if self.rendering == "chat":
            spelled = self._spelled(message.content for message in example.messages)
            return _Laid(self._chat_parts(example, spelled), spelled)
        prompt = plain_prompt(example)
        spelled = self._spelled((prompt, example.answer))
        return _Laid([(spelled.hide(prompt), False), (spelled.hide(example.answer), True)], spelled)

    def _laid_or_refused(self, example: Example) -> _Laid | DataError:
        try:
            return self._laid(example)
        except DataError as fault:
            return fault

    def _rendered(self, example: Example, laid: _Laid, whole: list[int]) -> Rendered:
        if isinstance(example, PlainText):
            ids = self._whole_text(whole)
            return Rendered(example.line, ids, list(ids), self._last_control(ids[-1:]) is not None)
        pieces = self._split(laid, whole)
        if self.rendering == "chat":
            return self._labelled(example.line, [], pieces)
        (asked, _), (answered, _) = pieces
        return self._labelled(example.line, self._bos(), [(asked, False), ([*answered, *self._eos()], True)])

    def _chat_parts(self, example: Conversation, spelled: _Spelled) -> list[Part]:
        """The row's text in pieces. A trained answer's piece ends with whatever closes the turn."""
        parts: list[Part] = []
        done, last = 0, len(example.messages) - 1
        whole = self._template(example.messages, spelled, prompt=False, line=example.line)
        for index, message in enumerate(example.messages):
            if message.role != "assistant" or (self.trained_answers == "last" and index != last):
                continue
            prompt = self._template(example.messages[:index], spelled, prompt=True, line=example.line)
            until = whole
            if index != last:
                until = self._template(example.messages[: index + 1], spelled, prompt=False, line=example.line)
                if not whole.startswith(until):
                    # Some close the whole conversation with an end token (Phi-3), which no turn in its middle has.
                    until = until.removesuffix(self.tokenizer.eos_token or "")
            if not (until.startswith(prompt) and whole.startswith(until) and len(prompt) >= done):
                raise self._cannot_be_found(example, index)
            parts += [(whole[done : len(prompt)], False), (whole[len(prompt) : len(until)], True)]
            done = len(until)
        return parts

    def _cannot_be_found(self, example: Conversation, index: int) -> DataError:
        """The error for an answer that does not stand in the whole row as it does behind its own prompt."""
        means = "Which tokens are the answer would be a guess."
        num_answers = sum(message.role == "assistant" for message in example.messages)
        if self.trained_answers == "last" or num_answers == 1:
            return DataError(
                f"Row {example.line}: the chat template asks for the answer with words that it does not put before "
                "it in a whole conversation.",
                means=means,
                remedy='Set data.rendering = "plain".',
            )
        return DataError(
            f"Row {example.line}: the chat template rewrites earlier turns, so message {index + 1}, an answer, "
            "cannot be found in it.",
            means=means,
            remedy='Set data.trained_answers = "last" to train the last answer of each row only, set '
            'data.rendering = "plain", or use rows with a single answer.',
        )

    def _template(self, messages: tuple[Message, ...], spelled: _Spelled, *, prompt: bool, line: int) -> str:
        turns = [{"role": message.role, "content": spelled.hide(message.content)} for message in messages]
        try:
            return rendered(self.tokenizer, turns, prompt=prompt)
        except RefusedByTemplateError as fault:
            where = f"Row {line}" if line else "A prompt"
            raise DataError(
                f"{where}: the model's chat template refuses it: {str(fault).rstrip('.')}.",
                means="Some templates take no system message, or only turns in strict alternation.",
                remedy='Drop data.system, mend the row, or set data.rendering = "plain".',
            ) from fault

    def _split(self, laid: _Laid, whole: list[int]) -> list[tuple[list[int], bool]]:
        """The ids of the whole text, cut where the pieces end; each piece's own ids where no cut is there."""
        pieces: list[tuple[list[int], bool]] = []
        *before_last, (_, is_last_answer) = laid.parts
        done, end = 0, 0
        spans = self._control_spans(laid, whole) if before_last else []
        for text, is_answer in before_last:
            end += len(text)
            cut = self._cut(laid, whole, end, spans)
            if cut is None:
                return [(self._ids(text, laid.spelled), is_answer) for text, is_answer in laid.parts]
            pieces.append((whole[done:cut], is_answer))
            done = cut
        return [*pieces, (whole[done:], is_last_answer)]

    def _control_spans(self, laid: _Laid, whole: list[int]) -> list[tuple[int, int, int]]:
        """(start and end in the text, place among the ids) of every control token; nothing where that is not clear."""
        if laid.spelled.stand_ins or not self.tokenizer.is_fast:
            return []
        spans = [found.span() for found in self._control_texts.finditer(laid.text)]
        places = [place for place, token in enumerate(whole) if token in self._control_ids]
        if len(spans) != len(places):
            return []
        return [(*span, place) for span, place in zip(spans, places, strict=True)]

    def _cut(self, laid: _Laid, whole: list[int], end: int, spans: list[tuple[int, int, int]]) -> int | None:
        """How many of `whole` the text before `end` has when it stands alone; None where they are others.

        Text on both sides of a control token is tokenized apart, so what stands before the last one need not be
        tokenized again, and what follows it is mostly the same few characters in every row.
        """
        start, first = next(((begin, place) for begin, until, place in reversed(spans) if until <= end), (0, 0))
        before = self._tail_ids(laid.text[start:end], laid.spelled)
        return first + len(before) if whole[first : first + len(before)] == before else None

    def _tail_ids(self, text: str, spelled: _Spelled) -> list[int]:
        if spelled.stand_ins or len(text) > LONGEST_TAIL:
            return self._ids(text, spelled)
        if text not in self._tails:
            if len(self._tails) > AT_ONCE:
                self._tails.clear()
            self._tails[text] = self._ids(text, spelled)
        return self._tails[text]

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
        return next((place for place in range(len(ids) - 1, -1, -1) if ids[place] in self._control_ids), None)

    def _spelled(self, texts: Iterable[str]) -> _Spelled:
        text = "\n".join(texts)
        return _Spelled.of(text, self.controls) if self._control_texts.search(text) else _Spelled({})

    def _whole_text(self, ids: list[int]) -> list[int]:
        """Ids of plain text between a start and an end token, neither of them twice."""
        bos, eos = self._bos(), self._eos()
        return [*(bos if ids[:1] != bos else []), *ids, *(eos if ids[-1:] != eos else [])]

    def _ids_of_all(self, laid: Sequence[_Laid]) -> list[list[int]]:
        texts = [each.text for each in laid if each.is_plain]
        found = iter(self.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else ())
        return [next(found) if each.is_plain else self._ids(each.text, each.spelled) for each in laid]

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
class _Laid:
    """A row's text in pieces, with what stands in for control tokens that it spells."""

    parts: list[Part]
    spelled: _Spelled
    text: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", "".join(text for text, _ in self.parts))

    @property
    def is_plain(self) -> bool:
        """Whether it is tokenized in one piece."""
        return bool(self.text) and not self.spelled.stand_ins


@dataclass(frozen=True, slots=True)
class _Spelled:
    """The control tokens that a row's own text spells out, and the character that stands in for each meanwhile."""

    stand_ins: dict[str, str]

    @staticmethod
    def of(text: str, controls: dict[str, int]) -> _Spelled:
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
