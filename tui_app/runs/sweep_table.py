"""A sweep as a table: each point with its state, eval loss, score, time and memory, and which of them is best.

Not here: the command (`tui_app/result_commands/sweep`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len

from engine.grid import Point
from engine.queue.entries import Entry
from engine.units import format_bytes, format_seconds
from tui_app.drawing import fit, literal, padded
from tui_app.runs.comparison import Side, eval_loss, peak_bytes, same_rows, score_of, score_text, whole_seconds
from tui_app.runs.queueing import Standing, standing_of

MAX_LABEL = 34


@dataclass(frozen=True, slots=True)
class PointResult:
    """What became of one point of a grid; `side` is None while it has no run."""

    label: str
    standing: Standing
    side: Side | None

    @property
    def loss(self) -> float | None:
        """The last eval loss of a finished run, None where there is none that is a number."""
        found = eval_loss(self.side) if self.side is not None and self.standing.phase == "finished" else None
        return found if found is not None and math.isfinite(found) else None


def result_of(entry: Entry) -> PointResult:
    """How one point stands, read whole."""
    run = entry.run_dir
    side = Side(run).read_all() if run is not None else None
    return PointResult(literal(Point(entry.point).label), standing_of(entry), side)


def best_of(results: Sequence[PointResult]) -> PointResult | None:
    """The finished point with the lowest eval loss; None where fewer than two can be compared."""
    known = [each for each in results if each.loss is not None]
    return min(known, key=lambda each: each.loss or 0.0) if len(known) > 1 and is_comparable(known) else None


def is_comparable(results: Sequence[PointResult]) -> bool:
    """Whether losses of the points mean the same: same rows, same base model."""
    sides = [each.side for each in results if each.side is not None]
    models = {side.recipe.get("model.name_or_path") for side in sides}
    return len(models) == 1 and same_rows(sides)


def sweep_lines(results: Sequence[PointResult], width: int) -> list[str]:
    """The table in at most `width` letters a line, then what may be said of it."""
    titles = ("", "state", "eval loss", "score", "time", "peak")
    best = best_of(results)
    rows = [titles, *(_cells(each, is_best=each is best) for each in results)]
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(titles))]
    widths[0] = max(min(widths[0], MAX_LABEL, width - sum(widths[1:]) - 2 * (len(titles) - 1)), 8)
    lines = ["  ".join(padded(cell, size) for cell, size in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [fit(each, width, ellipsis="...") for each in lines] + ["", *conclusion(results)]


def conclusion(results: Sequence[PointResult]) -> list[str]:
    """Which point is best, and how much that says."""
    finished = [each for each in results if each.loss is not None]
    if not finished:
        return ["No point has an eval loss to compare by."]
    if len(finished) > 1 and not is_comparable(finished):
        return ["The points learn from other rows or other models, so their losses do not compare."]
    best = best_of(results)
    if best is None:
        return ["Only one point has an eval loss: there is nothing to compare it with."]
    return [
        f"Lowest eval loss: {best.label} ({best.loss:.4f}), marked +.",
        "One run a point: small differences are not findings. Another training.seed shows how far chance goes.",
    ]


def values(results: Sequence[PointResult]) -> dict[str, Any]:
    """The table for programs: seconds, bytes, shares from 0 to 1."""
    best = best_of(results)
    return {
        "points": [_values(each) for each in results],
        "best_by_eval_loss": best.standing.entry.run.rpartition("/")[2] if best else None,
    }


def _values(result: PointResult) -> dict[str, Any]:
    entry, side = result.standing.entry, result.side
    score = score_of(side) if side else None
    return {
        "point": dict(entry.point),
        "entry": entry.number,
        "run": side.run.name if side else None,
        "path": entry.run or None,
        "state": result.standing.phase,
        "eval_loss": eval_loss(side) if side else None,
        "score": score.num_correct / score.num_rows if score and score.num_rows else None,
        "score_interval": [score.low, score.high] if score else None,
        "seconds": whole_seconds(side) if side else None,
        "peak_bytes": peak_bytes(side) if side else None,
        "fault": dict(entry.fault) or None,
    }


def _cells(result: PointResult, *, is_best: bool) -> tuple[str, ...]:
    side = result.side
    if side is None:
        return result.label, result.standing.phase, "-", "-", "-", "-"
    loss, seconds, peak = eval_loss(side), whole_seconds(side), peak_bytes(side)
    return (
        result.label,
        result.standing.phase,
        "-" if loss is None else f"{loss:.4f}{' +' if is_best else ''}",
        score_text(score_of(side)),
        "-" if seconds is None else format_seconds(seconds),
        "-" if peak is None else format_bytes(int(peak)),
    )
