"""Variants against each other on the same rows: what was trained or made of it against the best base, artifacts
against the tuned model. Row by row, with the rows that got better and worse in a file.

Not here: the arithmetic (`statistics`) and how it reads (`tui_app`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from engine.evaluation.exam import Exam
from engine.evaluation.measuring import MAIN_METRIC, Sheet
from engine.evaluation.metrics import all_metrics
from engine.evaluation.statistics import paired, rows_changed
from engine.event_log import EventWriter
from engine.events import VariantsCompared
from engine.run_dir import write_atomic

MOST_ROWS = 500
"""Rows of each kind that a comparison's file holds, those with the largest change first."""
SAME_ORDER = frozenset({"perplexity"})
"""Metrics that put rows in the order of another one: the loss says the same."""


def compare(test: Exam, sheets: Sequence[Sheet], writer: EventWriter) -> None:
    """Tell every pair, by every metric that has a better and a worse. Raises RunDirError when the disk refuses it."""
    metrics = all_metrics()
    for base, other in pairs(sheets):
        for name in base.measured:
            better = metrics[name].HIGHER_IS_BETTER
            if name in SAME_ORDER or better is None or name not in other.measured:
                continue
            told = compared(test, base, other, name, higher_is_better=better)
            if told is not None:
                writer.write(told)


def pairs(sheets: Sequence[Sheet]) -> Iterator[tuple[Sheet, Sheet]]:
    """(against what, who): each but the bases against the best base, artifacts against the tuned model too."""
    bases = [sheet for sheet in sheets if sheet.variant.kind == "base"]
    tuned = next((sheet for sheet in sheets if sheet.variant.kind == "tuned"), None)
    best = max(bases, key=_merit, default=None)
    for sheet in sheets:
        if best is not None and sheet.variant.kind != "base":
            yield best, sheet
        if tuned is not None and sheet.variant.kind in ("merged", "gguf"):
            yield tuned, sheet


def _merit(sheet: Sheet) -> tuple[float, float]:
    """By exact match, then by loss; the first of equals is taken."""
    loss = sheet.measured["loss"].value if "loss" in sheet.measured else None
    return sheet.measured[MAIN_METRIC].value or 0.0, -loss if loss is not None else -math.inf


def compared(test: Exam, base: Sheet, other: Sheet, metric: str, *, higher_is_better: bool) -> VariantsCompared | None:
    """One pair by one metric, its rows written down; None where no row has a value of both."""
    before, after = base.measured[metric].values, other.measured[metric].values
    found = paired(before, after, higher_is_better=higher_is_better)
    if found is None:
        return None
    path = test.rows.folder / f"comparison-{other.variant.name}-{base.variant.name}-{metric}.json"
    changed = rows_changed(before, after, higher_is_better=higher_is_better)
    values: dict[str, Any] = {
        "dataset": test.rows.name,
        "metric": metric,
        "base": base.variant.name,
        "other": other.variant.name,
        "num_better": found.num_better,
        "num_worse": found.num_worse,
        "better": [_row(base, other, metric, row) for row in changed.better[:MOST_ROWS]],
        "worse": [_row(base, other, metric, row) for row in changed.worse[:MOST_ROWS]],
    }
    write_atomic(path, json.dumps(values, indent=1))
    return VariantsCompared(
        dataset=test.rows.name,
        metric=metric,
        base=base.variant.name,
        other=other.variant.name,
        num_rows=found.num_rows,
        num_better=found.num_better,
        num_worse=found.num_worse,
        difference=round(found.difference, 4),
        low=round(found.low, 4),
        high=round(found.high, 4),
        p_value=found.p_value,
        rows_file=path.relative_to(test.run.path).as_posix(),
    )


def _row(base: Sheet, other: Sheet, metric: str, row: int) -> dict[str, Any]:
    """One row with both answers and their values."""
    before, after = base.answers[row], other.answers[row]
    return {
        "row": row,
        "line": before.line,
        "request": before.request,
        "expected": before.expected,
        "base_answer": before.answer,
        "other_answer": after.answer,
        "base_value": base.measured[metric].values[row],
        "other_value": other.measured[metric].values[row],
    }
