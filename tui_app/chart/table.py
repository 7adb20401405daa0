"""The chart's data as a table, newest first: exact, and readable by a screen reader. Not here: the curves."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

from engine.run_trace import RunTrace
from tui_app.chart.figures import loss_text, rate_text
from tui_app.chart.legend import smoothing_text
from tui_app.chart.view import ChartView
from tui_app.drawing import Line, fit, line
from tui_app.glyphs import Glyphs

NOTHING = "-"
_STEP_WIDTH, _WIDTH = 8, 10


def table_lines(
    trace: RunTrace, averages: Sequence[float], view: ChartView, width: int, height: int, glyphs: Glyphs
) -> list[Line]:
    """A head line and as many steps as fit; the cursor's step is among them and marked. `averages`: one per step."""
    evals = dict(trace.evals)
    steps: Sequence[int] = sorted(evals) if view.evals_only else trace.steps
    if not steps:
        return [line((fit("no eval loss yet" if view.evals_only else "no step yet", width, ellipsis=""), "dim"))]
    num_columns = max(min((width - _STEP_WIDTH - 2) // _WIDTH, 6), 1)
    titles = (
        "loss",
        f"EMA {smoothing_text(view.smoothing)}" if view.smoothing else "EMA",
        "eval",
        "lr",
        "grad norm",
        "tok/s",
    )
    head = "  " + "step".rjust(_STEP_WIDTH) + "".join(title.rjust(_WIDTH) for title in titles[:num_columns])
    newest = len(steps) - 1
    at = newest if view.cursor is None else min(bisect_left(steps, view.cursor), newest)
    num_rows = max(height - 1, 0)
    first = max(min(at + num_rows // 2, newest), min(num_rows - 1, newest))
    lines = [line((fit(head, width, ellipsis=""), "title"))]
    for position in range(first, max(first - num_rows, -1), -1):
        step = steps[position]
        is_marked = view.cursor is not None and position == at
        texts = _row(trace, averages, evals, step, view)
        row = (glyphs.pointer if is_marked else " ") + " " + str(step).rjust(_STEP_WIDTH)
        row += "".join(text.rjust(_WIDTH) for text in texts[:num_columns])
        lines.append(line((fit(row, width, ellipsis=""), "strong" if is_marked else "")))
    return lines[:height]


def _row(
    trace: RunTrace, averages: Sequence[float], evals: dict[int, float], step: int, view: ChartView
) -> tuple[str, ...]:
    eval_text = loss_text(evals[step]) if step in evals else ""
    index = bisect_left(trace.steps, step)
    if index == len(trace.steps) or trace.steps[index] != step:  # evaluated, but not logged
        return NOTHING, NOTHING, eval_text, NOTHING, NOTHING, NOTHING
    norm, average, waited = trace.grad_norms[index], averages[index], trace.data_seconds[index]
    seconds = trace.step_seconds[index] + (0.0 if math.isnan(waited) else waited)
    return (
        loss_text(trace.losses[index]),
        NOTHING if math.isnan(average) or not view.smoothing else loss_text(average),
        eval_text,
        rate_text(trace.learning_rates[index]),
        NOTHING if math.isnan(norm) else f"{norm:.3g}",
        f"{trace.num_tokens[index] / seconds:,.0f}" if seconds > 0 else NOTHING,
    )
