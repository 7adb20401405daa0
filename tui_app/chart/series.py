"""One curve as it grows: its points, its averages, and its buckets for the window that is shown.

Not here: reading a run's history (`tui_app/panels/loss`), drawing (`plot`).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable

from tui_app.chart.buckets import EMPTY_HIGH, EMPTY_LOW, Buckets, bucketed
from tui_app.chart.smoothing import Ema
from tui_app.chart.window import Window


class Series:
    """Points with rising x. Appending is cheap; the buckets of an unchanged window only take in what is new."""

    def __init__(self, points: Iterable[tuple[float, float]] = ()) -> None:
        self.xs = array("d")
        self._lows = array("d")
        self._highs = array("d")
        self._values = array("d")
        self._averages: dict[float, tuple[Ema, array[float]]] = {}
        self._buckets: Buckets | None = None
        self._smoothing = 0.0
        self._num_bucketed = 0
        for x, value in points:
            self.append(x, value)

    def __len__(self) -> int:
        return len(self.xs)

    def append(self, x: float, value: float, low: float | None = None, high: float | None = None) -> None:
        """One more point; `low` and `high` where it stands for several, of which `value` is the mean."""
        is_finite = math.isfinite(value)
        self.xs.append(x)
        self._values.append(value)
        self._lows.append((value if low is None else low) if is_finite else EMPTY_LOW)
        self._highs.append((value if high is None else high) if is_finite else EMPTY_HIGH)

    def averages(self, smoothing: float) -> array[float]:
        """The bias-corrected EMA after each point; NaN where the loss is not finite."""
        ema, averages = self._averages.setdefault(smoothing, (Ema(smoothing), array("d")))
        for index in range(len(averages), len(self._values)):
            averages.append(ema.add(self._values[index]))
        return averages

    def buckets(self, window: Window, num_columns: int, smoothing: float) -> Buckets:
        """All points of the window in `num_columns` buckets."""
        averages = self.averages(smoothing)
        buckets = self._kept(window, num_columns, smoothing)
        if buckets is None:
            buckets = bucketed(window, num_columns, self.xs, self._lows, self._highs, averages)
        else:
            for index in range(self._num_bucketed, len(self.xs)):
                buckets.append(self.xs[index], self._lows[index], averages[index])
                if self._highs[index] != self._lows[index]:
                    buckets.append(self.xs[index], self._highs[index], averages[index])
        self._buckets, self._smoothing, self._num_bucketed = buckets, smoothing, len(self.xs)
        return buckets

    def _kept(self, window: Window, num_columns: int, smoothing: float) -> Buckets | None:
        """The buckets at hand, doubled as often as it takes to reach as far as `window`; None where they are others."""
        buckets = self._buckets
        if buckets is None or (len(buckets), self._smoothing) != (num_columns, smoothing):
            return None
        if buckets.window != window:
            # What lay at or beyond the right edge is not in the buckets as the wider window has it.
            is_within = not self._num_bucketed or self.xs[self._num_bucketed - 1] < buckets.window.stop
            times = (window.stop - window.start) / (buckets.window.stop - buckets.window.start)
            doublings = round(math.log2(times)) if times > 0 else 0
            if not is_within or buckets.window.start != window.start or times != 2.0**doublings or doublings < 1:
                return None
            for _ in range(doublings):
                buckets.double()
        return buckets
