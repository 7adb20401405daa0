"""The exponential moving average of a loss, corrected for its start as Adam's moments are. Not here: drawing it."""

from __future__ import annotations

import math

SMOOTHINGS = (0.0, 0.9, 0.98)
"""What `s` steps through. 0 shows the raw losses alone."""


class Ema:
    """Mean of all values so far, the newest weighing most: value i of n weighs `smoothing ** (n - i)`.

    Divided by the sum of the weights, so the first steps are not pulled to zero. A value that is not finite is left
    out, and its own average is NaN.
    """

    def __init__(self, smoothing: float) -> None:
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing is {smoothing}; it has to be at least 0 and below 1")
        self.smoothing = smoothing
        self._mean = 0.0
        self._weight = 0.0

    def add(self, value: float) -> float:
        """The average with this value in it."""
        if not math.isfinite(value):
            return math.nan
        keep = self.smoothing
        self._mean = keep * self._mean + (1 - keep) * value
        self._weight = keep * self._weight + (1 - keep)
        average = self._mean / self._weight
        return average if math.isfinite(average) else math.nan
