"""The ladder of a run as rows: what was taken, what is in use, and what would come next.

Pure. Not here: reading the plan and looking down the ladder (`tui_app/runs/study`).
"""

from __future__ import annotations

from collections.abc import Iterable

from engine import events as ev
from engine.run_state import RunState
from engine.run_trace import RunTrace
from tui_app.runs.view import RungStep


def rung_steps(state: RunState, trace: RunTrace, ahead: Iterable[RungStep]) -> tuple[RungStep, ...]:
    """Rungs taken, oldest first, those of the present plan as `current` while the run goes on; then those ahead."""
    followed = attempts_by_plan(trace)
    present = state.rungs[-1].plan_file if state.rungs else ""
    taken = []
    for rung in state.rungs:
        attempt = followed.get(rung.plan_file)
        taken.append(
            RungStep(
                name=rung.rung,
                cost=rung.cost,
                status="current" if rung.plan_file == present and not is_past_steps(state) else "done",
                changes_objective=rung.changes_objective,
                before_bytes=rung.before_bytes,
                after_bytes=rung.after_bytes,
                kept=rung.kept,
                why=rung.why,
                attempt=attempt.attempt if attempt else None,
                step=attempt.resumed_from_step if attempt else None,
            )
        )
    return (*taken, *(() if is_past_steps(state) else ahead))


def is_past_steps(state: RunState) -> bool:
    """Whether no step is made any more, and so no rung is taken: scoring and exporting have means of their own."""
    return state.is_over or state.finished is not None or state.phase in ("evaluating", "exporting")


def attempts_by_plan(trace: RunTrace) -> dict[str, ev.AttemptStarted]:
    """The first attempt that followed each plan, among the newest events."""
    found: dict[str, ev.AttemptStarted] = {}
    for stamped in trace.recent:
        if isinstance(stamped.event, ev.AttemptStarted):
            found.setdefault(stamped.event.plan_file, stamped.event)
    return found
