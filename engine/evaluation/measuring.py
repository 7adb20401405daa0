"""From the answers of a variant to its line of the result table: every metric with its interval.

Not here: the metrics (`metrics`), and variants against each other (`comparing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.evaluation.answers_file import Answer
from engine.evaluation.exam import Exam
from engine.evaluation.metrics import Measured, Reply, all_metrics, measure
from engine.evaluation.scoring import Judged, tally
from engine.evaluation.variants import Variant
from engine.events import VariantScored

MAIN_METRIC = "exact_match"
"""Always measured, whatever else is asked for: groups and rows never seen are told by it."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One variant's answers and what they measure; `measured` by metric, the main one included."""

    variant: Variant
    answers: Sequence[Answer]
    measured: Mapping[str, Measured]


def measured_sheet(test: Exam, variant: Variant, answers: Sequence[Answer]) -> Sheet:
    """Every metric asked for, of all answers."""
    replies = [
        reply_of(answer, test.rows.columns[number] if test.rows.columns else {})
        for number, answer in enumerate(answers)
    ]
    metrics = {MAIN_METRIC: all_metrics()[MAIN_METRIC]} | {metric.NAME: metric for metric in test.metrics}
    found = {name: measure(metric, replies, test.settings) for name, metric in metrics.items()}
    return Sheet(variant, answers, found)


def reply_of(answer: Answer, columns: Mapping[str, object]) -> Reply:
    """The answer as metrics see it."""
    return Reply(
        expected=answer.expected,
        answer=answer.answer,
        request=answer.request,
        ended=answer.ended,
        num_tokens=answer.num_tokens,
        seconds=answer.own_seconds,
        loss=answer.loss,
        num_loss_tokens=answer.num_loss_tokens,
        row=columns,
        group=answer.group,
        unseen=answer.unseen,
    )


def scored(test: Exam, sheet: Sheet) -> VariantScored:
    """The event that tells a variant's line of the table. Values that are none are left out."""
    rows = [Judged(row.wanted, row.found, row.correct, row.group, row.unseen) for row in sheet.answers]
    counts = tally(rows)
    others = [each for name, each in sheet.measured.items() if name != MAIN_METRIC and each.value is not None]
    return VariantScored(
        variant=sheet.variant.name,
        title=sheet.variant.title,
        metric=MAIN_METRIC,
        num_rows=counts.num_rows,
        num_correct=counts.num_correct,
        low=counts.low,
        high=counts.high,
        seconds=round(max((row.seconds for row in sheet.answers), default=0.0), 2),
        answers_file=answers_file(test, sheet.variant),
        unseen_rows=counts.unseen_rows,
        unseen_correct=counts.unseen_correct,
        groups=counts.groups,
        scores=tuple((each.name, round(each.value, 4)) for each in others if each.value is not None),
        intervals=tuple(
            (each.name, round(each.low, 4), round(each.high, 4))
            for each in others
            if each.low is not None and each.high is not None
        ),
        dataset=test.rows.name,
    )


def answers_file(test: Exam, variant: Variant) -> str:
    """Where its answers lie, relative to the run."""
    return Path(test.rows.folder / f"{variant.name}.jsonl").relative_to(test.run.path).as_posix()
