"""How lengths are spread: exact percentiles from counts, which take no more room than there are different lengths.

Not here: what is counted (`statistics`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

NORMAL_95 = 1.96
"""Standard deviations on either side of the mean that hold 95 % of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Number, sum and percentiles (nearest rank) of whole numbers; all 0 where there is none."""

    num: int
    total: int
    smallest: int
    p50: int
    p95: int
    p99: int
    largest: int

    @property
    def mean(self) -> float:
        return self.total / self.num if self.num else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain dict, with the mean."""
        return asdict(self) | {"mean": round(self.mean, 2)}


def spread(counts: Mapping[int, int]) -> Spread:
    """The spread of values, given how often each occurs."""
    num = sum(counts.values())
    total = sum(value * count for value, count in counts.items())
    if not num:
        return Spread(0, 0, 0, 0, 0, 0, 0)
    p50, p95, p99 = (value_at(counts, math.ceil(percent * num / 100)) for percent in (50, 95, 99))
    return Spread(num, total, min(counts), p50, p95, p99, max(counts))


def value_at(counts: Mapping[int, int], rank: int) -> int:
    """The value with this rank among all, counted from 1 for the smallest; the nearest where there is no such rank."""
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= rank:
            break
    return value


def interval(counts: Mapping[int, int], share: float) -> tuple[int, int]:
    """Between which values a percentile of the whole lies with 95 % certainty, when `counts` are of a random sample."""
    num = sum(counts.values())
    error = NORMAL_95 * math.sqrt(num * share * (1 - share))
    low, high = math.floor(num * share - error), math.ceil(num * share + error) + 1
    return value_at(counts, max(low, 1)), value_at(counts, min(high, num))


def share_error(share: float, num: int, of: int) -> float:
    """Half the width of the 95 % interval of a share (0 to 1) found in a random sample of `num` out of `of`."""
    if not num or of <= 1:
        return 0.0
    # A share of 0 or 1 in a sample is no certainty: as if two rows of either kind more had been drawn.
    smoothed = (share * num + 2) / (num + 4)
    return NORMAL_95 * math.sqrt(smoothed * (1 - smoothed) / (num + 4) * (of - num) / (of - 1))


def mean_error(counts: Mapping[int, int], of: int) -> float:
    """Half the width of the 95 % interval of the mean, when `counts` are of a random sample out of `of`."""
    num = sum(counts.values())
    if num < 2 or of <= 1:
        return 0.0
    mean = sum(value * count for value, count in counts.items()) / num
    variance = sum(count * (value - mean) ** 2 for value, count in counts.items()) / (num - 1)
    return NORMAL_95 * math.sqrt(variance / num * max(of - num, 0) / (of - 1))


class Commonest:
    """How often texts occur, the commonest first; memory for `most` different ones.

    With more than that the rarest are forgotten: counts may then be too low (`is_whole` is False), and a text that is
    common is still there, unless it became so only late.
    """

    def __init__(self, most: int = 20_000) -> None:
        self.most, self.is_whole = most, True
        self._counts: Counter[str] = Counter()

    def add(self, text: str) -> None:
        self._counts[text] += 1
        if len(self._counts) > self.most:
            self.is_whole = False
            kept = sorted(self._counts.items(), key=lambda one: (-one[1], one[0]))[: self.most // 2]
            self._counts = Counter(dict(kept))

    @property
    def num_different(self) -> int:
        """Different texts that are remembered."""
        return len(self._counts)

    def first(self, num: int) -> list[tuple[str, int]]:
        """The commonest with their counts; equally common ones in alphabetical order."""
        return sorted(self._counts.items(), key=lambda one: (-one[1], one[0]))[:num]
