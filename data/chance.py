"""Chance that is the same on every Python version: of a seeded generator, only `random()` is promised to stay."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

_Item = TypeVar("_Item")


def below(limit: int, chance: random.Random) -> int:
    """A number from 0 up to `limit`."""
    return int(chance.random() * limit)


def one_of(items: Sequence[_Item], chance: random.Random) -> _Item:
    """Any of them, each as likely."""
    return items[below(len(items), chance)]


def shuffled(items: Sequence[_Item], chance: random.Random) -> list[_Item]:
    """All of them in an order of chance."""
    order = list(items)
    for last in range(len(order) - 1, 0, -1):
        other = below(last + 1, chance)
        order[last], order[other] = order[other], order[last]
    return order


def allotted(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in whole parts in proportion to the weights; what rounding leaves goes to the largest remainders."""
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda number: -(total * weights[number] % whole))
    for number in by_remainder[: total - sum(parts)]:
        parts[number] += 1
    return parts
