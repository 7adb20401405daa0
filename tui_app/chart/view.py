"""What the user has set on a chart, as one frozen value, and how each key changes it.

The window follows the newest step until the user pans or sets a cursor in a zoomed chart. Not here: drawing (`plot`).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from tui_app.chart.smoothing import SMOOTHINGS
from tui_app.chart.window import Window, whole_span

LEAST_SPAN = 8
"""Steps in the narrowest window."""


class ChartKey(NamedTuple):
    """One key of the chart: as Textual spells it (comma-separated), the action, as people read it, and what it does."""

    keys: str
    action: str
    shown: str
    label: str
    help: str


CHART_KEYS = (
    ChartKey("l", "log", "l", "log", "Logarithmic y axis, on or off."),
    ChartKey("s", "smooth", "s", "smooth", "Smoothing of the average: 0.9, 0.98, none."),
    ChartKey(
        "plus,equals_sign", "zoom_in", "+", "zoom in", "Show half as many steps, around the cursor if there is one."
    ),
    ChartKey("minus", "zoom_out", "-", "zoom out", "Show twice as many steps."),
    ChartKey("left", "pan_left", "←", "earlier", "Move the zoomed window to earlier steps; it stops following."),
    ChartKey(
        "right", "pan_right", "→", "later", "Move the zoomed window to later steps; at the newest it follows again."
    ),
    ChartKey("0", "reset", "0", "reset", "Show all steps, follow the newest, take the cursor away."),
    ChartKey("comma", "cursor_left", ",", "cursor back", "Cursor one step back: exact values below the chart."),
    ChartKey("full_stop", "cursor_right", ".", "cursor on", "Cursor one step on."),
    ChartKey("shift+left,less_than_sign", "leap_left", "<", "leap back", "Cursor a tenth of the window back."),
    ChartKey("shift+right,greater_than_sign", "leap_right", ">", "leap on", "Cursor a tenth of the window on."),
    ChartKey("o", "evals", "o", "only evals", "Only the eval losses, or all curves."),
    ChartKey("t", "table", "t", "table", "The same data as a table, newest first."),
)
ACTIONS = tuple(key.action for key in CHART_KEYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartView:
    """How a chart is looked at. Steps as the trainer counts them."""

    zoom: int = 0
    """The window is the whole axis divided by 2 ** zoom."""
    stop: float | None = None
    """Right edge of a window that the user moved; None follows the newest step."""
    is_log: bool = False
    smoothing: float = 0.9
    cursor: int | None = None
    """The step whose values are shown."""
    evals_only: bool = False
    as_table: bool = False

    @property
    def follows(self) -> bool:
        return self.stop is None

    def window(self, newest: float, planned: float) -> Window:
        """The steps shown when `newest` is the last one and `planned` are planned (0: unknown).

        A window that follows moves by quarters of itself: in between nothing on screen shifts.
        """
        whole = whole_span(newest, planned)
        if self.zoom <= 0:
            return Window(0, whole)
        span = whole / 2**self.zoom
        stop = math.ceil(newest / (span / 4)) * (span / 4) if self.stop is None else self.stop
        stop = min(max(stop, span), whole)
        return Window(stop - span, stop)

    def after(self, action: str, steps: Sequence[int], planned: int) -> ChartView:
        """The view after an action of `CHART_KEYS`. `steps` are all steps that have a loss, rising.

        Raises:
            ValueError: for an action that is none of `ACTIONS`.
        """
        newest = steps[-1] if steps else 0
        leap = max(len(steps) // 2**self.zoom // 10, 1)
        match action:
            case "log":
                return replace(self, is_log=not self.is_log)
            case "smooth":
                return replace(self, smoothing=_next(SMOOTHINGS, self.smoothing))
            case "evals":
                return replace(self, evals_only=not self.evals_only)
            case "table":
                return replace(self, as_table=not self.as_table)
            case "reset":
                return replace(self, zoom=0, stop=None, cursor=None)
            case "zoom_in" | "zoom_out":
                return self._zoomed(1 if action == "zoom_in" else -1, newest, planned)
            case "pan_left" | "pan_right":
                return self._panned(-1 if action == "pan_left" else 1, newest, planned)
            case "cursor_left" | "cursor_right":
                return self._moved(-1 if action == "cursor_left" else 1, steps, planned)
            case "leap_left" | "leap_right":
                return self._moved(-leap if action == "leap_left" else leap, steps, planned)
        raise ValueError(f"{action!r} is no action of a chart; there are {', '.join(ACTIONS)}")

    def _zoomed(self, by: int, newest: float, planned: float) -> ChartView:
        zoom = max(self.zoom + by, 0)
        whole = whole_span(newest, planned)
        if whole / 2**zoom < min(LEAST_SPAN, whole):
            return self
        if zoom == 0:
            return replace(self, zoom=0, stop=None)
        if self.cursor is None and self.follows:
            return replace(self, zoom=zoom)
        window = self.window(newest, planned)
        centre = (window.start + window.stop) / 2 if self.cursor is None else self.cursor
        return replace(self, zoom=zoom, stop=_within(centre + whole / 2**zoom / 2, whole / 2**zoom, whole))

    def _panned(self, by: int, newest: float, planned: float) -> ChartView:
        if self.zoom == 0:
            return self
        window = self.window(newest, planned)
        span = window.stop - window.start
        stop = _within(window.stop + by * span / 4, span, whole_span(newest, planned))
        return replace(self, stop=None if by > 0 and stop >= newest else stop)

    def _moved(self, by: int, steps: Sequence[int], planned: float) -> ChartView:
        """The cursor `by` logged steps on, the window moved where it left it; the first press puts it at the newest."""
        if not steps:
            return self
        if self.cursor is None:
            window = self.window(steps[-1], planned)
            index = min(bisect_left(steps, window.stop + 1), len(steps)) - 1
        else:
            index = min(bisect_left(steps, self.cursor), len(steps) - 1) + by
        cursor = steps[min(max(index, 0), len(steps) - 1)]
        if self.zoom == 0:
            return replace(self, cursor=cursor)
        window = self.window(steps[-1], planned)
        stop, span = window.stop, window.stop - window.start
        if not window.start <= cursor <= stop:
            stop = _within(cursor + span / 2, span, whole_span(steps[-1], planned))
        return replace(self, cursor=cursor, stop=stop)


def _next(choices: Sequence[float], present: float) -> float:
    return choices[(choices.index(present) + 1) % len(choices)] if present in choices else choices[0]


def _within(stop: float, span: float, whole: float) -> float:
    return min(max(stop, span), whole)
