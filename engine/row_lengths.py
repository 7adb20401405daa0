"""How long the rows are that a run trains on: what the largest micro-batch is made of.

Not here: counting tokens (`training.prepare`) and what a batch costs (`memory`, `dry_runs`).
"""

from __future__ import annotations

import functools
import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.packing import packs_of, padding_by_step

MAX_COUNTED = 512
"""Different lengths that are told apart; of more, neighbours count as the longest of them."""
MAX_KEPT = 256
"""Longest rows that are remembered; a micro-batch larger than that counts the last of them again and again."""


@dataclass(frozen=True, slots=True)
class RowLengths:
    """`longest`: (tokens, trained tokens) of the longest rows, longest first, before any cut.

    `counts`: (tokens, rows) of all rows, shortest first, empty where only the longest are known. The rest are totals.
    """

    longest: tuple[tuple[int, int], ...]
    num_rows: int
    num_tokens: int
    counts: tuple[tuple[int, int], ...] = ()

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

    def packs(self, max_length: int) -> RowLengths:
        """The packs that these rows make, each like one row of which every token is trained.

        Of rows whose lengths are not all known, as many full packs as their tokens fill.
        """
        return _packs(self, max_length)

    def padding(self, max_length: int, batch_size: int, num_batches: int) -> tuple[float, float] | None:
        """Share of padding in micro-batches of rows drawn at random, and with those of a step sorted by length.

        A step has `num_batches` micro-batches of `batch_size` rows. None where not all lengths are known.
        """
        if not self.counts:
            return None
        return padding_by_step(dict(self.counts), max_length, batch_size, num_batches)

    def to_json(self) -> dict[str, Any]:
        return {
            "longest": [list(row) for row in self.longest],
            "num_rows": self.num_rows,
            "num_tokens": self.num_tokens,
            "counts": [list(pair) for pair in self.counts],
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> RowLengths:
        longest = tuple((int(tokens), int(trained)) for tokens, trained in values["longest"])
        counts = tuple((int(tokens), int(rows)) for tokens, rows in values.get("counts", ()))
        return RowLengths(longest, int(values["num_rows"]), int(values["num_tokens"]), counts)


@functools.lru_cache(maxsize=64)
def _packs(rows: RowLengths, max_length: int) -> RowLengths:
    if rows.counts:
        sizes = packs_of(dict(rows.counts), max_length)
    else:
        full, rest = divmod(rows.num_tokens, max_length)
        sizes = {max_length: full, **({rest: 1} if rest else {})}
    counter = LengthCounter()
    for tokens, count in sizes.items():
        counter.add(tokens, tokens, count)
    return counter.lengths()


class LengthCounter:
    """Counts rows as they come; holds the longest `MAX_KEPT` only, and how many there are of each length."""

    def __init__(self) -> None:
        self.num_rows, self.num_tokens = 0, 0
        self._longest: list[tuple[int, int]] = []
        self._counts = Counter[int]()

    def add(self, tokens: int, trained: int, num_rows: int = 1) -> None:
        """One row, or several alike."""
        self.num_rows += num_rows
        self.num_tokens += tokens * num_rows
        self._counts[tokens] += num_rows
        for _ in range(min(num_rows, MAX_KEPT)):
            if len(self._longest) < MAX_KEPT:
                heapq.heappush(self._longest, (tokens, trained))
            else:
                heapq.heappushpop(self._longest, (tokens, trained))

    def lengths(self) -> RowLengths:
        """What was counted. Raises ValueError when there was no row."""
        if not self.num_rows:
            raise ValueError("no rows to count")
        longest = tuple(sorted(self._longest, reverse=True))
        return RowLengths(longest, self.num_rows, self.num_tokens, _grouped(self._counts))


def _grouped(counts: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    """(tokens, rows), shortest first, at most `MAX_COUNTED`: where there are more lengths, each is rounded up."""
    longest, width = max(counts), 1
    grouped = dict(counts)
    while len(grouped) > MAX_COUNTED:
        width *= 2
        rounded = Counter[int]()
        for tokens, rows in counts.items():
            rounded[min(-(-tokens // width) * width, longest)] += rows
        grouped = dict(rounded)
    return tuple(sorted(grouped.items()))
