"""How long the rows are that a run trains on: what the largest micro-batch is made of.

Not here: counting tokens (`training.prepare`) and what a batch costs (`memory`, `dry_runs`).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_KEPT = 256
"""Longest rows that are remembered; a micro-batch larger than that counts the last of them again and again."""


@dataclass(frozen=True, slots=True)
class RowLengths:
    """`longest`: (tokens, trained tokens) of the longest rows, longest first, before any cut. The rest are totals."""

    longest: tuple[tuple[int, int], ...]
    num_rows: int
    num_tokens: int

    @staticmethod
    def of(rows: Iterable[tuple[int, int]]) -> RowLengths:
        """Count (tokens, trained tokens) of every row. Raises ValueError when there is none."""
        counter = LengthCounter()
        for tokens, trained in rows:
            counter.add(tokens, trained)
        return counter.lengths()

    def batch(self, num_rows: int, max_length: int) -> tuple[tuple[int, int], ...]:
        """(tokens, trained tokens) of the rows of the largest micro-batch, cut at `max_length`.

        A micro-batch cannot hold more rows than there are.
        """
        num_rows = min(num_rows, self.num_rows)
        taken = [*self.longest[:num_rows]]
        taken += [self.longest[-1]] * (num_rows - len(taken))
        return tuple((min(tokens, max_length), min(trained, tokens, max_length)) for tokens, trained in taken)

    def to_json(self) -> dict[str, Any]:
        return {
            "longest": [list(row) for row in self.longest],
            "num_rows": self.num_rows,
            "num_tokens": self.num_tokens,
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> RowLengths:
        longest = tuple((int(tokens), int(trained)) for tokens, trained in values["longest"])
        return RowLengths(longest, int(values["num_rows"]), int(values["num_tokens"]))


class LengthCounter:
    """Counts rows as they come; holds the longest `MAX_KEPT` only."""

    def __init__(self) -> None:
        self.num_rows, self.num_tokens = 0, 0
        self._longest: list[tuple[int, int]] = []

    def add(self, tokens: int, trained: int) -> None:
        """One row."""
        self.num_rows += 1
        self.num_tokens += tokens
        if len(self._longest) < MAX_KEPT:
            heapq.heappush(self._longest, (tokens, trained))
        else:
            heapq.heappushpop(self._longest, (tokens, trained))

    def lengths(self) -> RowLengths:
        """What was counted. Raises ValueError when there was no row."""
        if not self.num_rows:
            raise ValueError("no rows to count")
        return RowLengths(tuple(sorted(self._longest, reverse=True)), self.num_rows, self.num_tokens)
