"""Several runs' losses in one chart: their averages as lines, their evaluations as signs, a legend line for each.

    compare_lines(curves, view, width, height, glyphs=UNICODE, *, by="steps" or "tokens") -> list[Line]

Not here: which runs are compared, and where their histories come from.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Literal

from rich.cells import set_cell_size

from tui_app.chart.axes import data_range, settled
from tui_app.chart.canvas import Pen
from tui_app.chart.figures import count_text, loss_text
from tui_app.chart.legend import Part, best_eval, fitted, settings_line, smoothing_text
from tui_app.chart.plot import LEAST_HEIGHT, LEAST_WIDTH, Plot, Point, Stroke, canvas_size, max_ticks, plot_lines
from tui_app.chart.series import Series
from tui_app.chart.view import ChartView
from tui_app.chart.window import Window
from tui_app.drawing import Line, Role, fit, line, literal, padded, width_of
from tui_app.glyphs import UNICODE, Glyphs

By = Literal["steps", "tokens"]
LOOKS: tuple[tuple[Role, str, str, str], ...] = (
    ("curve-ema", "o", "◆", "E"),
    ("curve-other", "x", "◇", "F"),
    ("curve-eval", "+", "●", "G"),
    ("curve-4", "=", "○", "H"),
    ("curve-5", "*", "▲", "I"),
    ("curve-6", "#", "△", "J"),
    ("curve-7", "@", "■", "K"),
    ("curve-8", "%", "□", "L"),
)
"""Per curve: role, sign in ASCII, sign of its evaluations, and that in ASCII. Every second curve is dashed, and of more
than two each bears its number, so colour is not needed."""
MAX_CURVES = len(LOOKS)


def role_of(place: int) -> Role:
    """The colour of the curve in that place, counted from 0, wherever its run is named."""
    return LOOKS[place % MAX_CURVES][0]


@dataclass(frozen=True, eq=False)
class Curve:
    """One run's curve. Keep it between drawings: what it is drawn from is computed once.

    `tokens`: real tokens of each step, needed to compare by tokens. `evals`: (step, loss). Steps rise.
    """

    label: str
    steps: Sequence[int]
    losses: Sequence[float]
    evals: Sequence[tuple[int, float]] = ()
    tokens: Sequence[int] = ()

    @cached_property
    def _tokens_so_far(self) -> list[int]:
        return list(accumulate(self.tokens))

    @cached_property
    def _series(self) -> dict[str, Series]:
        return {}

    def series(self, by: By) -> Series:
        """Its points over steps, or over the tokens trained so far."""
        if by not in self._series:
            xs = self.steps if by == "steps" else self._tokens_so_far
            self._series[by] = Series(zip(xs, self.losses, strict=True))
        return self._series[by]

    def x_of(self, step: int, by: By) -> float:
        """Where a step stands on the x axis."""
        if by == "steps":
            return step
        index = bisect_right(self.steps, step) - 1
        return self._tokens_so_far[index] if index >= 0 else 0

    def reach(self, by: By) -> float:
        """The x of its last point or evaluation."""
        last = max(self.steps[-1] if len(self.steps) else 0, self.evals[-1][0] if self.evals else 0)
        return self.x_of(last, by)


def compare_lines(
    curves: Sequence[Curve], view: ChartView, width: int, height: int, glyphs: Glyphs = UNICODE, *, by: By = "steps"
) -> list[Line]:
    """At most `height` lines of at most `width` cells: the chart, then a legend line per curve, then the settings.

    The view's window and cursor are in steps. By tokens they are scaled: the longest run's last step is its last token.

    Raises:
        ValueError: where curves are compared by tokens and one has none.
    """
    if by == "tokens" and any(len(curve.tokens) != len(curve.steps) for curve in curves):
        raise ValueError("a curve without the tokens of each step cannot be compared by tokens")
    num_legend = min(len(curves), max(height - LEAST_HEIGHT, 0))
    has_settings = height - num_legend >= 8
    rows = height - num_legend - has_settings
    if width < LEAST_WIDTH or rows < LEAST_HEIGHT or num_legend < len(curves):
        return [line((fit(f"too small for {len(curves)} curves", width, ellipsis=glyphs.ellipsis), "dim"))][:height]
    last_step = max((curve.reach("steps") for curve in curves), default=0)
    last = max((curve.reach(by) for curve in curves), default=0)
    if not last:
        return [line((fit("no steps to compare yet", width, ellipsis=glyphs.ellipsis), "dim"))]
    steps = view.window(last_step, last_step)
    scale = last / last_step
    window = Window(steps.start * scale, steps.stop * scale)
    numbered = [f"{place} {literal(curve.label)}" for place, curve in enumerate(curves, 1)]
    labels = numbered if len(curves) > 2 else [literal(curve.label) for curve in curves]
    labels = [fit(label, max(width // 3, 8), ellipsis=glyphs.ellipsis) for label in labels]
    labels = [padded(label, max(width_of(line(label)) for label in labels)) for label in labels]
    legend = [
        _legend_line(curve, label, index, view, scale, by, width, glyphs)
        for index, (curve, label) in enumerate(zip(curves, labels, strict=True))
    ]
    if view.as_table:
        return [*_table(curves, view, width, height - len(legend)), *legend]
    drawn, is_log = _plotted(curves, view, window, scale, by, width, rows, glyphs)
    settings = [settings_line(view, window, by, is_log=is_log, width=width)] if has_settings else []
    return [*drawn, *legend, *settings]


def _plotted(
    curves: Sequence[Curve],
    view: ChartView,
    window: Window,
    scale: float,
    by: By,
    width: int,
    rows: int,
    glyphs: Glyphs,
) -> tuple[list[Line], bool]:
    """The chart, and whether its y axis is logarithmic."""
    num_columns = canvas_size(width, rows)[0] * (2 if glyphs.is_unicode else 1)
    strokes: list[Stroke] = []
    points: list[Point] = []
    numbers: list[Point] = []
    links: list[tuple[tuple[Point, ...], Pen]] = []
    for index, curve in enumerate(curves):
        role, sign, *_ = LOOKS[index % MAX_CURVES]
        pen = Pen(role, sign, 1)
        placed = tuple(
            Point(curve.x_of(step, by), loss, _eval_sign(index, glyphs), role)
            for step, loss in curve.evals
            if math.isfinite(loss)
        )
        points += placed
        if view.evals_only:
            links.append((placed, pen))
        else:
            buckets = curve.series(by).buckets(window, num_columns, view.smoothing)
            strokes.append(Stroke(buckets, pen, is_dashed=index % 2 == 1))
            if len(curves) > 2:
                numbers += _number(curve, index, len(curves), view, window, by)
    inside = [point.y for point in points if window.start <= point.x <= window.stop]
    found = data_range([], [stroke.buckets for stroke in strokes], inside)
    if found is None:
        return [
            line((fit("no finite loss in these steps", width, ellipsis=glyphs.ellipsis), "dim")),
            *[()] * (rows - 1),
        ], view.is_log
    axis = settled(None, *found, is_log=view.is_log, max_ticks=max_ticks(rows))
    cursor = None if view.cursor is None else view.cursor * scale
    plot = Plot(
        window=window, axis=axis, strokes=tuple(strokes), points=(*points, *numbers), links=tuple(links), cursor=cursor
    )
    return plot_lines(plot, width, rows, glyphs), axis.is_log


def _number(curve: Curve, index: int, num_curves: int, view: ChartView, window: Window, by: By) -> list[Point]:
    """The curve's number on its line, each in another part of the window so that they do not hide each other."""
    series = curve.series(by)
    wanted = window.start + (window.stop - window.start) * (index + 1) / (num_curves + 1)
    place = bisect_right(series.xs, wanted) - 1
    if place < 0:
        return []
    average = series.averages(view.smoothing)[place]
    return [Point(series.xs[place], average, str(index + 1), role_of(index))] if math.isfinite(average) else []


