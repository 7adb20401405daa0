"""The loss panel: the live run's curve with its average, evaluations and marks, or the same as a table.

Keeps the curve's buckets from one drawing to the next, so a run of 100,000 steps costs as little as one of 100.
Not here: how a chart is drawn (`tui_app/chart`), what happened in the run (`engine/run_trace`).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import replace

from engine.events import RunFailed
from engine.run_trace import RunTrace
from engine.units import format_seconds
from tui_app.chart.axes import YAxis, data_range, settled
from tui_app.chart.buckets import Buckets
from tui_app.chart.canvas import Pen
from tui_app.chart.legend import Part, Reading, cursor_parts, fitted, settings_line, value_parts
from tui_app.chart.marks import axis_marks
from tui_app.chart.plot import LEAST_HEIGHT, LEAST_WIDTH, Plot, Point, Stroke, canvas_size, max_ticks, plot_lines
from tui_app.chart.series import Series
from tui_app.chart.table import table_lines
from tui_app.chart.view import ChartView
from tui_app.chart.window import Window
from tui_app.drawing import Line, Span, fit, line, width_of, wrap
from tui_app.meters import clipped
from tui_app.panels.failure import failure
from tui_app.runs.phases import LATE_PHASES, doing, is_over
from tui_app.runs.view import RunView

LEAST_PANEL_WIDTH, LEAST_PANEL_HEIGHT = max(LEAST_WIDTH, 20), LEAST_HEIGHT + 1
SETTINGS_FROM = 10
"""Height from which the settings and keys have a line of their own."""
RAW = Pen("curve-raw", "*", 0)
AVERAGE = Pen("curve-ema", "o", 1)
EVALS = Pen("curve-eval", ".", 0)


class LossPanel:
    """`chart` is what the user has set; a screen may replace it, or call `press` with an action of `CHART_KEYS`."""

    NAME = "loss"
    TITLE = "Loss"

    def __init__(self) -> None:
        self.chart = ChartView()
        self.note = ""
        """Said beside the title: that these are no figures of the moment."""
        self._trace: RunTrace | None = None
        self._num_rewrites = 0
        self._series = Series()
        self._axis: YAxis | None = None
        self._axis_key: tuple[ChartView, int] | None = None

    def press(self, action: str, view: RunView) -> None:
        """Change the chart by one action of `CHART_KEYS`."""
        self.chart = self.chart.after(action, view.trace.steps, view.state.max_steps)

    def draw(self, view: RunView, width: int, height: int) -> list[Line]:
        """The chart or table with its legend. Too small a place is told in one line."""
        if width < LEAST_PANEL_WIDTH or height < LEAST_PANEL_HEIGHT:
            told = f"Loss needs {LEAST_PANEL_WIDTH}x{LEAST_PANEL_HEIGHT} cells"
            return [line((fit(told, width, ellipsis=view.glyphs.ellipsis), "dim"))][: max(height, 0)]
        self._follow(view.trace)
        is_late = not is_over(view) and (view.state.phase in LATE_PHASES or view.state.finished is not None)
        self.note = "of the training, which is over" if is_late and len(view.trace) else ""
        if not len(view.trace):
            if isinstance(view.state.final, RunFailed):
                return clipped(failure(view.state.final, width, view), width, height, view.glyphs)
            return centred(_waiting_text(view), width, height)
        if self.chart.as_table:
            averages = self._series.averages(self.chart.smoothing)
            table = table_lines(view.trace, averages, self.chart, width, height - 1, view.glyphs)
            return [*table, *[()] * (height - 1 - len(table)), self._legend(view, width)]
        return self._chart_lines(view, width, height)

    def _follow(self, trace: RunTrace) -> None:
        """Take in the new steps; all of them where the run went back to an earlier one."""
        if trace is not self._trace or trace.num_rewrites != self._num_rewrites:
            self._trace, self._num_rewrites = trace, trace.num_rewrites
            self._series, self._axis = Series(), None
        for index in range(len(self._series), len(trace)):
            self._series.append(trace.steps[index], trace.losses[index], trace.lows[index], trace.highs[index])

    def _chart_lines(self, view: RunView, width: int, height: int) -> list[Line]:
        has_settings = height >= SETTINGS_FROM
        rows = height - 1 - has_settings
        window = self.chart.window(view.trace.steps[-1], view.state.max_steps)
        num_columns = canvas_size(width, rows)[0] * (2 if view.glyphs.is_unicode else 1)
        buckets = self._series.buckets(window, num_columns, self.chart.smoothing)
        points = _eval_points(view, window)
        axis = self._settle(buckets, points, rows)
        if axis is None:
            drawn = centred(_nothing_text(view, self.chart), width, rows)
        else:
            drawn = plot_lines(self._plot(view, window, axis, buckets, points), width, rows, view.glyphs)
        cursor = self._cursor_line(view, width)
        if not has_settings:
            return [*drawn, cursor or self._legend(view, width)]
        is_log = self.chart.is_log if axis is None else axis.is_log
        settings = (*line(" "), *settings_line(self.chart, window, "steps", is_log=is_log, width=width - 2))
        return [*drawn, self._legend(view, width), cursor or settings]

    def _settle(self, buckets: Buckets, points: tuple[Point, ...], rows: int) -> YAxis | None:
        """The y axis; None where there is nothing to draw. It stays while the user and the data leave it alone."""
        raw = [] if self.chart.evals_only else [buckets]
        found = data_range(raw, raw if self.chart.smoothing else [], [point.y for point in points])
        key = replace(self.chart, cursor=None), rows
        previous = self._axis if key == self._axis_key else None
        self._axis_key = key
        self._axis = found and settled(previous, *found, is_log=self.chart.is_log, max_ticks=max_ticks(rows))
        return self._axis

    def _plot(self, view: RunView, window: Window, axis: YAxis, buckets: Buckets, points: tuple[Point, ...]) -> Plot:
        strokes: list[Stroke] = []
        if not self.chart.evals_only:
            strokes.append(Stroke(buckets, RAW, is_band=True))
            if self.chart.smoothing:
                strokes.append(Stroke(buckets, AVERAGE))
            if len(view.trace) == 1 and math.isfinite(view.trace.losses[0]):  # one dot is easily overlooked
                only = Point(view.trace.steps[0], view.trace.losses[0], view.glyphs.selected, RAW.role)
                points = (only, *points)
        return Plot(
            window=window,
            axis=axis,
            strokes=tuple(strokes),
            points=points,
            links=((points, EVALS),) if self.chart.evals_only else (),
            marks=axis_marks(view.trace.marks, buckets, view.glyphs),
            cursor=self.chart.cursor,
        )

    def _legend(self, view: RunView, width: int) -> Line:
        newest = self._reading(view.trace, len(view.trace) - 1)
        parts = value_parts(newest, view.trace.evals, self.chart, view.glyphs)
        if not view.trace.evals and (told := _first_eval_text(view)):
            parts.insert(2, Part(4, line((view.glyphs.eval_mark, "curve-eval"), (f" {told}", "dim"))))
        return (*line(" "), *fitted(parts, width - 1))

    def _cursor_line(self, view: RunView, width: int) -> Line:
        if self.chart.cursor is None:
            return ()
        index = max(bisect_right(view.trace.steps, self.chart.cursor) - 1, 0)
        return (*line(" "), *fitted(cursor_parts(self._reading(view.trace, index), view.glyphs), width - 1))

    def _reading(self, trace: RunTrace, index: int) -> Reading:
        step = trace.steps[index]
        return Reading(
            step=step,
            loss=trace.losses[index],
            average=self._series.averages(self.chart.smoothing)[index] if self.chart.smoothing else math.nan,
            eval_loss=dict(trace.evals).get(step, math.nan),
            learning_rate=trace.learning_rates[index],
            grad_norm=trace.grad_norms[index],
        )


def _eval_points(view: RunView, window: Window) -> tuple[Point, ...]:
    """The evaluations of the window that are numbers."""
    return tuple(
        Point(step, loss, view.glyphs.eval_mark, "curve-eval")
        for step, loss in view.trace.evals
        if window.start <= step <= window.stop and math.isfinite(loss)
    )


def _waiting_text(view: RunView) -> str:
    """What is shown before the first step: what comes, and when."""
    state = view.state
    if view.loading is not None:
        return f"Reading the run's history: {view.loading:.0%}."
    if state.is_over or view.liveness == "dead":
        ended = "ended" if state.is_over else "died"
        return f"The run {ended} before its first step: the log and the events tell why."
    waiting = doing(view)
    return f"No step yet: {waiting}." if waiting else "No step yet."


def _nothing_text(view: RunView, chart: ChartView) -> str:
    """What is shown where steps are there, but nothing of them can be drawn."""
    if chart.evals_only:
        return _first_eval_text(view).capitalize() + ". o shows all curves."
    if any(math.isfinite(loss) for loss in view.trace.losses):
        return "No finite loss in these steps: 0 shows all."
    return (
        f"No loss so far is a number (step {view.trace.steps[-1]}: {view.trace.losses[-1]}): "
        "the training has diverged. A lower learning rate usually helps."
    )


def _first_eval_text(view: RunView) -> str:
    """When the first eval loss comes, as far as that is known."""
    if view.plan is not None and not view.plan.has_eval:
        return "no eval loss: no rows are held out"
    if view.state.is_over:
        return "no eval loss was measured"
    if not view.eval_steps:
        return "no eval loss yet"
    step = view.trace.steps[-1] if len(view.trace) else 0
    due = (step // view.eval_steps + 1) * view.eval_steps
    due = min(due, view.state.max_steps) if view.state.max_steps else due
    pace = view.trace.step_seconds_mean()
    about = f", about {format_seconds(pace * max(due - step, 0))}" if pace is not None else ""
    return f"first eval at step {due}{about}"


def centred(text: str, width: int, height: int) -> list[Line]:
    """A sentence in the middle of an otherwise empty place."""
    told = wrap(text, min(width, 60), "dim")[:height]
    above = (height - len(told)) // 2
    left = [
        (Span(" " * ((width - width_of(each)) // 2)), *each) if width_of(each) < width - 1 else each for each in told
    ]
    return [*[()] * above, *left, *[()] * (height - above - len(told))]


PANEL = LossPanel
