"""Everything that the panels of one run draw, as one value: what its events add up to, its curves, and the moment.

Not here: gathering it (`tui_app/runs/watch`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.events import MemoryPredicted
from engine.run_state import RunState
from engine.run_trace import RunTrace
from tui_app.glyphs import UNICODE, Glyphs

if TYPE_CHECKING:  # brings pydantic, which the first frame does not wait for
    from engine.plan import Plan


@dataclass(frozen=True, slots=True)
class SentCommand:
    """A command that this viewer sent. `status`: sent, accepted, done or refused, with the reason.

    `changed_at` is when the status last changed, in Unix seconds.
    """

    command: str
    status: str
    reason: str = ""
    changed_at: float = 0.0


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line for the log. `kind`: step, event, or output (what a worker or a library of it wrote; no time is known).

    `text` is as it was written; who draws it draws it literally.
    """

    time: float | None
    text: str
    kind: str = "event"


@dataclass(frozen=True, slots=True)
class RungStep:
    """One rung as the ladder's panel shows it. `status`: done, current, next or asks (needs consent).

    Bytes are predicted peaks of allocated memory before and after it; for rungs not taken yet they are estimated by
    the closed form. `attempt` is the first that followed it, `step` from where that one went on.
    """

    name: str
    cost: str
    status: str
    changes_objective: bool = False
    before_bytes: int | None = None
    after_bytes: int | None = None
    kept: str = ""
    why: str = ""
    attempt: int | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """One moment of one run. `now` is Unix seconds; `loading` the share of its history that is read, None for all."""

    name: str
    folder: str
    state: RunState
    trace: RunTrace
    now: float
    liveness: str = "alive"
    """alive, dead, or what `liveness` says of a run on another host."""
    plan: Plan | None = None
    rungs: tuple[RungStep, ...] = ()
    predictions: tuple[MemoryPredicted, ...] = ()
    """One for each plan so far, oldest first."""
    log: tuple[LogLine, ...] = ()
    """Logged steps, events and the last lines of the newest log file, oldest first."""
    log_file: str = ""
    """Path of that file."""
    max_attempts: int | None = None
    """What the recipe's ladder allows; None until it is read."""
    has_evaluation: bool | None = None
    """Whether base and tuned model are scored at the end; None until the recipe is read."""
    eval_steps: int | None = None
    """Steps between two eval losses; None until the recipe is read or where there are none."""
    loading: float | None = None
    problem: str = ""
    """What keeps this viewer from seeing all of the run, for example a plan file that cannot be read."""
    is_readonly: bool = False
    sent: tuple[SentCommand, ...] = ()
    is_stopping: bool = False
    """Whether a stop was asked for that has not taken effect."""
    is_pausing: bool = False
    """Whether the run is paused or about to be."""
    glyphs: Glyphs = field(default=UNICODE)
