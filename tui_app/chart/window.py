"""Which steps a chart shows, and at which column a step stands. Not here: what the user asked for (`view`)."""

from __future__ import annotations

from typing import NamedTuple

FIRST_SPAN = 64
"""Steps on the axis of a run of unknown length; doubled whenever it is full."""


class Window(NamedTuple):
    """From `start`, at the left edge, to `stop`, at the right edge: steps or tokens."""

    start: float
    stop: float

    def column_of(self, x: float, num_columns: int) -> int:
        """The column of x, from 0; `stop` itself stands in the last. Outside the window: below 0 or `num_columns`."""
        if x == self.stop:
            return num_columns - 1
        return int((x - self.start) * num_columns // (self.stop - self.start))


def whole_span(newest: float, planned: float) -> float:
    """Length of the whole axis: what is planned; if that is unknown (0) or passed, doubled until it holds `newest`."""
    if planned > 0 and newest <= planned:
        return planned
    span = float(FIRST_SPAN)
    while span <= newest:
        span *= 2
    return span
