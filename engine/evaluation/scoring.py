"""What an answer is worth: the part compared, the group a row belongs to, counts and their uncertainty.

Pure: texts in, numbers out. Not here: how answers come about (`generation`) and where they lie (`answers_file`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.bounded_pattern import BoundedPattern
from engine.evaluation.normalization import WHITE_SPACE, normalised
from engine.evaluation.statistics import wilson_interval
from engine.events import clip

if TYPE_CHECKING:
    from engine.recipe_sections import EvaluationSection

OTHER_GROUP = "other"
"""Group of a row whose expected answer the group pattern does not match."""
REST_OF_GROUPS = "(other)"
MAX_GROUPS = 40
MAX_GROUP_NAME_BYTES = 60
MAX_GROUPS_BYTES = 2400
"""Room for groups in an event: all of it stays under 4 kB."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One scored row. `found` is the part of the answer that was compared; None where there is none."""

    wanted: str
    found: str | None
    correct: bool
    group: str
    unseen: bool


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one variant, ready for its event."""

    num_rows: int
    num_correct: int
    low: float
    high: float
    unseen_rows: int
    unseen_correct: int
    groups: tuple[tuple[str, int, int], ...]


class Scorer:
    """Judges answers by a recipe's patterns. Both are regular expressions with one group; None means the whole text.

    `normalization` names the steps of `engine.evaluation.normalization` done before parts are compared.
    """

    def __init__(
        self, answer_pattern: str | None, group_pattern: str | None, normalization: Iterable[str] = WHITE_SPACE
    ) -> None:
        self._answer = _pattern(answer_pattern, "evaluation.answer_pattern")
        self._group = _pattern(group_pattern, "evaluation.group_pattern")
        self._normalization = tuple(normalization)

    @staticmethod
    def of(settings: EvaluationSection) -> Scorer:
        """The one that a recipe describes."""
        return Scorer(settings.answer_pattern, settings.group_pattern, settings.normalization)

    def judge(self, expected: str, answer: str, *, unseen: bool = False) -> Judged:
        """An answer is correct when the part compared equals that of the expected answer, once both are normalised.

        An expected answer that the pattern does not match is compared whole; an answer that it does not
        match is no answer, and wrong.
        """
        wanted = normalised(self.wanted(expected), self._normalization)
        part = self.found(answer)
        found = None if part is None else normalised(part, self._normalization)
        return Judged(wanted, found, found == wanted, self.group_of(expected), unseen)

    def wanted(self, expected: str) -> str:
        """The part of an expected answer that is compared, as it stands there."""
        part = self.found(expected)
        return expected if part is None else part

    def found(self, answer: str) -> str | None:
        """The part of an answer that is compared, as it stands there; None where the pattern finds none."""
        if self._answer is None:
            return answer
        match = self._answer.search(answer)
        return match[1] if match else None

    def group_of(self, expected: str) -> str:
        """The group of a row, by its expected answer; empty when the recipe names no group pattern."""
        if self._group is None:
            return ""
        match = self._group.search(expected)
        name = normalised(match[1] or "") if match else ""
        return clip(name, MAX_GROUP_NAME_BYTES) or OTHER_GROUP

    def is_settled(self, answer: str) -> bool:
        """Whether a growing answer holds its compared part complete: the match is followed by a line break."""
        match = self._answer.search(answer) if self._answer is not None else None
        return match is not None and match[1] is not None and "\n" in answer[match.end() :]


def _pattern(pattern: str | None, setting: str) -> BoundedPattern | None:
    return BoundedPattern(pattern, setting) if pattern is not None else None


def tally(rows: Sequence[Judged]) -> Tally:
    """Counts in all, per group and for unseen answers."""
    num_correct = sum(row.correct for row in rows)
    unseen = [row for row in rows if row.unseen]
    low, high = wilson_interval(num_correct, len(rows))
    return Tally(
        num_rows=len(rows),
        num_correct=num_correct,
        low=round(low, 4),
        high=round(high, 4),
        unseen_rows=len(unseen),
        unseen_correct=sum(row.correct for row in unseen),
        groups=grouped(rows),
    )


def grouped(rows: Iterable[Judged]) -> tuple[tuple[str, int, int], ...]:
    """(group, rows, correct), the largest group first; what an event has no room for is summed as one."""
    num_rows: Counter[str] = Counter()
    num_correct: Counter[str] = Counter()
    for row in rows:
        if row.group:
            num_rows[row.group] += 1
            num_correct[row.group] += row.correct
    names = sorted(num_rows, key=lambda name: (-num_rows[name], name))
    room = MAX_GROUPS
    while len(json.dumps([(name, num_rows[name], num_correct[name]) for name in names[:room]])) > MAX_GROUPS_BYTES:
        room -= 1
    kept = [(name, num_rows[name], num_correct[name]) for name in names[:room]]
    if rest := names[room:]:
        kept.append((REST_OF_GROUPS, sum(num_rows[n] for n in rest), sum(num_correct[n] for n in rest)))
    return tuple(kept)
