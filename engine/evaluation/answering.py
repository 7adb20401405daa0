"""Rows put before one variant, and its answers stored as they come. What is answered already is not asked again.

Not here: what answers are worth (`measuring`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from data.conversation import Conversation, Message
from engine.errors import DataError
from engine.evaluation.answers_file import Answer, AnswersFile
from engine.evaluation.contenders import Contenders, precision
from engine.evaluation.exam import Exam, digest
from engine.evaluation.generation import Limits, never
from engine.evaluation.held_out_loss import Row
from engine.evaluation.players import Player, player
from engine.evaluation.prompts import question
from engine.evaluation.variants import Variant, identity
from engine.event_log import EventWriter
from engine.events import EvaluationProgressed, WarningRaised, clip

PROGRESS_SECONDS = 1.0
MAX_REQUEST_BYTES = 500


def answers_of(test: Exam, variant: Variant, contenders: Contenders, writer: EventWriter) -> list[Answer]:
    """The answers to all rows, in their order; missing ones are asked for. Raises FinetuiError."""
    prompts = {
        number: test.renderer.prompt_ids(question(row, variant.shots)) for number, row in enumerate(test.rows.rows)
    }
    asked = fingerprints(test, variant, prompts)
    test.rows.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with AnswersFile(test.rows.folder / f"{variant.name}.jsonl", asked) as stored:
        unanswered = [row for row in prompts if row not in stored.done]
        unscored = [row for row in prompts if lacks_loss(test, stored.done.get(row))]
        lost: dict[int, tuple[float, int]] = {}
        if unanswered or unscored:
            with player(variant, contenders) as loaded:
                work = _Work(test, variant, loaded, stored, writer, asked)
                lost = work.losses(unscored)
                work.answer({row: prompts[row] for row in unanswered}, lost)
        done = {row: judged(test, with_loss(stored.done[row], lost.get(row))) for row in prompts}
        stored.finish(done)
    return [done[row] for row in prompts]


def fingerprints(test: Exam, variant: Variant, prompts: Mapping[int, list[int]]) -> dict[int, str]:
    """What each row's answer depends on, as a hash: the weights, the prompt, what is expected, and how long it may be.

    The batch size is not part of it: it changes no more than rounding.
    """
    pattern = test.settings.answer_pattern if test.is_quick else None
    common = digest(
        identity(variant, test.run),
        sorted(test.stop_ids),
        test.settings.max_new_tokens,
        test.is_quick,
        pattern,
        precision(test.plan),
    )
    return {row: digest(common, ids, test.rows.rows[row].answer) for row, ids in prompts.items()}


def lacks_loss(test: Exam, answer: Answer | None) -> bool:
    """Whether a row's loss is wanted and nobody has computed it; 0 tokens say that there is none."""
    return test.with_loss and (answer is None or answer.num_loss_tokens is None)


def with_loss(answer: Answer, lost: tuple[float, int] | None) -> Answer:
    """The answer with the loss of its row, where that was computed now."""
    if lost is None or answer.num_loss_tokens is not None:
        return answer
    mean, count = lost
    return replace(answer, loss=mean if count else None, num_loss_tokens=count)


