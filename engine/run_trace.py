"""The history of a run as columns: what curves and panels draw, and `RunState` does not keep.

Lives here: every logged step that counts, evaluations, marks, device samples, and the newest events; of a long run the
older steps are merged (`condensing`). What the run is at now is `run_state`. Pure: no files, no clock; fed with the
same events in the same order. Loads no numpy.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatchmethod
from typing import Any

from engine import condensing
from engine import events as ev
from engine.events import Event, Stamped

MAX_ENTRIES = 131_072
"""Of a column: 15 MB for all of them, and more dots than any chart has, whatever the run's length."""
MAX_RECENT = 2_000
MAX_SAMPLES = 5_000
"""About seven hours at one sample in five seconds."""
RATE_WINDOW = 20
ETA_WINDOW = 100
UNKNOWN_BYTES = -1
UNKNOWN = math.nan


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a step. `kind`: checkpoint, oom, rung, resumed, paused or nonfinite."""

    step: int
    kind: str
    text: str


class RunTrace:
    """Columns of equal length, one entry per logged step, `steps` strictly rising.

    Beyond `max_entries` the older steps are merged by stretches of 2, 4, 8 … of them, the first step and the newest
    eighth excepted: an entry then stands for `num_steps` of them, named by the last. Its loss is their mean, with the
    `lows` and `highs` of what was merged; tokens and seconds are sums, bytes the highest; a loss that is no finite
    number stays. Where a run went back to an earlier checkpoint, the steps that were trained in vain are gone from the
    columns and `num_repeated_steps` counts them. Seconds, bytes, Unix times; `UNKNOWN_BYTES` or NaN where nothing is
    known.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self.max_entries = max_entries
        self.steps = array("q")
        self.num_steps = array("q")
        self.times = array("d")
        self.losses = array("d")
        self.lows = array("d")
        self.highs = array("d")
        self.learning_rates = array("d")
        self.grad_norms = array("d")
        self.num_tokens = array("q")
        self.step_seconds = array("d")
        self.data_seconds = array("d")
        self.rss_bytes = array("q")
        self.allocated_bytes = array("q")
        self.reserved_bytes = array("q")
        self.num_rewrites = 0
        """How often entries were dropped or merged: between two of them columns only grow."""
        self.evals: list[tuple[int, float]] = []
        """(step, mean loss per trained token), steps strictly rising."""
        self.marks: list[Mark] = []
        self.samples: deque[tuple[float, ev.DeviceSampled]] = deque(maxlen=MAX_SAMPLES)
        """(time, sample), the newest."""
        self.recent: deque[Stamped] = deque(maxlen=MAX_RECENT)
        """The newest events, logged steps and device samples left out."""
        self.recent_steps: deque[Stamped] = deque(maxlen=MAX_RECENT)
        """The newest events, logged steps included, device samples left out."""
        self.num_repeated_steps = 0
        self._step = 0
        self._width = 1  # steps that a merged entry stands for at most
        self._attempt_start = 0  # index of the present attempt's first entry
        self._other_seconds = 0.0  # its evaluations and checkpoints
        self._finite = True

    def __len__(self) -> int:
        return len(self.steps)

    def add(self, stamped: Stamped) -> None:
        """Take in one more event."""
        event = stamped.event
        if isinstance(event, ev.DeviceSampled):
            self.samples.append((stamped.time, event))
            return
        self.recent_steps.append(stamped)
        if isinstance(event, ev.StepLogged):
            self._add_step(stamped.time, event)
            return
        self.recent.append(stamped)
        self._take(event)

    def tokens_per_second(self, window: int = RATE_WINDOW) -> float | None:
        """Real tokens a second, waits for rows included, over the newest steps of the present attempt; None before
        its first."""
        span = self._window(window)
        seconds = sum(self._wall(index) for index in span)
        return sum(self.num_tokens[index] for index in span) / seconds if seconds > 0 else None

    def step_seconds_mean(self, window: int = RATE_WINDOW) -> float | None:
        """Mean seconds of a step, the wait for its rows left out; None before the present attempt's first."""
        span = self._window(window)
        return sum(self.step_seconds[index] for index in span) / self._num_steps_in(span) if span else None

    def data_share(self, window: int = RATE_WINDOW) -> float | None:
        """Share, 0 to 1, of the time that was spent waiting for rows; None where that was not measured."""
        span = [index for index in self._window(window) if not math.isnan(self.data_seconds[index])]
        seconds = sum(self._wall(index) for index in span)
        return sum(self.data_seconds[index] for index in span) / seconds if seconds > 0 else None

    def eta_seconds(self, max_steps: int, window: int = ETA_WINDOW) -> float | None:
        """Seconds to step `max_steps` at the present attempt's pace, its evaluations and checkpoints included; None
        before its second step."""
        span, num_steps = self._window(window), len(self) - self._attempt_start
        if num_steps < 2:
            return None
        trained = self.steps[-1] - self.steps[self._attempt_start] + 1
        pace = sum(self._wall(index) for index in span) / self._num_steps_in(span) + self._other_seconds / trained
        return max(max_steps - self.steps[-1], 0) * pace

    def _window(self, size: int) -> range:
        """Indices of the attempt's newest entries; its first, which also warms up, only if there is no other."""
        start = self._attempt_start + (len(self) - self._attempt_start > 1)
        return range(max(len(self) - size, start), len(self))

    def _num_steps_in(self, span: range) -> int:
        return sum(self.num_steps[index] for index in span)

    def _wall(self, index: int) -> float:
        waited = self.data_seconds[index]
        return self.step_seconds[index] + (0.0 if math.isnan(waited) else waited)

    def _add_step(self, time: float, event: ev.StepLogged) -> None:
        if self.steps and event.step <= self.steps[-1]:
            self._go_back(event.step - 1)
        self.steps.append(event.step)
        self.num_steps.append(1)
        self.times.append(time)
        for column in (self.losses, self.lows, self.highs):
            column.append(event.loss)
        self.learning_rates.append(event.learning_rate)
        self.grad_norms.append(UNKNOWN if event.grad_norm is None else event.grad_norm)
        self.num_tokens.append(event.num_tokens)
        self.step_seconds.append(event.step_seconds)
        self.data_seconds.append(UNKNOWN if event.data_seconds is None else event.data_seconds)
        self.rss_bytes.append(event.rss_bytes)
        self.allocated_bytes.append(UNKNOWN_BYTES if event.allocated_bytes is None else event.allocated_bytes)
        self.reserved_bytes.append(UNKNOWN_BYTES if event.reserved_bytes is None else event.reserved_bytes)
        self._step = event.step
        finite = math.isfinite(event.loss)
        if self._finite and not finite:  # one mark where it begins: a diverged run would make one per step
            self.marks.append(Mark(event.step, "nonfinite", f"the loss is {event.loss}"))
        self._finite = finite
        if len(self.steps) >= self.max_entries:
            self._condense()

    def _condense(self) -> None:
        """Merge what is older than the newest eighth until it takes half of the room at most."""
        stop = len(self.steps) - self.max_entries // 8
        span = self.steps[stop - 1] - self.steps[0]
        self._width = condensing.width_for(span, self.max_entries // 2, self._width)
        pieces = condensing.groups(self.steps, 1, stop, self._width, (self._attempt_start,))
        for column, how in self._merging():
            condensing.merge(column, pieces, how)
        if self._attempt_start >= stop:
            self._attempt_start -= stop - 1 - len(pieces)
        elif self._attempt_start:
            self._attempt_start = 1 + [first for first, _ in pieces].index(self._attempt_start)
        self.num_rewrites += 1

    def _merging(self) -> tuple[tuple[array[int] | array[float], Callable[[Any], float]], ...]:
        lasts = ((column, condensing.last) for column in (self.times, self.learning_rates))
        sums = ((column, sum) for column in (self.num_steps, self.num_tokens, self.step_seconds, self.data_seconds))
        highest = ((column, max) for column in (self.rss_bytes, self.allocated_bytes, self.reserved_bytes))
        losses = ((self.losses, condensing.mean_loss), (self.lows, condensing.lowest), (self.highs, condensing.highest))
        rest = ((self.grad_norms, condensing.mean_known), (self.steps, condensing.last))
        return (*lasts, *sums, *highest, *losses, *rest)

    def _go_back(self, step: int) -> None:
        """Forget the steps after `step`: another attempt trains them again."""
        kept = len(self.steps)
        while kept and self.steps[kept - 1] > step:
            kept -= 1
        if kept < len(self.steps):
            self.num_repeated_steps += self.steps[-1] - max(step, 0)
            self.num_rewrites += 1
        for column in self._columns():
            del column[kept:]
        self.evals = [(at, loss) for at, loss in self.evals if at <= step]
        self.marks = [mark for mark in self.marks if mark.step <= step or mark.kind not in ("checkpoint", "nonfinite")]
        self._attempt_start = min(self._attempt_start, kept)
        self._finite = not self.losses or math.isfinite(self.losses[-1])
        self._step = step

    def _columns(self) -> tuple[array[int] | array[float], ...]:
        floats = (
            self.times,
            self.losses,
            self.lows,
            self.highs,
            self.learning_rates,
            self.grad_norms,
            self.step_seconds,
            self.data_seconds,
        )
        return (
            self.steps,
            self.num_steps,
            *floats,
            self.num_tokens,
            self.rss_bytes,
            self.allocated_bytes,
            self.reserved_bytes,
        )

    @singledispatchmethod
    def _take(self, event: Event) -> None:
        """Most events leave no trace in the curves."""

    @_take.register
    def _(self, event: ev.AttemptStarted) -> None:
        self._go_back(event.resumed_from_step)
        self._attempt_start, self._other_seconds = len(self), 0.0
        if event.resumed_from_step:
            self.marks.append(Mark(event.resumed_from_step, "resumed", f"attempt {event.attempt}"))

    @_take.register
    def _(self, event: ev.EvalLogged) -> None:
        while self.evals and self.evals[-1][0] >= event.step:
            self.evals.pop()
        self.evals.append((event.step, event.loss))
        self._other_seconds += event.seconds

    @_take.register
    def _(self, event: ev.CheckpointSaved) -> None:
        self.marks.append(Mark(event.step, "checkpoint", event.path))
        self._other_seconds += event.seconds

    @_take.register
    def _(self, event: ev.OomHit) -> None:
        self._step = max(event.step, self._step)
        self.marks.append(Mark(self._step, "oom", event.phase))

    @_take.register
    def _(self, event: ev.RungTaken) -> None:
        self.marks.append(Mark(self._step, "rung", event.rung))

    @_take.register
    def _(self, event: ev.TrainingPaused) -> None:
        self.marks.append(Mark(event.step, "paused", ""))
