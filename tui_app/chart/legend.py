"""The lines below a chart: the newest values, the values at the cursor, what the chart is set to, and its keys.

Not here: the curves (`plot`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tui_app.chart.figures import count_text, loss_text, rate_text
from tui_app.chart.view import ChartView
from tui_app.chart.window import Window
from tui_app.drawing import Line, Role, Span, fit_line, line, spread, width_of
from tui_app.glyphs import Glyphs

GAP = "   "


class Part(NamedTuple):
    """One value of a legend. Where not all fit, those with the smallest `rank` stay."""

    rank: int
    spans: Line


class Reading(NamedTuple):
    """Values at one step; NaN where there is none."""

    step: int
    loss: float
    average: float
    eval_loss: float
    learning_rate: float
    grad_norm: float


def fitted(parts: Iterable[Part], width: int, gap: str = GAP) -> Line:
    """As many parts as fit, in the order given."""
    parts = [part for part in parts if part.spans]
    kept: set[int] = set()
    room = width + len(gap)
    for index in sorted(range(len(parts)), key=lambda index: parts[index].rank):
        size = width_of(parts[index].spans) + len(gap)
        if size <= room or not kept:
            kept.add(index)
            room -= size
    spans: list[Span] = []
    for index in sorted(kept):
        spans += [Span(gap)] if spans else []
        spans += parts[index].spans
    return fit_line(tuple(spans), width, ellipsis="")


def smoothing_text(smoothing: float) -> str:
    """ ".98": as short as people write it."""
    return f"{smoothing:g}".removeprefix("0")


def value_parts(newest: Reading, evals: Sequence[tuple[int, float]], view: ChartView, glyphs: Glyphs) -> list[Part]:
    """What the curves are, with their newest values. Without an eval that part is left out."""
    raw_sign, line_sign = ("⣿", "⠒") if glyphs.is_unicode else ("*", "o")
    parts = []
    if not view.evals_only:
        parts.append(Part(1, line((raw_sign, "curve-raw"), " loss ", (loss_text(newest.loss), "strong"))))
        if view.smoothing:
            label = f" EMA {smoothing_text(view.smoothing)} "
            parts.append(Part(3, line((line_sign, "curve-ema"), label, (_known(newest.average), "strong"))))
    if evals:
        sign: tuple[str, Role] = (glyphs.eval_mark, "curve-eval")
        parts.append(Part(2, line(sign, " eval ", (loss_text(evals[-1][1]), "strong"), *trend(evals, glyphs))))
        best = best_eval(evals)
        if best is not None and len(evals) > 1:
            parts.append(Part(4, line(("best ", "dim"), f"{loss_text(best[1])} @{best[0]}")))
    if not math.isnan(newest.learning_rate):
        parts.append(Part(5, line(("lr ", "dim"), rate_text(newest.learning_rate))))
    if not math.isnan(newest.grad_norm):
        parts.append(Part(6, line(("grad norm ", "dim"), _norm_text(newest.grad_norm))))
    return parts


def trend(evals: Sequence[tuple[int, float]], glyphs: Glyphs) -> Line:
    """Whether the newest eval loss is better than the best before it (down) or not (up); nothing for the first."""
    before = best_eval(evals[:-1])
    if before is None:
        return ()
    is_better = evals[-1][1] < before[1]
    return line((f" {glyphs.down}", "good") if is_better else (f" {glyphs.up}", "warn"))


def best_eval(evals: Iterable[tuple[int, float]]) -> tuple[int, float] | None:
    """(step, loss) of the lowest eval loss; of equal ones the first. None where none is a number."""
    return min((each for each in evals if math.isfinite(each[1])), key=lambda each: each[1], default=None)


def cursor_parts(at: Reading, glyphs: Glyphs) -> list[Part]:
    """The exact values at the cursor."""
    parts = [Part(0, line((glyphs.cursor, "accent"), " step ", (str(at.step), "strong")))]
    parts.append(Part(1, line(("loss ", "dim"), _exact(at.loss))))
    named = (("EMA ", at.average), ("eval ", at.eval_loss))
    parts += [
        Part(rank, line((name, "dim"), _exact(value)))
        for rank, (name, value) in enumerate(named, 2)
        if not math.isnan(value)
    ]
    if not math.isnan(at.learning_rate):
        parts.append(Part(4, line(("lr ", "dim"), rate_text(at.learning_rate))))
    if not math.isnan(at.grad_norm):
        parts.append(Part(5, line(("grad norm ", "dim"), _norm_text(at.grad_norm))))
    return parts


def settings_line(view: ChartView, window: Window, unit: str, *, is_log: bool, width: int) -> Line:
    """The scale and the window on the left, the keys on the right."""
    scale = "y log" if is_log else "y linear: log needs losses above 0" if view.is_log else "y linear"
    parts = [Part(1, line((scale, "dim")))]
    if view.zoom:
        shown = f"{count_text(window.start)}-{count_text(window.stop)}"
        following = "following" if view.follows else "not following, 0 resets"
        parts += [
            Part(2, line((f"{unit} {shown}", "dim"))),
            Part(3, line((following, "dim" if view.follows else "warn"))),
        ]
    if view.evals_only:
        parts.append(Part(4, line(("eval losses only, o shows all", "dim"))))
    elif not view.smoothing:
        parts.append(Part(5, line(("no smoothing", "dim"))))
    left = fitted(parts, width)
    return spread(left, keys_line(width - width_of(left) - 3), width)


def keys_line(width: int) -> Line:
    """As many of the chart's keys as fit."""
    hints = (("l", "log"), ("s", "smooth"), ("+ -", "zoom"), (", .", "cursor"), ("t", "table"), ("o", "evals"))
    parts = [Part(rank, line((keys, "key"), (f" {label}", "dim"))) for rank, (keys, label) in enumerate(hints)]
    kept = fitted(parts, width, "  ")
    return kept if width >= 6 else ()


def _known(value: float) -> str:
    return "-" if math.isnan(value) else loss_text(value)


def _exact(value: float) -> str:
    return f"{value:.6g}"


def _norm_text(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 99_999 or not math.isfinite(value) else rate_text(value)
