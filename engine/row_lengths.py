"""How long the rows are that a run trains on: what the largest micro-batch is made of.

Not here: counting tokens (`training.prepare`) and what a batch costs (`memory`, `dry_runs`).
"""

from __future__ import annotations

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
        counted = sorted(rows, reverse=True)
        if not counted:
            raise ValueError("no rows to count")
        return RowLengths(tuple(counted[:MAX_KEPT]), len(counted), sum(tokens for tokens, _ in counted))

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
