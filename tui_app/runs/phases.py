"""What a run is doing, as a word with a sign, and in a sentence with how long it has been at it.

Not here: where on the screen it stands.
"""

from __future__ import annotations

from typing import NamedTuple

from engine import events as ev
from tui_app.drawing import Role, literal
from tui_app.meters import short_seconds
from tui_app.runs.view import RunView


class Phase(NamedTuple):
    """State of a run for a header: word, sign and colour say the same."""

    word: str
    glyph: str
    role: Role


def phase_of(view: RunView) -> Phase:
    """A run with no final event and no process died."""
    glyphs, state = view.glyphs, view.state
    if not state.is_over and view.liveness == "dead":
        return Phase("DIED", glyphs.impossible, "bad")
    if not state.is_over and view.liveness != "alive":
        return Phase("UNKNOWN", glyphs.asks, "warn")
    if view.is_stopping and not state.is_over:
        return Phase("STOPPING", glyphs.running, "warn")
    if view.is_pausing and state.phase == "training":
        return Phase("PAUSING", glyphs.running, "warn")
    if state.phase == "training" and state.last_step is None:
        return Phase("LOADING", glyphs.running, "accent")
    known: dict[str, Phase] = {
        "waiting": Phase("STARTING", glyphs.running, "accent"),
        "preparing": Phase("PREPARING", glyphs.running, "accent"),
        "training": Phase("RUNNING", glyphs.running, "good"),
        "paused": Phase("PAUSED", glyphs.paused, "warn"),
        "evaluating": Phase("SCORING", glyphs.running, "accent"),
        "exporting": Phase("EXPORTING", glyphs.running, "accent"),
        "finished": Phase("FINISHED", glyphs.done, "good"),
        "stopped": Phase("STOPPED", glyphs.unselected, "warn"),
        "failed": Phase("FAILED", glyphs.impossible, "bad"),
    }
    return known.get(state.phase, Phase(literal(state.phase.upper()), glyphs.running, "accent"))


def is_over(view: RunView) -> bool:
    """Whether nobody works on the run any more."""
    return view.state.is_over or view.liveness == "dead"


def since(view: RunView, *kinds: type[ev.Event]) -> float | None:
    """Seconds since the newest event of these kinds; None where there is none."""
    for stamped in reversed(view.trace.recent):
        if isinstance(stamped.event, kinds):
            return max(view.now - stamped.time, 0.0)
    return None


def doing(view: RunView) -> str:
    """What is being waited for before the first step and between stages; empty while steps are made."""
    state = view.state
    if is_over(view) or state.phase == "paused":
        return ""
    if state.phase == "waiting":
        return "the supervisor is starting"
    if state.phase == "preparing":
        return _preparing(view)
    if state.phase == "evaluating":
        if state.progress is None:
            return f"the model is being loaded to be scored{_for(since(view, ev.StageStarted))}"
        done = f"{state.progress.num_done} of {state.progress.num_rows}"
        return f"scoring {literal(state.progress.variant)}: {done} answers"
    if state.phase == "exporting":
        return _exporting(view)
    return _before_steps(view)


def _exporting(view: RunView) -> str:
    progress = view.state.exporting
    if progress is None:
        return f"the export is being started{_for(since(view, ev.StageStarted))}"
    done = f": {progress.num_done} of {progress.num_total}" if progress.num_total else ""
    return f"{literal(progress.artifact)}: {literal(progress.doing)}{done}"


def _preparing(view: RunView) -> str:
    if view.state.model is None:
        return f"the model is being looked for and prepared{_for(since(view, ev.StageStarted))}"
    if view.state.data is None:
        return f"rows are being read, split and tokenized{_for(since(view, ev.ModelReady))}"
    return f"rows and model are ready; training is being set up{_for(since(view, ev.DataReady))}"


def _before_steps(view: RunView) -> str:
    """Training has begun, but the present attempt has made no step yet."""
    state = view.state
    if state.num_attempt_steps:
        return ""
    for stamped in reversed(view.trace.recent):
        event, waited = stamped.event, _for(max(view.now - stamped.time, 0.0))
        if isinstance(event, ev.TrainingStarted):
            return f"the first step is being made{waited}"
        if isinstance(event, ev.MemoryProbed):
            return f"memory is probed; training begins{waited}"
        if isinstance(event, ev.ModelLoaded):
            return f"the longest rows are tried (fit probe){waited}"
        if isinstance(event, ev.AttemptStarted):
            return f"attempt {event.attempt}: the model is being loaded{waited}"
        if isinstance(event, ev.OomHit | ev.AttemptEnded | ev.RungTaken):
            return f"the ladder looks for a plan that fits{waited}"
        if isinstance(event, ev.MemoryPredicted):
            if event.verdict == "will not fit":
                return f"the ladder looks for a plan that fits{waited}"
            return f"memory is predicted; the worker is being started{waited}"
        if isinstance(event, ev.StageStarted):
            return f"memory is being predicted{waited}"
    return "training begins"


def _for(seconds: float | None) -> str:
    return "" if seconds is None else f" ({short_seconds(seconds)})"
