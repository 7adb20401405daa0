"""How a worker process ended, judged from its own last event and its exit code, never from hope.

Not here: what the supervisor does about it.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine import errors
from engine.event_log import EventReader
from engine.events import OomHit, TrainingEnded, WorkerFailed
from engine.run_dir import RunDir

NUM_LOG_LINES = 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """`kind` is completed, stopped, out_of_memory, failed or killed."""

    kind: str
    reason: str
    error: errors.FinetuiError


def outcome_of(run: RunDir, worker: int | str, exit_code: int) -> Outcome:
    """The outcome of an attempt (by number) or of another worker (by name)."""
    name = f"attempt-{worker}" if isinstance(worker, int) else worker
    failed: WorkerFailed | None = None
    ended: TrainingEnded | None = None
    oom: OomHit | None = None
    for stamped in EventReader(run.events).poll():
        if stamped.writer != name:
            continue
        match stamped.event:
            case WorkerFailed() as event:
                failed = event
            case TrainingEnded() as event:
                ended = event
            case OomHit() as event:
                oom = event
            case _:
                pass
    if ended:
        reason = oom.message if oom and ended.outcome == "out_of_memory" else ended.reason
        return Outcome(ended.outcome, reason, died(run, name, exit_code))
    if failed and exit_code > 0:
        return Outcome("failed", failed.happened, as_error(failed))
    reason = f"The process was killed by signal {-exit_code}." if exit_code < 0 else f"It ended with {exit_code}."
    return Outcome("killed", reason, died(run, name, exit_code))


def as_error(event: WorkerFailed) -> errors.FinetuiError:
    """The error that an event tells of, in its own class where it is one of ours."""
    error_type = getattr(errors, event.error, errors.FinetuiError)
    if not (isinstance(error_type, type) and issubclass(error_type, errors.FinetuiError)):
        error_type = errors.FinetuiError
    return error_type(event.happened, means=event.means, remedy=event.remedy)


def died(run: RunDir, name: str, exit_code: int) -> errors.DiedError:
    how = f"was killed by signal {-exit_code}" if exit_code < 0 else f"ended with exit code {exit_code}"
    hint = " Signal 9 without a word is often the kernel out of RAM." if exit_code == -9 else ""
    return errors.DiedError(
        f"The process {name} {how} without saying why.",
        means=f"Checkpoints written before are intact.{hint}",
        remedy=f"Look at {run.log_file(name)}; `finetui resume {run.reference}` goes on from the newest checkpoint.",
    )
