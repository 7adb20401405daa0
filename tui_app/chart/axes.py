"""The two axes: round ticks, and a y axis that stays where it is until the data leave it or fill less than half of it.

Not here: in which rows and columns things stand (`plot`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tui_app.chart.buckets import Buckets
from tui_app.chart.figures import LABEL_WIDTH, count_text, y_label
from tui_app.chart.window import Window

ROUND = (1.0, 2.0, 2.5, 5.0)
LOG_BOUNDS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
LOG_TICKS = (
    (LOG_BOUNDS, 1),
    ((1.0, 2.0, 5.0), 1),
    ((1.0, 3.0), 1),
    *(((1.0,), every) for every in (1, 2, 3, 5, 10, 20, 50, 100)),
)
"""Mantissas, and of how many powers of ten one is shown: the first that makes no more ticks than there may be."""
HUGE = 1e100
TINY = 1e-30
"""Sizes beyond these are drawn at the edge: no loss that means anything lies there."""
OUTLIER = 0.02
"""Share of the buckets at either end of the raw band that may lie outside the axis."""
LEAST_FILL = 0.5
BELOW_ZERO = 1e-4
"""Where losses at or below 0 are, a log axis begins at this share of the highest."""
FAR = 1_000
"""An average this many bands away (after a spike of 1e30) does not set the axis."""


@dataclass(frozen=True, slots=True)
class YAxis:
    """From `low`, at the bottom, to `high`, at the top. `ticks`: (value, label) with labels all different."""

    low: float
    high: float
    is_log: bool
    ticks: tuple[tuple[float, str], ...]

    def share(self, value: float) -> float:
        """Height of a value, from 0 at the bottom to 1 at the top; what lies outside is put at the edge."""
        if value <= self.low:
            return 0.0
        if value >= self.high:
            return 1.0
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def data_range(
    bands: Sequence[Buckets], lines: Sequence[Buckets], points: Iterable[float]
) -> tuple[float, float] | None:
    """Lowest and highest value that the axis has to show: most of the bands, all of the lines and points."""
    lows = sorted(low for buckets in bands for low in buckets.lows if low < math.inf)
    highs = sorted(high for buckets in bands for high in buckets.highs if high > -math.inf)
    others = [value for buckets in lines for value in buckets.lasts if value == value]
    others += [value for value in points if math.isfinite(value)]
    if lows:
        low, high = lows[int(OUTLIER * len(lows))], highs[len(highs) - 1 - int(OUTLIER * len(highs))]
        low, high = min(low, high), max(low, high)
        reach = FAR * max(high - low, abs(low), abs(high), TINY)
        others = [low, high, *(value for value in others if low - reach <= value <= high + reach)]
    if not others:
        return None
    return max(min(others), -HUGE), min(max(others), HUGE)


def settled(previous: YAxis | None, low: float, high: float, *, is_log: bool, max_ticks: int) -> YAxis:
    """The axis for data from `low` to `high`: the previous one as long as it holds them and they fill half of it.

    A log axis needs values above 0; where there are none, the axis is linear.
    """
    is_log = is_log and high > TINY
    if is_log:
        low = max(low, TINY) if low > 0 else high * BELOW_ZERO
    if previous is not None and previous.is_log == is_log and previous.low <= low and high <= previous.high:
        filled = previous.share(high) - previous.share(low)
        if filled >= LEAST_FILL or _is_flat(low, high):
            return previous
    if _is_flat(low, high):
        around = abs(high) * 0.25
        low, high = (low - around, high + around) if around > TINY else (low, 1.0)
    if is_log and high > 4 * low:
        return _log_axis(low, high, max_ticks)
    return _linear_axis(low, high, max_ticks, is_log=is_log)


def _is_flat(low: float, high: float) -> bool:
    return high - low <= max(abs(low), abs(high)) * 1e-6 + TINY


def _linear_axis(low: float, high: float, max_ticks: int, *, is_log: bool) -> YAxis:
    unit = rounded_up((high - low) / 8)
    if not is_log and 0 <= low <= 0.35 * high:
        bottom = 0.0
    else:
        bottom = math.floor((low - 0.1 * (high - low)) / unit) * unit  # losses fall: some room below
        if bottom <= 0 < low:
            bottom = low * 0.9 if is_log else 0.0
    top = max(math.ceil(high / unit - 1e-9) * unit, high)
    return YAxis(bottom, top, is_log, _linear_ticks(bottom, top, unit, max_ticks))


def _linear_ticks(bottom: float, top: float, unit: float, max_ticks: int) -> tuple[tuple[float, str], ...]:
    """As many as may be; fewer where that makes short labels: "2502", "2503" and not "2502.5"."""
    most: tuple[tuple[float, str], ...] = ()
    for step in round_steps(unit):
        values = multiples(bottom, top, step)
        if len(values) < 2:
            break
        if len(values) <= max_ticks:
            ticks = _labelled(values, step)
            most = most or ticks
            if max(len(label) for _, label in ticks) < LABEL_WIDTH:
                return ticks
    return most or _labelled([bottom, top], unit)


def _log_axis(low: float, high: float, max_ticks: int) -> YAxis:
    bottom = max(bound for bound in _log_values(low, high, LOG_BOUNDS) if bound <= low * (1 + 1e-9))
    top = min(bound for bound in _log_values(low, high, LOG_BOUNDS) if bound >= high * (1 - 1e-9))
    for mantissas, every in LOG_TICKS:
        values = [value for value in _log_values(low, high, mantissas, every) if bottom <= value <= top]
        if len(values) <= max_ticks:
            break
    return YAxis(bottom, top, True, _labelled(values if len(values) > 1 else [bottom, top], None))


def _log_values(low: float, high: float, mantissas: Sequence[float], every: int = 1) -> list[float]:
    first, last = math.floor(math.log10(low)) - 1, math.floor(math.log10(high)) + 1
    decades = (exponent for exponent in range(first, last + 1) if exponent % every == 0)
    return [float(f"{mantissa}e{exponent}") for exponent in decades for mantissa in mantissas]


def _labelled(values: Iterable[float], step: float | None) -> tuple[tuple[float, str], ...]:
    told: dict[str, float] = {}
    for value in values:
        told.setdefault(y_label(value, step), value)
    return tuple((value, label) for label, value in told.items())


def rounded_up(value: float) -> float:
    """The next number of the form 1, 2, 2.5 or 5 times a power of ten."""
    return next(step for step in round_steps(value) if step >= value * (1 - 1e-9))


def round_steps(start: float) -> Iterator[float]:
    """The round numbers from about `start` upwards."""
    exponent = math.floor(math.log10(start)) if start > 0 else 0
    while True:
        for mantissa in ROUND:
            step = float(f"{mantissa}e{exponent}")
            if step >= start * (1 - 1e-9):
                yield step
        exponent += 1


def multiples(low: float, high: float, step: float) -> list[float]:
    """All multiples of `step` from low to high. Only the first thousand: more are never drawn."""
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, min(last, first + 1000) + 1)]


def x_labels(window: Window, width: int) -> list[tuple[int, str]]:
    """(cell, label) below the x axis: both ends, and round values between them. Two cells lie between neighbours."""
    ends = count_text(window.start, window.stop), count_text(window.stop)
    placed = [(0, ends[0])]
    if len(ends[0]) + 2 + len(ends[1]) > width:
        return placed if len(ends[0]) <= width else []
    last = (width - len(ends[1]), ends[1])
    for step in round_steps((window.stop - window.start) * 8 / width):
        middle = []
        for value in multiples(window.start, window.stop, step):
            label = count_text(value, window.stop)
            cell = window.column_of(value, width) - len(label) // 2
            middle.append((max(cell, 0), label))
        middle = [each for each in middle if each[0] >= len(ends[0]) + 2 and each[0] + len(each[1]) + 2 <= last[0]]
        gaps = [right[0] - left[0] - len(left[1]) for left, right in pairwise(middle)]
        if all(gap >= 4 for gap in gaps) and len({label for _, label in middle}) == len(middle):
            return [*placed, *middle, last]
    raise AssertionError("round steps are endless")
