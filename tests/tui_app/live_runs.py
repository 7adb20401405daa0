"""Real run folders for tests of the live view, made from recorded runs; alive ones are in the charge of this process.

Not here: the recordings themselves (`tests/recorded`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engine.event_log import EventWriter, encode, read_events
from engine.events import FINAL_EVENTS, Event, Stamped, StepLogged
from engine.liveness import ProcessIdentity, announce
from engine.run_dir import RunDir, finetui_home

RECORDED = Path(__file__).parents[1] / "recorded" / "runs"


def recorded_run(name: str, *, called: str | None = None) -> RunDir:
    """A copy of a recorded run below this test's own home."""
    target = finetui_home() / "runs" / (called or name)
    shutil.copytree(RECORDED / name, target)
    for folder in ("control", "checkpoints", "answers"):
        (target / folder).mkdir(exist_ok=True)
    return RunDir(target)


def running_run(*, until: Callable[[Stamped], bool] | None = None, called: str = "going") -> RunDir:
    """A run in the middle of training, with this process as its supervisor. `until` says which event is left out."""
    run = recorded_run("finished", called=called)
    events = read_events(run.events)
    is_end = until or (lambda each: isinstance(each.event, StepLogged) and each.event.step > 16)
    kept = events[: next((number for number, each in enumerate(events) if is_end(each)), len(events))]
    rewrite(run, [each for each in kept if not isinstance(each.event, FINAL_EVENTS)])
    announce(run)
    return run


def let_die(run: RunDir) -> None:
    """Have the run's process be gone, as after a kill."""
    identity = ProcessIdentity.read(run.supervisor)
    assert identity is not None
    replace(identity, start_time=0).write(run.supervisor)


def rewrite(run: RunDir, events: list[Stamped]) -> None:
    """Make these the run's events."""
    for path in run.events.glob("*.jsonl"):
        path.unlink()
    for stamped in events:
        with run.event_file(stamped.writer).open("ab") as file:
            file.write(encode(stamped))


def append(run: RunDir, *events: Event, writer: str = "supervisor") -> None:
    """Write events as the run's processes do."""
    log = EventWriter(run.event_file(writer))
    for event in events:
        log.write(event)
    log.close()
