"""How a worker process ended, judged from its own last event and its exit code, never from hope.

Not here: what the supervisor does about it.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace

from engine import errors
from engine.event_log import EventReader
from engine.events import (
    AttemptStarted,
    Event,
    ModelLoaded,
    OomHit,
    PeerLost,
    StepLogged,
    TrainingEnded,
    TrainingStarted,
    WorkerFailed,
)
from engine.plan import Plan
from engine.ranks.beats import writer_of
from engine.ranks.team import Failure, Team, failures_in
from engine.ranks.watching import writers
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
    if isinstance(worker, int) and len(writers(run, worker)) > 1:
        return outcome_of_ranks(run, worker, exit_code)
    name = writer_of(worker, 0) if isinstance(worker, int) else worker
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
    if exit_code == errors.RunDirError.exit_code:
        return unwritable(run, name)
    reason = f"The process was killed by signal {-exit_code}." if exit_code < 0 else f"It ended with {exit_code}."
    return Outcome("killed", reason, died(run, name, exit_code))


def outcome_of_ranks(run: RunDir, attempt: int, exit_code: int) -> Outcome:
    """The outcome of an attempt of several ranks: what rank 0 says of the end, else what the first to fail says.

    A rank that only lost another one says nothing of the reason.
    """
    name = writer_of(attempt, 0)
    for event in said_by(run, name):
        if isinstance(event, TrainingEnded) and event.outcome != "out_of_memory":
            return Outcome(event.outcome, event.reason, died(run, name, exit_code))
    told = [stamped.event for stamped in EventReader(run.events).poll() if stamped.writer in writers(run, attempt)]
    causes = [event for event in told if isinstance(event, OomHit | WorkerFailed)]
    match causes[:1]:
        case [OomHit() as oom]:
            return Outcome("out_of_memory", oom.message, died(run, name, exit_code), oom)
        case [WorkerFailed() as failed]:
            return Outcome("failed", failed.happened, as_error(failed))
    silent = silent_failure(run, attempt)
    if silent is not None and silent.exit_code == errors.RunDirError.exit_code:
        return unwritable(run, writer_of(attempt, silent.rank))
    if silent is not None:
        return Outcome("killed", silent.words(), died(run, writer_of(attempt, silent.rank), silent.exit_code))
    lost = [event for event in told if isinstance(event, PeerLost)]
    reason = f"Rank {lost[0].rank} lost the others: {lost[0].message}" if lost else f"It ended with {exit_code}."
    return Outcome("killed", reason, died(run, name, exit_code))


def unwritable(run: RunDir, name: str) -> Outcome:
    """Of a worker whose last word found no room: it ended with the exit code that says so (`worker_edge`)."""
    fault = errors.RunDirError(
        f"The process {name} could not write to {run.path}: the disk is full, or the folder cannot be written.",
        means="What was saved before is intact; starting it again would end the same way.",
        remedy=f"Free space on that disk, then `finetui resume {run.typed}`.",
    )
    return Outcome("failed", fault.happened, fault)


def with_team(outcome: Outcome, exit_code: int, team: Team) -> tuple[Outcome, int, str]:
    """The outcome with what the supervisor saw of the ranks: with it the exit code that decides, and a testimony.

    The testimony shows that the kernel killed a rank for its memory; empty for nothing.
    """
    if outcome.kind != "killed":
        return outcome, exit_code, ""
    if team.ended_because:
        return replace(outcome, reason=team.ended_because), exit_code, ""
    silent = silent_failure(team.run, team.number)
    return (outcome, silent.exit_code, team.testimony(silent)) if silent else (outcome, exit_code, "")


def silent_failure(run: RunDir, attempt: int) -> Failure | None:
    """The first rank that ended badly without a last word, as torchrun saw it; None where each said why."""
    for failure in failures_in(run.beats(attempt)):
        said = said_by(run, writer_of(attempt, failure.rank))
        if not any(isinstance(event, OomHit | WorkerFailed | PeerLost) for event in said):
            return failure
    return None


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
    for event in said_by(run, writer_of(attempt, 0)):
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
        remedy=f"Look at {run.log_file(name)}; `finetui resume {run.typed}` goes on from the newest checkpoint.",
    )


def stopped_request(title: str) -> errors.StoppedError:
    """What was asked of a finished run was stopped; the run itself was not."""
    return errors.StoppedError(
        f"Stopped: {title}.",
        means="The trained result, and what was made of it before, are as they were.",
        remedy="Ask for it again: what is up to date is not made twice.",
    )