def _eval_sign(index: int, glyphs: Glyphs) -> str:
    return LOOKS[index % MAX_CURVES][2 if glyphs.is_unicode else 3]


def _legend_line(
    curve: Curve, label: str, index: int, view: ChartView, scale: float, by: By, width: int, glyphs: Glyphs
) -> Line:
    """What a curve is called, its values at the end or at the cursor, and its best evaluation."""
    role, sign, *_ = LOOKS[index % MAX_CURVES]
    sample = ("⠒⠒ " if index % 2 == 0 else "⠒ ⠒") if glyphs.is_unicode else f"{sign}{sign} "
    parts = [Part(0, line((sample, role), " ", (label, "strong")))]
    loss, average, x = _values_at(curve, view, scale, by)
    if not math.isnan(x):
        where = "" if view.cursor is None else f" @{count_text(x)}"
        parts.append(Part(3, line(("loss ", "dim"), loss_text(loss) + ("" if view.smoothing else where))))
        if view.smoothing:
            name = f"EMA {smoothing_text(view.smoothing)} "
            parts.append(Part(1, line((name, "dim"), loss_text(average) + where)))
    if curve.evals:
        parts.append(Part(2, line((_eval_sign(index, glyphs), role), (" eval ", "dim"), loss_text(curve.evals[-1][1]))))
        best = best_eval(curve.evals)
        if best is not None and len(curve.evals) > 1:
            parts.append(Part(4, line(("best ", "dim"), f"{loss_text(best[1])} @{best[0]}")))
    if len(curve.steps):
        parts.append(Part(5, line((f"{count_text(curve.reach(by))} {by}", "dim"))))
    return fitted(parts, width)


def _values_at(curve: Curve, view: ChartView, scale: float, by: By) -> tuple[float, float, float]:
    """Loss, average and x at the cursor, or at the end; NaN where the curve has none there."""
    series = curve.series(by)
    index = len(series) - 1 if view.cursor is None else bisect_right(series.xs, view.cursor * scale) - 1
    if index < 0:
        return math.nan, math.nan, math.nan
    return curve.losses[index], series.averages(view.smoothing)[index], series.xs[index]


def _table(curves: Sequence[Curve], view: ChartView, width: int, height: int) -> list[Line]:
    """Step by step, newest or the cursor's first: each curve's average and eval loss."""
    room = max((width - 9) // len(curves), 10)
    heads = "".join("  " + set_cell_size(literal(curve.label), room - 2) for curve in curves)
    lines = [line((fit("step".rjust(9) + heads, width, ellipsis=""), "title"))]
    evals = [dict(curve.evals) for curve in curves]
    last = view.cursor if view.cursor is not None else math.inf
    shown = {step for known in evals for step in known if step <= last}
    for curve in [] if view.evals_only else curves:
        end = bisect_right(curve.steps, last)
        shown.update(curve.steps[max(end - height, 0) : end])
    for step in sorted(shown, reverse=True)[: max(height - 1, 0)]:
        cells = ""
        for curve, known in zip(curves, evals, strict=True):
            index = bisect_left(curve.steps, step)
            is_logged = index < len(curve.steps) and curve.steps[index] == step
            text = loss_text(curve.series("steps").averages(view.smoothing)[index]) if is_logged else "-"
            text += f"  eval {loss_text(known[step])}" if step in known else ""
            cells += "  " + set_cell_size(text, room - 2)
        lines.append(line(fit(str(step).rjust(9) + cells, width, ellipsis="")))
    return lines[:height]
