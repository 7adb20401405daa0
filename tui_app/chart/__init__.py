"""Our own loss chart: braille or ASCII, drawn as lines of spans from plain numbers. No Textual, no numpy.

    ChartView                                   what the user has set: window, log, smoothing, cursor, table (frozen)
    CHART_KEYS, ChartView.after(action, …)      its keys, and the view after one of them was pressed
    Curve(label, steps, losses, evals, tokens)  one run's curve, for comparing
    compare_lines(curves, view, width, height, glyphs=UNICODE, *, by="steps" or "tokens") -> list[Line]
                                                several runs in one chart, legend included

The pieces: `buckets` (min and max per dot column), `smoothing`, `series` (one curve, stored and bucketed), `window`
and `axes`, `canvas` (dots to characters), `plot` (all of it in lines), `marks`, `figures` (numbers as text). The live
run's chart is `tui_app/panels/loss`.
"""

from __future__ import annotations

from tui_app.chart.compare import Curve, compare_lines
from tui_app.chart.view import CHART_KEYS, ChartKey, ChartView

__all__ = ["CHART_KEYS", "ChartKey", "ChartView", "Curve", "compare_lines"]
