"""What rows are like without a model: turns, roles, lengths in characters and words, and how answers begin.

One pass, counts only: memory grows with the number of different lengths, not with that of rows. Not here: tokens, which
need a model's tokenizer (`engine`), and what is wrong with rows (`checks`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from data.conversation import Conversation, Example
from data.figures.spread import Commonest, spread
from data.loading import ReadRow

LONGEST_LABEL = 60
"""Characters; an answer that is longer is no label, and no beginning is longer."""
FEW_LABELS = 50
"""So many different answers, each of them short, are classes."""
MOST_WORDS = 4
"""A beginning that nearly all answers share says little: then the next word is taken too, up to so many."""
SHARED_BY_ALL, SHARED_BY_MOST = 0.9, 0.6
ROWS_TO_JUDGE = 2000
"""After so many rows, no more words of a beginning are counted than it takes to tell answers apart."""


@dataclass(slots=True)
class Lengths:
    """How long texts are: characters, and words between blanks, with how often each length occurs."""

    characters: Counter[int] = field(default_factory=Counter)
    words: Counter[int] = field(default_factory=Counter)

    def add(self, text: str) -> None:
        self.characters[len(text)] += 1
        self.words[len(text.split())] += 1

    def to_json(self) -> dict[str, Any]:
        return {"characters": spread(self.characters).to_json(), "words": spread(self.words).to_json()}


class RowStatistics:
    """Counts of the rows given to `add`. `num_rows` counts every row, `num_used` those that can be trained on.

    A request is everything before the last answer; a plain text is an answer without a request.
    """

    def __init__(self) -> None:
        self.num_rows = self.num_used = self.num_texts = 0
        self.turns: Counter[int] = Counter()
        self.roles: Counter[str] = Counter()
        self.requests, self.answers = Lengths(), Lengths()
        self._labels = Commonest(FEW_LABELS * 4)
        self._has_long_answers = False
        self._beginnings = [Commonest() for _ in range(MOST_WORDS)]

    def add(self, row: ReadRow) -> None:
        self.num_rows += 1
        if row.example is not None:
            self.num_used += 1
            self._count(row.example)

    def _count(self, example: Example) -> None:
        if isinstance(example, Conversation):
            roles = [message.role for message in example.messages]
            self.roles.update(roles)
            self.turns[roles.count("assistant")] += 1
            self.requests.add(example.request)
        else:
            self.num_texts += 1
        self.answers.add(example.answer)
        answer = example.answer.strip()
        if len(answer) > LONGEST_LABEL:
            self._has_long_answers = True
        elif not self._has_long_answers:
            self._labels.add(answer)
        words = answer[: LONGEST_LABEL * 2].split(maxsplit=MOST_WORDS)[:MOST_WORDS]
        for number, counted in enumerate(self._beginnings, start=1):
            counted.add(" ".join(words[:number])[:LONGEST_LABEL])
        if self.num_used == ROWS_TO_JUDGE:
            self._beginnings = self._beginnings[: self._words_needed()]

    def _words_needed(self) -> int:
        """How many words tell answers apart, as far as they are known."""
        for number, beginnings in enumerate(self._beginnings, start=1):
            if beginnings.first(1)[0][1] < SHARED_BY_MOST * self.num_used:
                return number
        return MOST_WORDS

    @property
    def are_labels(self) -> bool:
        """Whether the answers are a few short ones, as those of a classification are."""
        return not self._has_long_answers and self._labels.is_whole and 0 < self._labels.num_different <= FEW_LABELS

    def commonest(self, num: int = 8) -> list[tuple[str, int]]:
        """The answers themselves where they are labels, else the words that most of them begin with; with counts."""
        if self.are_labels:
            return self._labels.first(num)
        for beginnings in self._beginnings:
            first = beginnings.first(num)
            if not first or first[0][1] < SHARED_BY_ALL * self.num_used:
                break
        return first

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        return {
            "rows": self.num_rows,
            "rows_used": self.num_used,
            "plain_texts": self.num_texts,
            "answers_per_row": {str(turns): self.turns[turns] for turns in sorted(self.turns)},
            "roles": dict(sorted(self.roles.items())),
            "requests": self.requests.to_json(),
            "answers": self.answers.to_json(),
            "answers_are_labels": self.are_labels,
            "answers_begin_with": [list(one) for one in self.commonest(20)],
        }
