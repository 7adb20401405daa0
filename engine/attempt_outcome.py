"""How a worker process ended, judged from its own last event and its exit code, never from hope.

Not here: what the supervisor does about it.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from engine import errors
from engine.event_log import EventReader
from engine.events import (
    AttemptStarted,
    Event,
    ModelLoaded,
    OomHit,
    StepLogged,
    TrainingEnded,
    TrainingStarted,
    WorkerFailed,
)
from engine.plan import Plan
from engine.run_dir import RunDir

CRASHES = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`kind` is completed, stopped, out_of_memory, failed or killed. `oom`: what the attempt said of its OOM."""

    kind: str
    reason: str
    error: errors.FinetuiError
    oom: OomHit | None = None


def outcome_of(run: RunDir, worker: int | str, exit_code: int) -> Outcome:
    """The outcome of an attempt (by number) or of another worker (by name)."""
    name = f"attempt-{worker}" if isinstance(worker, int) else worker
    failed: WorkerFailed | None = None
    ended: TrainingEnded | None = None
    oom: OomHit | None = None
    for event in said_by(run, name):
        match event:
            case WorkerFailed():
                failed = event
            case TrainingEnded():
                ended = event
            case OomHit():
                oom = event
            case _:
                pass
    if ended:
        oom = oom if ended.outcome == "out_of_memory" else None
        return Outcome(ended.outcome, oom.message if oom else ended.reason, died(run, name, exit_code), oom)
    if failed and exit_code > 0:
        return Outcome("failed", failed.happened, as_error(failed))
    reason = f"The process was killed by signal {-exit_code}." if exit_code < 0 else f"It ended with {exit_code}."
    return Outcome("killed", reason, died(run, name, exit_code))


def silent_oom(run: RunDir, attempt: int, plan: Plan, exit_code: int, testimony: str) -> OomHit | None:
    """The OOM of an attempt that ended without a last word; None where nothing shows that it was one.

    `testimony`: what shows that the kernel killed it for its memory, empty for nothing (`kernel_kills`).
    """
    phase, step = last_seen(run, attempt)
    if exit_code == -signal.SIGKILL and testimony:
        return OomHit(attempt=attempt, phase=phase, step=step, message=testimony, cause="host")
    if crashed_under_cap(plan, exit_code):
        crash = f"The process fell over ({signal.Signals(-exit_code).name}) under the run's memory cap."
        return OomHit(attempt=attempt, phase=phase, step=step, message=crash, cause="cpu allocator")
    return None


def crashed_under_cap(plan: Plan, exit_code: int) -> bool:
    """Whether a capped CPU attempt fell over in code that does not check its allocations."""
    return plan.enforce_limit and plan.device == "cpu" and exit_code in CRASHES


def last_seen(run: RunDir, attempt: int) -> tuple[str, int]:
    """(phase, step) that an attempt was last heard of in: load, probe, first step or step."""
    phase, step = "load", 0
    for event in said_by(run, f"attempt-{attempt}"):
        match event:
            case AttemptStarted():
                step = event.resumed_from_step
            case ModelLoaded():
                phase = "probe"
            case TrainingStarted():
                phase = "first step"
            case StepLogged():
                phase, step = "step", event.step
            case _:
                pass
    return phase, step


def said_by(run: RunDir, name: str) -> list[Event]:
    """Every event of one worker, in order."""
    return [stamped.event for stamped in EventReader(run.events).poll() if stamped.writer == name]


def as_error(event: WorkerFailed) -> errors.FinetuiError:
    """The error that an event tells of, in its own class where it is one of ours."""
    error_type = getattr(errors, event.error, errors.FinetuiError)
    if not (isinstance(error_type, type) and issubclass(error_type, errors.FinetuiError)):
        error_type = errors.FinetuiError
    return error_type(event.happened, means=event.means, remedy=event.remedy)


def died(run: RunDir, name: str, exit_code: int) -> errors.DiedError:
    how = f"was killed by signal {-exit_code}" if exit_code < 0 else f"ended with exit code {exit_code}"
    hint = " Nothing shows that the kernel killed it for its memory." if exit_code == -signal.SIGKILL else ""
    return errors.DiedError(
        f"The process {name} {how} without saying why.",
        means=f"Checkpoints written before are intact.{hint}",
        remedy=f"Look at {run.log_file(name)}; `finetui resume {run.reference}` goes on from the newest checkpoint.",
    )
