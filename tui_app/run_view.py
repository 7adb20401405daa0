"""Everything that the panels of one run draw, as one value: what its events add up to, its curves, and the moment.

Not here: gathering it (`tui_app/run_watch`).
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
    """A command that this viewer sent. `status`: sent, accepted, done or refused, with the reason."""

    command: str
    status: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RungStep:
    """One rung as the ladder's panel shows it. `status`: done, current, next or asks (needs consent).

    Bytes are predicted peaks of allocated memory before and after it.
    """

    name: str
    cost: str
    status: str
    changes_objective: bool = False
    before_bytes: int | None = None
    after_bytes: int | None = None
    kept: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """One moment of one run. `now` is Unix seconds; `loading` the share of its history that is read, None for all."""

    name: str
    folder: str
    state: RunState
    trace: RunTrace
    now: float
    liveness: str = "alive"
    """alive, dead, or `unknown, on host X`."""
    plan: Plan | None = None
    rungs: tuple[RungStep, ...] = ()
    predictions: tuple[MemoryPredicted, ...] = ()
    """One for each plan so far, oldest first."""
    log: tuple[str, ...] = ()
    """The last lines of the newest log file, oldest first, as they stand there."""
    log_file: str = ""
    loading: float | None = None
    is_readonly: bool = False
    sent: tuple[SentCommand, ...] = ()
    glyphs: Glyphs = field(default=UNICODE)
