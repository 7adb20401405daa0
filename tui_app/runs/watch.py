"""One viewer of one run: reads its folder little by little, and gives what the panels draw as a `RunView`.

Any number of them may watch a run; none writes anything but commands. Reading never blocks for long: events come in
slices, the plan (which brings pydantic) is read by `study`, meant for a thread. Not here: widgets and timers.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from engine import control
from engine import events as ev
from engine.elsewhere import refuse_out_of_reach
from engine.errors import RunDirError
from engine.event_log import BATCH_SECONDS, EventReader
from engine.events import Stamped
from engine.first_look import glimpse
from engine.late_events import arrived_late
from engine.liveness import liveness
from engine.run_dir import RunDir
from engine.run_state import RunState, fold_all
from engine.run_trace import RunTrace
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.runs.log import RunLog
from tui_app.runs.rungs import rung_steps
from tui_app.runs.study import Study, study
from tui_app.runs.view import RunView, SentCommand

SLICE_SECONDS = 0.03
LIVENESS_SECONDS = 2.0
NEXT_PLAN_EVENTS = (ev.AttemptStarted, ev.RungTaken, ev.MemoryPredicted, ev.DataReady)
"""Events after which the newest plan file may be another one, or say more."""


class RunWatch:
    """`gather` reads some of what is new, `view` says how things stand. Of one thread, `study` excepted."""

    def __init__(self, run: RunDir, *, is_readonly: bool = False, glyphs: Glyphs = UNICODE) -> None:
        self.run, self.is_readonly, self.glyphs = run, is_readonly, glyphs
        self.state, self.trace = RunState(run=run.reference), RunTrace()
        self.loading: float | None = 0.0
        self.alive = "alive"
        self.log = RunLog(run.log, self.state)
        self.wants_study = True
        self._reader = EventReader(run.events)
        self._share = 0.0  # of the bytes that lay there at the last look
        self._whole_state, self._whole_trace = self.state, self.trace
        self._predictions: dict[str, ev.MemoryPredicted] = {}
        self._sent: dict[str, SentCommand] = {}
        self._study = Study()
        self._studied = threading.Lock()
        self._looked_at = float("-inf")
        self.num_events = 0
        """Folded so far: views between which it has not changed differ in time and liveness only."""

    def glimpse(self) -> None:
        """A first picture of a long run from both ends of its files, until `gather` has read it whole."""
        state, trace = RunState(run=self.run.reference), RunTrace()
        seen = glimpse(self.run.events)
        for stamped in seen:
            trace.add(stamped)
        self.state, self.trace = fold_all(seen, state), trace
        self.log.tell(seen)
        self._look_whether_alive()

    def gather(self, budget_seconds: float = SLICE_SECONDS) -> bool:
        """Read for about so long; whether anything changed. Call it again at once while `loading` is not None."""
        was_alive, was_loading = self.alive, self.loading
        self._look_whether_alive()  # first: what a dead process wrote is then read below
        fresh, self._share = self._reader.drain(budget_seconds)
        newest = self._whole_state.updated_at
        if newest is not None and arrived_late(fresh, newest):
            self._begin_anew()
            return True
        self._whole_state = fold_all(fresh, self._whole_state)
        for stamped in fresh:
            self._take(stamped)
        if self.loading is not None:
            self.loading = self._share if self._share < 1 else None
            if self.loading is None:  # the whole history takes the place of the glimpse
                self.state, self.trace = self._whole_state, self._whole_trace
                self.log.tell(self.trace.recent_steps)
        else:
            self.state = self._whole_state
            self.log.look()
            self.log.add(fresh)
        return bool(fresh) or self.alive != was_alive or self.loading != was_loading

    def _begin_anew(self) -> None:
        """Read the whole history again: what is shown stays until then."""
        self._reader = EventReader(self.run.events)
        self._whole_state, self._whole_trace = RunState(run=self.run.reference), RunTrace()
        self._share, self.loading = 0.0, 0.0

    def read_all(self) -> None:
        """Everything that is there now, a bounded number of events at a time."""
        self.gather(BATCH_SECONDS)
        while self.loading is not None or self._share < 1:
            self.gather(BATCH_SECONDS)

    def study(self) -> None:
        """Read plan and recipe and look down the ladder. Slow the first time (it imports pydantic); for a thread."""
        with self._studied:
            self.wants_study = False
            self._study = study(self.run)

    def view(self, now: float | None = None) -> RunView:
        """How things stand. `now` is Unix seconds, the present moment if left out."""
        found = self._study
        return RunView(
            name=self.run.name,
            folder=str(self.run.path),
            state=self.state,
            trace=self.trace,
            now=time.time() if now is None else now,
            liveness=self.alive,
            plan=found.plan,
            rungs=rung_steps(self.state, self.trace, found.ahead),
            predictions=tuple(self._predictions.values()),
            log=self.log.lines(),
            log_file=str(self.log.tail.path or self.run.log),
            max_attempts=found.max_attempts,
            has_evaluation=found.has_evaluation,
            eval_steps=found.eval_steps,
            loading=self.loading,
            problem="; ".join((*self._reader.problems, *((found.problem,) if found.problem else ()))),
            is_readonly=self.is_readonly,
            sent=tuple(self._sent.values()),
            is_stopping=self.is_stopping,
            is_pausing=self.is_pausing,
            glyphs=self.glyphs,
        )

    def send(self, command: str) -> SentCommand:
        """Leave a command for the run; a stop after an unfinished one becomes an abort.

        Raises RunDirError for a read-only viewer, and when nobody is there to obey.
        """
        if self.is_readonly:
            raise RunDirError(f"This view is read-only: {command} is not sent.", remedy="Attach without --readonly.")
        refuse_out_of_reach(self.run, command)
        if liveness(self.run) == "dead":
            raise RunDirError(
                f"Run {self.run.name} is not running, so it cannot {command}.",
                remedy=f"Go on with it: finetui resume {self.run.typed}",
            )
        if command == "stop" and self.is_stopping:
            command = "abort"
        sent = control.send(self.run, command)
        self._sent[sent.command_id] = SentCommand(command, "sent", changed_at=time.time())
        return self._sent[sent.command_id]

    def leave(self) -> tuple[int, tuple[str, ...]]:
        """(exit code, last lines) for somebody who leaves now: the way back, or how the run ended."""
        from tui_app.runs.following import detached, ended  # late: reads receipts, which takes its time

        if self.loading is None:
            self.read_all()
        else:  # both ends of a long history tell how it stands; nobody waits for the rest to get away
            self.glimpse()
        if not self.state.is_over and self.alive != "dead":
            return 0, (detached(self.run),)
        return ended(self.run, self.state)

    @property
    def is_stopping(self) -> bool:
        """Whether a stop was asked for, by this viewer or another."""
        mine = any(each.command == "stop" and each.status in ("sent", "accepted") for each in self._sent.values())
        return mine or (
            not self.state.is_over
            and any(each.command == "stop" and each.status != "refused" for each in self.state.commands)
        )

    @property
    def is_pausing(self) -> bool:
        """Whether the run is paused, or this viewer's pause is on its way."""
        held = [each for each in self._sent.values() if each.command in ("pause", "continue")]
        if held and held[-1].status in ("sent", "accepted"):
            return held[-1].command == "pause"
        return self.state.phase == "paused"

    def _take(self, stamped: Stamped) -> None:
        event = stamped.event
        self.num_events += 1
        self._whole_trace.add(stamped)
        if isinstance(event, ev.StepLogged):
            return
        if isinstance(event, ev.MemoryPredicted):
            self._predictions[event.plan_file] = event
        if isinstance(event, NEXT_PLAN_EVENTS):
            self.wants_study = True
        if isinstance(event, ev.CommandAcknowledged) and event.command_id in self._sent:
            mine = self._sent[event.command_id]
            self._sent[event.command_id] = replace(
                mine, status=event.status, reason=event.reason, changed_at=time.time()
            )
        if isinstance(event, ev.RunStarted) and self.loading is None:
            self._sent.clear()  # they were for the supervisor before
        if isinstance(event, ev.FINAL_EVENTS):
            self._settle_commands()

    def _settle_commands(self) -> None:
        """At the end of a run a stop is done; what nobody answered will not be."""
        for command_id, mine in self._sent.items():
            if mine.status in ("sent", "accepted"):
                is_done = mine.command in ("stop", "abort")
                reason = "" if is_done else "the run ended before"
                self._sent[command_id] = replace(
                    mine, status="done" if is_done else "refused", reason=reason, changed_at=time.time()
                )

    def _look_whether_alive(self) -> None:
        if time.monotonic() - self._looked_at < LIVENESS_SECONDS:
            return
        self._looked_at = time.monotonic()
        try:
            self.alive = liveness(self.run)
        except RunDirError as fault:
            self.alive = f"unknown: {fault.happened}"
        except OSError as fault:
            self.alive = f"unknown: {fault.strerror}"
        if self.alive == "dead":
            self._settle_commands()
