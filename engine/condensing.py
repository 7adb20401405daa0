"""How older entries of a long history are merged: ten million steps take no more room than a hundred thousand.

Pure functions over columns. Not here: which columns there are and when they are merged (`run_trace`).
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TypeAlias

Group = tuple[int, int]
"""Entries from the first index up to, not including, the second."""
Column: TypeAlias = "array[int] | array[float]"


def width_for(span: int, most: int, width: int) -> int:
    """The least of `width`, twice, four times it … at which `span` steps make at most `most` entries."""
    while span // width >= most:
        width *= 2
    return width


def groups(steps: Sequence[int], start: int, stop: int, width: int, borders: Sequence[int]) -> list[Group]:
    """Entries `start` to `stop` whose steps lie in the same stretch of `width` steps; none reaches over a border.

    A stretch begins at a multiple of its width, so groups of a larger power of two hold whole smaller ones.
    """
    found, first = [], start
    while first < stop:
        end = bisect_left(steps, (steps[first] // width + 1) * width, first, stop)
        end = min((border for border in borders if first < border < end), default=end)
        found.append((first, end))
        first = end
    return found


def merge(column: Column, pieces: Sequence[Group], how: Callable[[Column], float]) -> None:
    """Put one value in the place of each group; the groups follow one another."""
    start, stop = pieces[0][0], pieces[-1][1]
    values = [column[first] if end - first == 1 else how(column[first:end]) for first, end in pieces]
    column[start:stop] = array(column.typecode, values)  # type: ignore[arg-type]


def last(values: Column) -> float:
    return values[-1]


def mean_known(values: Column) -> float:
    """Mean of what is a number; NaN where nothing is."""
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def diverging(values: Column, how: Callable[[Column], float]) -> float:
    """The first value that is no finite number; `how` of them where all are."""
    total = sum(values)
    if math.isfinite(total):
        return how(values)
    return next((value for value in values if not math.isfinite(value)), how(values))


def mean_loss(values: Column) -> float:
    return diverging(values, lambda finite: sum(finite) / len(finite))


def lowest(values: Column) -> float:
    return diverging(values, min)


def highest(values: Column) -> float:
    return diverging(values, max)
