"""A failed run in its three sentences: what happened, what it means, what to do; and where the log is.

Shown where the loss would stand if no step was made, and with the result. No panel of its own.
"""

from __future__ import annotations

from engine.events import RunFailed
from tui_app.drawing import Line, line, literal, padded, wrap
from tui_app.runs.view import RunView

HEAD_WIDTH = 16
BESIDE_FROM = 60
"""Width from which the heads stand beside the sentences, not above them."""


def failure(final: RunFailed, width: int, view: RunView) -> list[Line]:
    """One paragraph for each sentence; what happened stands out."""
    rows: list[Line] = []
    parts = (
        ("what happened", final.happened),
        ("what it means", final.means),
        ("what to do", final.remedy),
        ("the log", f"{view.folder}/log"),
    )
    is_beside = width >= BESIDE_FROM
    indent = HEAD_WIDTH if is_beside else 2
    for head, text in parts:
        told = wrap(literal(text), max(width - indent - 1, 8), "bad" if head == "what happened" else "")
        if not told:
            continue
        if not is_beside:
            rows.append(line(" ", (head, "title")))
        for number, each in enumerate(told):
            label = padded(f" {head}" if is_beside and not number else "", indent)
            rows.append((*line((label, "title")), *each))
        rows.append(line(""))
    return rows[:-1]
