"""What an answer is worth: the part compared, the group a row belongs to, counts and their uncertainty.

Pure: texts in, numbers out. Not here: how answers come about (`generation`) and where they lie (`answers_file`).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.events import clip

OTHER_GROUP = "other"
"""Group of a row whose expected answer the group pattern does not match."""
REST_OF_GROUPS = "(other)"
MAX_GROUPS = 40
MAX_GROUP_NAME_BYTES = 60
MAX_GROUPS_BYTES = 2400
"""Room for groups in an event: all of it stays under 4 kB."""
Z_95 = 1.959963984540054
"""The normal distribution holds 95 % between minus and plus this many standard deviations."""


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
    """Judges answers by a recipe's patterns. Both are regular expressions with one group; None means the whole text."""

    def __init__(self, answer_pattern: str | None, group_pattern: str | None) -> None:
        self._answer = re.compile(answer_pattern, re.MULTILINE) if answer_pattern is not None else None
        self._group = re.compile(group_pattern, re.MULTILINE) if group_pattern is not None else None

    def judge(self, expected: str, answer: str, *, unseen: bool = False) -> Judged:
        """An answer is correct when the part compared equals that of the expected answer, blanks aside.

        An expected answer that the pattern does not match is compared whole; an answer that it does not
        match is no answer, and wrong.
        """
        wanted = self._part(expected)
        wanted = normalised(expected if wanted is None else wanted)
        part = self._part(answer)
        found = None if part is None else normalised(part)
        return Judged(wanted, found, found == wanted, self.group_of(expected), unseen)

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

    def _part(self, text: str) -> str | None:
        if self._answer is None:
            return text
        match = self._answer.search(text)
        return match[1] if match else None


def normalised(text: str) -> str:
    """Without blanks at the ends, and with one space for any run of blanks inside. Nothing else changes."""
    return " ".join(text.split())


def wilson_interval(num_correct: int, num_rows: int) -> tuple[float, float]:
    """The 95 % score interval of a share, as (low, high) from 0 to 1; (0, 1) without rows.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22 (1927), 209-212: with n rows, share p and z = 1.96,
    (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n). It stays inside 0 and 1 and holds for few rows.
    """
    if not 0 <= num_correct <= num_rows:
        raise ValueError(f"{num_correct} of {num_rows} rows cannot be correct")
    if num_rows == 0:
        return 0.0, 1.0
    share, z2n = num_correct / num_rows, Z_95**2 / num_rows
    middle = share + z2n / 2
    half = math.sqrt(z2n * (share * (1 - share) + z2n / 4))
    low = 0.0 if num_correct == 0 else (middle - half) / (1 + z2n)
    high = 1.0 if num_correct == num_rows else (middle + half) / (1 + z2n)
    return low, high


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
