"""Lowest and highest loss per dot column: what a curve of any length is drawn from. Not here: the curve (`series`)."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from tui_app.chart.window import Window

EMPTY_LOW = math.inf
EMPTY_HIGH = -math.inf


class Buckets:
    """One bucket per column of a window. Where nothing finite fell into it, `lows` is inf, `highs` -inf, `lasts` NaN.

    `lasts` holds the newest smoothed loss of each bucket, `nonfinite` 1 where a loss in it was NaN or infinite.
    """

    def __init__(self, window: Window, num_columns: int) -> None:
        if num_columns < 1 or not window.stop > window.start:
            raise ValueError(f"no buckets in {num_columns} columns from {window.start} to {window.stop}")
        self.window = window
        self._clear(num_columns)

    def _clear(self, num_columns: int) -> None:
        self.lows = array("d", [EMPTY_LOW]) * num_columns
        self.highs = array("d", [EMPTY_HIGH]) * num_columns
        self.lasts = array("d", [math.nan]) * num_columns
        self.nonfinite = bytearray(num_columns)

    def __len__(self) -> int:
        return len(self.lows)

    def append(self, x: float, value: float, smoothed: float) -> None:
        """Take in one more point; x rises from call to call. Outside the window it changes nothing."""
        if not self.window.start <= x <= self.window.stop:
            return
        column = self.window.column_of(x, len(self.lows))
        if not math.isfinite(value):
            self.nonfinite[column] = 1
            return
        if value < self.lows[column]:
            self.lows[column] = value
        if value > self.highs[column]:
            self.highs[column] = value
        if smoothed == smoothed:  # not NaN
            self.lasts[column] = smoothed

    def double(self) -> None:
        """Let the window reach twice as far: pairs of buckets become one, the right half is free."""
        columns = len(self.lows)
        self.window = Window(self.window.start, 2 * self.window.stop - self.window.start)
        lows, highs, lasts, nonfinite = self.lows, self.highs, self.lasts, self.nonfinite
        self._clear(columns)
        for left in range(0, columns, 2):
            right = min(left + 1, columns - 1)
            merged = left // 2
            self.lows[merged] = min(lows[left], lows[right])
            self.highs[merged] = max(highs[left], highs[right])
            self.lasts[merged] = lasts[right] if lasts[right] == lasts[right] else lasts[left]
            self.nonfinite[merged] = nonfinite[left] | nonfinite[right]


def bucketed(
    window: Window,
    num_columns: int,
    xs: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    smoothed: Sequence[float],
) -> Buckets:
    """The same as appending every point, but by slices: about forty times as fast for a long curve.

    `lows` and `highs` are the losses, inf and -inf in place of what is not finite. All are equally long.
    """
    buckets = Buckets(window, num_columns)
    first, end = bisect_left(xs, window.start), bisect_right(xs, window.stop)

    def column_of(x: float) -> int:
        return window.column_of(x, num_columns)

    while first < end:
        column = column_of(xs[first])
        after = bisect_right(xs, column, first, end, key=column_of)
        inside = lows[first:after]
        buckets.lows[column] = min(inside)
        buckets.highs[column] = max(highs[first:after])
        buckets.nonfinite[column] = EMPTY_LOW in inside
        buckets.lasts[column] = next(
            (smoothed[i] for i in range(after - 1, first - 1, -1) if smoothed[i] == smoothed[i]), math.nan
        )
        first = after
    return buckets
