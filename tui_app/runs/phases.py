"""What a run is doing, as a word with a sign, and in a sentence with how long it has been at it.

Not here: where on the screen it stands.
"""

from __future__ import annotations

from typing import NamedTuple

from engine import events as ev
from engine.run_state import RunState
from tui_app.drawing import Role, literal
from tui_app.meters import short_seconds
from tui_app.runs.view import RunView

LATE_PHASES = ("evaluating", "exporting")
"""Those in which no step is made any more."""


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
    if state.phase == "preparing" and state.finished is not None:
        return Phase("STARTING", glyphs.running, "accent")
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


def fault_now(view: RunView) -> ev.RequestFailed | None:
    """Why what was asked for last could not be done; None once something else was asked for."""
    faults, newest = view.state.request_faults, view.state.newest_request
    return faults[-1] if faults and (newest is None or faults[-1].number == newest.number) else None


def is_training(view: RunView) -> bool:
    """Whether figures of steps are those of this moment."""
    return not is_over(view) and view.state.phase in ("training", "paused")


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
    if state.phase in LATE_PHASES:
        return _late(view)
    return _before_steps(view)


class Work(NamedTuple):
    """Long work that is being done: on what, and how much of it; `num_total` 0 where nobody knows.

    `eta_seconds` is None until the pace is known.
    """

    what: str
    num_done: int
    num_total: int
    eta_seconds: float | None = None

    @property
    def share(self) -> float | None:
        return self.num_done / self.num_total if self.num_total else None


def work_of(view: RunView) -> Work | None:
    """What is being scored or exported now; None while nothing is known of it, and in every other phase."""
    state = view.state
    if is_over(view) or state.phase not in LATE_PHASES:
        return None
    if state.progress is not None and state.phase == "evaluating":
        told = state.progress
        paces = [
            (stamped.time, stamped.event.num_done)
            for stamped in view.trace.recent
            if isinstance(stamped.event, ev.EvaluationProgressed) and stamped.event.variant == told.variant
        ]
        what = f"scoring {title_of(state, told.variant)}"
        return Work(what, told.num_done, told.num_rows, _eta(view, paces, told.num_rows))
    if state.exporting is not None:
        now = state.exporting
        paces = [
            (stamped.time, stamped.event.num_done)
            for stamped in view.trace.recent
            if isinstance(stamped.event, ev.ExportProgressed)
            and (stamped.event.artifact, stamped.event.doing) == (now.artifact, now.doing)
        ]
        what = f"{literal(now.artifact)}: {literal(now.doing)}"
        return Work(what, now.num_done, now.num_total, _eta(view, paces, now.num_total))
    return None


def title_of(state: RunState, variant: str) -> str:
    """What a variant is called in the table; its name until it is there."""
    known = next((score.title for score in state.scores if score.variant == variant), variant)
    return literal(known.replace("_", " ") if known == variant else known)


def _eta(view: RunView, paces: list[tuple[float, int]], num_total: int) -> float | None:
    """Seconds left at the pace of the stretch that is still going on; what was done before it was done earlier."""
    stretch: list[tuple[float, int]] = []
    for moment, done in paces:
        if stretch and done < stretch[-1][1]:
            stretch.clear()
        stretch.append((moment, done))
    if len(stretch) < 2 or not num_total:
        return None
    (begun, first), (told_at, newest) = stretch[0], stretch[-1]
    if newest <= first or told_at <= begun:
        return None
    left = (num_total - newest) * (told_at - begun) / (newest - first)
    return max(left - max(view.now - told_at, 0.0), 0.0)


def _late(view: RunView) -> str:
    """What is being scored or exported, how much of it, and for how long still."""
    work = work_of(view)
    if work is None:
        waited = _for(since(view, ev.StageStarted))
        if view.state.phase == "exporting":
            made, began = since(view, ev.ArtifactExported), since(view, ev.StageStarted)
            if made is not None and (began is None or made < began):
                return f"an artifact is in place; what is left is being done{_for(made)}"
            return f"the export is being started{waited}"
        return f"the model is being loaded to be scored{waited}"
    unit = " answers" if view.state.phase == "evaluating" else ""
    done = f": {work.num_done} of {work.num_total}{unit}" if work.num_total else ""
    eta = f", about {short_seconds(work.eta_seconds)} left" if work.eta_seconds is not None else ""
    return f"{work.what}{done}{eta}"


def _preparing(view: RunView) -> str:
    if view.state.finished is not None:
        return f"what was asked for is being started{_for(since(view, ev.RunStarted))}"
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
