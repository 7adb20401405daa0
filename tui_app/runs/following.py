"""Following a run's events until it is over, died, or the watcher leaves. Used by attach, replay and resume.

Not here: what a watcher sees (`tui_app/plain`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.receipt import Receipt
from data.receipt import lines as receipt_lines
from engine.errors import DiedError, RunDirError
from engine.event_log import EventReader, encode
from engine.events import (
    DataReady,
    RequestFinished,
    RunFailed,
    RunStarted,
    RunStopped,
    Stamped,
)
from engine.first_look import LONG_HISTORY_BYTES, glimpse, num_event_bytes
from engine.late_events import arrived_late
from engine.liveness import liveness
from engine.run_dir import RunDir, read_json
from engine.run_state import RunState, fold, fold_all
from engine.units import format_bytes
from tui_app.plain import ending, lines, printable, status_lines
from tui_app.runs.progress_line import ProgressLine
from tui_app.terminal.notifying import bell

POLL_SECONDS = 0.2
INTERRUPTED = 130


@dataclass(slots=True)
class Follower:
    """One watcher of one run. Iterating yields each new event with the state after it."""

    run: RunDir
    state: RunState
    reader: EventReader

    @staticmethod
    def of(run: RunDir) -> Follower:
        return Follower(run, RunState(run=run.reference), EventReader(run.events))

    @staticmethod
    def at_end(run: RunDir) -> Follower:
        """One that begins with what comes next: its state is that of a first look at a long history (`glimpse`)."""
        follower = Follower.of(run)
        follower.reader.go_to_end()
        follower.state = fold_all(glimpse(run.events), follower.state)
        return follower

    def catch_up(self) -> list[tuple[Stamped, RunState]]:
        """Everything written since the last look."""
        return list(self.news())

    def news(self) -> Iterator[tuple[Stamped, RunState]]:
        """The same one by one, of which a long history needs little memory."""
        for batch in self.reader.batches():
            if self.state.updated_at is not None and arrived_late(batch, self.state.updated_at):
                self.state = whole_state(self.run)
                yield from ((stamped, self.state) for stamped in batch)
                continue
            for stamped in batch:
                self.state = fold(self.state, stamped)
                yield stamped, self.state

    def follow(self) -> Iterator[tuple[Stamped, RunState]]:
        """New events as they come, until no process is in charge of the run any more."""
        while True:
            alive = liveness(self.run)  # looked at first: what a dead process wrote is then read below
            yield from self.news()
            if alive == "dead" or (self.state.is_over and alive != "alive"):
                return
            time.sleep(POLL_SECONDS)


def whole_state(run: RunDir) -> RunState:
    """What all events of a run add up to now."""
    state = RunState(run=run.reference)
    for batch in EventReader(run.events).batches():
        state = fold_all(batch, state)
    return state


def num_starts_of(run: RunDir) -> int:
    """How often a supervisor took charge of the run so far."""
    reader = EventReader(run.events)
    return sum(isinstance(stamped.event, RunStarted) for batch in reader.batches() for stamped in batch)


def watch_request(run: RunDir, number: int, *, as_json: bool, skip_starts: int) -> tuple[int, RunState]:
    """Print how a request is carried out; (exit code, the run's state after it).

    0 once it is done, whatever became of other requests; else the code of what was in the way. Ctrl-C leaves it going
    on and says so.
    """
    follower = Follower.of(run)
    num_starts, is_done, progress = 0, False, ProgressLine()
    try:
        for stamped, state in follower.follow():
            num_starts += isinstance(stamped.event, RunStarted)
            if num_starts > skip_starts:
                progress.clear()
                show(run, stamped, state, as_json=as_json)
                progress.draw(state)
                is_done |= isinstance(stamped.event, RequestFinished) and stamped.event.number == number
    except KeyboardInterrupt:
        print(f"\n{detached(run)}", file=sys.stderr)  # noqa: T201
        return INTERRUPTED, follower.state
    progress.clear()
    state = follower.state
    if is_done:
        return 0, state
    if fault := next((each for each in state.request_faults if each.number == number), None):
        return fault.exit_code, state
    code, told = ended(run, state)
    if code:  # the run came to its end before the request's turn
        print("\n".join(told), file=sys.stderr)  # noqa: T201
    return code, state


def watch(run: RunDir, *, as_json: bool, skip_starts: int = 0) -> int:
    """Print a run until it is over; the run's exit code. Ctrl-C leaves it running and says so.

    What came before the supervisor number `skip_starts` + 1 took charge is not printed.
    """
    follower = _whole_or_end(run) if not as_json and not skip_starts else Follower.of(run)
    num_starts, was_going_on = 0, liveness(run) != "dead"
    try:
        for stamped, state in follower.follow():
            num_starts += isinstance(stamped.event, RunStarted)
            if num_starts > skip_starts:
                show(run, stamped, state, as_json=as_json)
    except KeyboardInterrupt:
        print(f"\n{detached(run)}", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    stream = sys.stderr if as_json else sys.stdout
    code, told = ended(run, follower.state)
    for line in told:
        print(line, file=stream, flush=True)
    if was_going_on and not as_json and sys.stdout.isatty():
        print(bell(os.environ), end="", flush=True)  # noqa: T201
    return code


def _whole_or_end(run: RunDir) -> Follower:
    """From the beginning, or from now on where nobody would read what came before."""
    num_bytes = num_event_bytes(run.events)
    if num_bytes <= LONG_HISTORY_BYTES:
        return Follower.of(run)
    follower = Follower.at_end(run)
    told = [
        f"(its {format_bytes(num_bytes)} of events so far are left out; `attach --json` prints them all)",
        *status_lines(follower.state, liveness(run), str(run.path)),
    ]
    for line in told:
        print(line, flush=True)  # noqa: T201
    return follower


def detached(run: RunDir) -> str:
    """The last line for somebody who leaves a run that goes on."""
    return f"detached; run {run.name} goes on. Watch it: {program()} attach {run.typed}"


def ended(run: RunDir, state: RunState) -> tuple[int, tuple[str, ...]]:
    """(exit code, last lines) of a run that nobody works on any more."""
    return exit_code(state), tuple(ending(state, str(run.path), str(run.log), program()))


def program() -> str:
    """How finetui is called from this shell: by its name, by the path it was called with, or through Python."""
    if shutil.which("finetui"):
        return "finetui"
    return f"{sys.executable} -m tui_app" if Path(sys.argv[0]).name == "__main__.py" else sys.argv[0]


def show(run: RunDir, stamped: Stamped, state: RunState, *, as_json: bool) -> None:
    """One event on the screen: its line of JSON, or its lines of text with the whole receipt where it has one."""
    if as_json:
        sys.stdout.write(encode(stamped).decode())
        sys.stdout.flush()
        return
    told = lines(stamped, state)
    if isinstance(stamped.event, DataReady):
        with contextlib.suppress(RunDirError):  # a copy of a run's folder may not have it yet
            receipt = Receipt.from_json(read_json(run.path / stamped.event.receipt_file))
            told = [f"   {printable(line)}" for line in receipt_lines(receipt)]
    for line in told:
        print(line, flush=True)  # noqa: T201


def exit_code(state: RunState) -> int:
    """The exit code that stands for how a run ended."""
    match state.final:
        case None:
            return DiedError.exit_code
        case RunFailed(exit_code=code):
            return code
        case RunStopped():
            return 7
        case _:
            return 0
