"""The plan that the present attempt follows: every value with the reason why it is that.

Not here: its memory (`memory`).
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from tui_app.drawing import Line, line, literal, padded, wrap
from tui_app.meters import short_bytes
from tui_app.panels.scrolled import Scrolled
from tui_app.runs.phases import is_over
from tui_app.runs.view import RunView

LEFT_OUT = ("reasons", "rungs", "memory", "notes", "rows", "device_uuid", "device_uuids", "four_bit_available")


def written(name: str, value: object) -> str:
    """A value as people read it."""
    if name.endswith("_bytes") and isinstance(value, int):
        return short_bytes(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(str(each) for each in value)
    return "-" if value is None else str(value)


class PlanPanel(Scrolled):
    """Name and value in two columns, the reason beside or under them."""

    NAME: ClassVar[str] = "plan"
    TITLE: ClassVar[str] = "Plan"

    def rows(self, view: RunView, width: int) -> list[Line]:
        plan = view.plan
        if plan is None:
            waiting = view.problem or ("the run has no plan" if is_over(view) else "the plan is being read")
            return wrap(literal(waiting), max(width - 1, 8), "dim")
        reasons = dict(plan.reasons)
        values = [(each.name, getattr(plan, each.name)) for each in dataclasses.fields(plan)]
        # An empty value is that of a field that a plan has no use for, or that its version did not know.
        told = [(name, value) for name, value in values if name not in LEFT_OUT and value not in ("", ())]
        shown = [(name, literal(written(name, value))) for name, value in told]
        column = min(max(len(name) for name, _ in shown), max(width // 2, 8))
        number = view.state.rungs[-1].plan_file if view.state.rungs else "plan-1.json"
        rows = [line(" ", (literal(number.removesuffix(".json")), "title"), (f"  of {literal(view.folder)}", "dim"))]
        for name, value in shown:
            head = line(" ", (padded(name, column, ellipsis=view.glyphs.ellipsis), "dim"), "  ", (value, "strong"))
            reason = literal(reasons.get(name, ""))
            used = column + 3 + len(value)
            if not reason:
                rows.append(head)
            elif used + 3 + len(reason) <= width:
                rows.append((*head, *line("   "), *line((reason, "dim"))))
            else:
                rows.append(head)
                rows += [(*line("   "), *each) for each in wrap(reason, max(width - 4, 8), "dim")]
        if plan.rungs:
            text = f"rungs taken: {', '.join(plan.rungs)}"
            rows += [(*line(" "), *each) for each in wrap(literal(text), max(width - 1, 8), "accent")]
        for note in (*plan.notes, *([plan.memory.reason] if plan.memory else [])):
            rows += [(*line(" "), *each) for each in wrap(literal(note), max(width - 1, 8), "dim")]
        return rows


PANEL = PlanPanel
