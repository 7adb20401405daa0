"""Curves, marks and axes as lines: a gutter with y labels, the canvas, the x axis with its marks, the x labels.

Not here: which curves and marks there are (`tui_app/panels/loss`, `compare`), legends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tui_app.chart.axes import YAxis, x_labels
from tui_app.chart.buckets import Buckets
from tui_app.chart.canvas import Canvas, Pen, merged
from tui_app.chart.figures import LABEL_WIDTH
from tui_app.chart.window import Window
from tui_app.drawing import Line, Role, Span
from tui_app.glyphs import Glyphs

GUTTER = LABEL_WIDTH + 1
LEAST_WIDTH, LEAST_HEIGHT = GUTTER + 8, 3
_AXIS_FROM = 6
"""Height from which the x axis has a row of its own, for marks."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """One curve: as a band from lowest to highest, or as a line through the averages."""

    buckets: Buckets
    pen: Pen
    is_band: bool = False
    is_dashed: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """A sign at a place: an evaluation."""

    x: float
    y: float
    sign: str
    role: Role


@dataclass(frozen=True, slots=True)
class AxisMark:
    """A sign on the x axis: a checkpoint, a rung, a loss that is no number."""

    x: float
    sign: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Everything on a chart. Later strokes, points and marks win over earlier ones in the same place."""

    window: Window
    axis: YAxis
    strokes: tuple[Stroke, ...] = ()
    points: tuple[Point, ...] = ()
    links: tuple[tuple[tuple[Point, ...], Pen], ...] = ()
    """Points joined by a line."""
    marks: tuple[AxisMark, ...] = ()
    cursor: float | None = None


def canvas_size(width: int, height: int) -> tuple[int, int]:
    """Cells of the canvas in a plot of this size, which is at least `LEAST_WIDTH` x `LEAST_HEIGHT`."""
    return width - GUTTER, height - (2 if height >= _AXIS_FROM else 1)


def max_ticks(height: int) -> int:
    """Most y labels in a plot of this height."""
    return max(2, min(8, canvas_size(0, height)[1] * 2 // 5))


def plot_lines(plot: Plot, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """`height` lines of at most `width` cells."""
    cells, rows = canvas_size(width, height)
    canvas = Canvas(cells, rows, is_unicode=glyphs.is_unicode)
    _draw(plot, canvas, glyphs)
    labels: dict[int, str] = {}
    for value, label in plot.axis.ticks:
        labels.setdefault(_row_of(value, plot.axis, canvas.num_rows) * rows // canvas.num_rows, label)
    lines = []
    for row in range(rows):
        tick = glyphs.tick if row in labels else glyphs.vertical
        gutter = Span(labels.get(row, "").rjust(LABEL_WIDTH) + tick, "axis")
        lines.append((gutter, *canvas.line(row)))
    if height >= _AXIS_FROM:
        lines.append(_axis_line(plot, cells, glyphs))
    lines.append(_label_line(plot.window, cells))
    return lines


def _row_of(value: float, axis: YAxis, num_rows: int) -> int:
    return round((1 - axis.share(value)) * (num_rows - 1))


def _draw(plot: Plot, canvas: Canvas, glyphs: Glyphs) -> None:
    for stroke in plot.strokes:
        if stroke.is_band:
            _draw_band(stroke, plot.axis, canvas)
        else:
            for run in _line_runs(stroke.buckets, plot.axis, canvas.num_rows):
                canvas.trace(run, stroke.pen, is_dashed=stroke.is_dashed)
    for joined, pen in plot.links:
        seen = {
            plot.window.column_of(point.x, canvas.num_columns): _row_of(point.y, plot.axis, canvas.num_rows)
            for point in joined
            if plot.window.start <= point.x <= plot.window.stop
        }
        canvas.trace(seen.items(), pen)
    for point in plot.points:
        if plot.window.start <= point.x <= plot.window.stop:
            row = _row_of(point.y, plot.axis, canvas.num_rows) * canvas.height // canvas.num_rows
            canvas.put(plot.window.column_of(point.x, canvas.width), row, point.sign, point.role)
    if plot.cursor is not None and plot.window.start <= plot.cursor <= plot.window.stop:
        canvas.fill_blank(plot.window.column_of(plot.cursor, canvas.width), glyphs.cursor, "accent")


def _draw_band(stroke: Stroke, axis: YAxis, canvas: Canvas) -> None:
    """Each bucket from its lowest to its highest, joined to the one before so that no hole is seen in the band."""
    buckets, last_row = stroke.buckets, canvas.num_rows - 1
    before: tuple[int, int, int] | None = None
    for column, low in enumerate(buckets.lows):
        if low > buckets.highs[column]:
            continue
        top = round((1 - axis.share(buckets.highs[column])) * last_row)
        bottom = round((1 - axis.share(low)) * last_row)
        canvas.vertical(column, top, bottom, stroke.pen)
        if before is not None and not any(buckets.nonfinite[before[0] + 1 : column]):
            near = before[2] if before[2] < top else before[1] if before[1] > bottom else None
            if near is not None or column - before[0] > 1:
                near = (before[1] + before[2]) // 2 if near is None else near
                end = max(top, min(near, bottom))
                canvas.trace([(before[0], near), (column, end)], stroke.pen)
        before = column, top, bottom


def _line_runs(buckets: Buckets, axis: YAxis, num_rows: int) -> Iterator[list[tuple[int, int]]]:
    """(column, row) of the averages, in runs that stop where losses were not finite or far off the axis."""
    run: list[tuple[int, int]] = []
    for column, value in enumerate(buckets.lasts):
        if axis.low <= value <= axis.high:
            run.append((column, _row_of(value, axis, num_rows)))
        elif run and (value == value or buckets.nonfinite[column]):
            yield run
            run = []
    yield run


def _axis_line(plot: Plot, cells: int, glyphs: Glyphs) -> Line:
    spans = [Span(glyphs.horizontal, "axis")] * cells
    for mark in plot.marks:
        if plot.window.start <= mark.x <= plot.window.stop:
            spans[plot.window.column_of(mark.x, cells)] = Span(mark.sign, mark.role)
    return merged([Span(" " * LABEL_WIDTH + glyphs.corner, "axis"), *spans])


def _label_line(window: Window, cells: int) -> Line:
    text = ""
    for cell, label in x_labels(window, cells):
        text = text.ljust(cell) + label
    return (Span(" " * GUTTER + text, "axis"),)