def judged(test: Exam, answer: Answer) -> Answer:
    """The answer as the present patterns judge it: it may have been stored under others."""
    found = test.scorer.judge(answer.expected, answer.answer, unseen=answer.line in test.rows.unseen)
    return replace(
        answer,
        wanted=found.wanted,
        found=found.found,
        correct=found.correct,
        group=found.group,
        unseen=found.unseen,
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """One loaded variant at its rows."""

    test: Exam
    variant: Variant
    player: Player
    stored: AnswersFile
    writer: EventWriter
    asked: Mapping[int, str]

    @property
    def limits(self) -> Limits:
        settings = self.test.settings
        return Limits(
            stop_ids=self.test.stop_ids,
            max_new_tokens=settings.max_new_tokens,
            batch_size=settings.per_device_eval_batch_size,
            pad_id=self.test.tokenizer.pad_token_id or 0,
            autocast=precision(self.test.plan)[1],
            is_complete=self._completeness(),
        )

    def losses(self, rows: list[int]) -> dict[int, tuple[float, int]]:
        """Row to (mean nats per trained token, how many); (0, 0) where nothing is trained or the row does not fit."""
        found = dict.fromkeys(rows, (0.0, 0))
        rendered: dict[int, Row] = {}
        for number in rows:
            row = self._labelled(number)
            if row is not None and (self.player.context is None or len(row[0]) <= self.player.context):
                rendered[number] = row
        for number, mean, count in self.player.losses(rendered, self.limits):
            found[number] = (mean, count)
        return found

    def answer(self, prompts: Mapping[int, list[int]], lost: Mapping[int, tuple[float, int]]) -> None:
        """Ask the rows; each answer is stored at once."""
        begun, spent = time.monotonic(), self.stored.seconds
        last = told = begun
        num_rows = len(self.asked)
        num_done = num_rows - len(prompts)
        for row, new_ids in self._answered(prompts):
            now = time.monotonic()
            text = self._text(new_ids)
            answer = self._answer(row, text, len(new_ids))
            timed = replace(answer, seconds=round(spent + now - begun, 3), own_seconds=round(now - last, 4))
            self.stored.append(with_loss(timed, lost.get(row)))
            last = now
            num_done += 1
            if now - told >= PROGRESS_SECONDS or num_done == num_rows:
                told = now
                progress = EvaluationProgressed(variant=self.variant.name, num_done=num_done, num_rows=num_rows)
                self.writer.write(progress)

    def _answered(self, prompts: Mapping[int, list[int]]) -> Iterator[tuple[int, list[int]]]:
        """(row, new token ids) of every prompt. One that the context cannot hold is answered by nothing."""
        context, room = self.player.context, self.test.settings.max_new_tokens
        too_long = [row for row, ids in prompts.items() if context and len(ids) + room > context]
        if too_long:
            text = (
                f"{self.variant.title}: {len(too_long)} prompts do not fit the model's {context} tokens; "
                "they count as wrong."
            )
            self.writer.write(WarningRaised(text=text))
        yield from ((row, []) for row in too_long)
        fitting = {row: ids for row, ids in prompts.items() if row not in set(too_long)}
        yield from self.player.answers(fitting, self.limits, self.writer)

    def _answer(self, row: int, text: str, num_tokens: int) -> Answer:
        asked = self.test.rows.rows[row]
        is_quick = self.test.is_quick
        empty = Answer(
            row=row,
            line=asked.line,
            request=clip(asked.messages[-2].content, MAX_REQUEST_BYTES),
            expected=asked.answer,
            answer=text,
            wanted="",
            found=None,
            correct=False,
            group="",
            unseen=False,
            seconds=0.0,
            asked=self.asked[row],
            num_tokens=None if is_quick else num_tokens,
            ended=None if is_quick else num_tokens < self.test.settings.max_new_tokens,
        )
        return judged(self.test, empty)

    def _labelled(self, number: int) -> Row | None:
        """The row's tokens and labels, behind the variant's examples; None where the chat template refuses it."""
        row = self.test.rows.rows[number]
        renderer = self.test.renderer
        if self.variant.shots:
            turns = (*question(row, self.variant.shots), Message("assistant", row.answer))
            row, renderer = Conversation(turns, row.line), self.test.last_answer_renderer
        try:
            rendered = renderer.render(row)
        except DataError:
            return None
        return rendered.input_ids, rendered.labels

    def _text(self, new_ids: Sequence[int]) -> str:
        text = self.test.tokenizer.decode(new_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def _completeness(self) -> Callable[[Sequence[int]], bool]:
        """Whether what a row has generated settles its score."""
        if not self.test.is_quick:
            return never
        return lambda new_ids: self.test.scorer.is_settled(self._text(new_ids))
