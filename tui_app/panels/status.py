"""The row above the footer: what is wrong, what a command came to, or what is being waited for.

Not here: the history of all that (`events`).
"""

from __future__ import annotations

from typing import ClassVar

from engine import events as ev
from tui_app.drawing import Line, Role, line, literal
from tui_app.meters import clipped, short_seconds
from tui_app.runs.phases import doing, fault_now, since
from tui_app.runs.view import RunView

ANSWER_SECONDS = 15.0
"""How long it is said what a command came to."""
WARNING_SECONDS = 120.0
"""How long a warning stays in this row."""


def told(view: RunView, opened: str = "") -> list[tuple[str, Role]]:
    """What there is to say, the most pressing first. `opened` is the panel that is read: nobody is sent there."""
    at_result = opened == "result"
    state, found = view.state, list[tuple[str, Role]]()
    if view.loading is not None:
        found.append((f"reading the run's history: {view.loading:.0%}", "accent"))
    if isinstance(state.final, ev.RunFailed):
        first = literal(state.final.happened).partition(": ")[0].rstrip(".")
        found.append((f"{view.glyphs.warning} {first}{'' if at_result else '   8 tells why'}", "bad"))
    elif isinstance(state.final, ev.RunStopped):
        found.append((f"stopped; kept: {literal(state.final.kept)}   R resumes", "warn"))
    elif state.final is not None:
        where = "" if at_result else "   8 shows it, and what comes next"
        if fault := fault_now(view):
            what = literal(fault.happened).partition(": ")[0].rstrip(".")
            found.append((f"{view.glyphs.warning} {what}{'' if at_result else '   8 tells why'}", "bad"))
        found.append((f"{view.glyphs.done} the result was checked{where}", "good"))
    elif view.liveness == "dead" and state.finished is not None:
        found.append((f"{view.glyphs.warning} its supervisor is gone; the trained result is kept   R goes on", "bad"))
    elif view.liveness == "dead":
        kept = f"the checkpoint of step {state.checkpoint.step} is kept" if state.checkpoint else "no checkpoint yet"
        found.append((f"{view.glyphs.warning} its supervisor is gone; {kept}   R resumes", "bad"))
    elif view.liveness != "alive":
        found.append((f"{view.glyphs.warning} {literal(view.liveness)}", "warn"))
    last = view.sent[-1] if view.sent and not state.is_over else None
    if last is not None and (last.status in ("sent", "accepted") or view.now - last.changed_at < ANSWER_SECONDS):
        role: Role = "bad" if last.status == "refused" else "good" if last.status == "done" else "accent"
        reason = f" ({literal(last.reason)})" if last.reason else ""
        trail = {"accepted": f"sent {view.glyphs.arrow} accepted", "done": f"sent {view.glyphs.arrow} done"}
        found.append((f"{last.command}: {trail.get(last.status, last.status)}{reason}", role))
    if state.phase == "paused" and not state.is_over and view.liveness == "alive":
        found.append((f"paused{_for(view)}; p goes on", "warn"))
    if now := doing(view):
        found.append((now, "accent"))
    if view.problem:
        found.append((f"{view.glyphs.warning} {literal(view.problem)}", "warn"))
    age = since(view, ev.WarningRaised)
    if state.warnings and (age is None or age < WARNING_SECONDS or state.is_over):
        found.append((f"{view.glyphs.warning} {literal(state.warnings[-1])}", "warn"))
    return found or [_ordinary(view)]


def _ordinary(view: RunView) -> tuple[str, Role]:
    """Nothing is wrong: what comes next."""
    state = view.state
    if state.finished is not None:
        return "the trained result is kept whatever comes of this", "dim"
    if view.eval_steps and state.max_steps and not state.evals:
        return f"no eval yet: at step {(state.step // view.eval_steps + 1) * view.eval_steps}", "dim"
    if state.checkpoint:
        age = since(view, ev.CheckpointSaved)
        ago = "" if age is None else f", {short_seconds(age)} ago"
        return f"newest checkpoint: step {state.checkpoint.step}{ago}", "dim"
    return "no checkpoint yet: k writes one now", "dim"


def _for(view: RunView) -> str:
    age = since(view, ev.TrainingPaused)
    return "" if age is None else f" for {short_seconds(age)}"


class Status:
    """As many rows as there is to say; the first matters most."""

    NAME: ClassVar[str] = "status"
    TITLE: ClassVar[str] = "Now"

    def __init__(self) -> None:
        self.opened = ""
        """Name of the panel that is read."""

    def draw(self, view: RunView, width: int, height: int) -> list[Line]:
        return clipped([line(" ", (text, role)) for text, role in told(view, self.opened)], width, height, view.glyphs)


PANEL = Status
