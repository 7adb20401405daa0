"""The edge of a worker process: tied to its supervisor, every escape turned into an event.

A worker runs inside `at_edge`, which is thick so that the inside can be thin. Not here: what workers do.
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from engine.errors import FinetuiError, RunDirError, kind_of
from engine.event_log import EventWriter
from engine.events import Event, RunFailed, WorkerFailed, clip
from engine.redaction import redact_streams

PR_SET_PDEATHSIG = 1
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
MAX_CAUSES = 8
"""How far back an exception is followed to what it was raised from."""


class Witness(Protocol):
    """Takes the event that a failure becomes: an event file's writer, or what stands for one."""

    def write(self, event: Event) -> None:
        """Keep it."""


def die_with_parent(parent_pid: int) -> None:
    """Be told by SIGTERM when the supervisor ends, however it ends: no orphan keeps the device."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGTERM)


def answer_in_lines(answers: Callable[[], Iterable[dict[str, Any]]]) -> int:
    """The body of a worker that is asked by another process: each answer is a JSON line on stdout, and so is a fault.

    Faults of ours end the lines with {"error": {happened, means, remedy, kind}}. Libraries may print: only answers go
    to the real stdout, everything else to stderr. Returns 0.
    """
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    redact_streams()
    warnings.simplefilter("ignore")
    with told:
        try:
            for answer in answers():
                print(json.dumps(answer), file=told, flush=True)
        except FinetuiError as fault:
            words = {"happened": fault.happened, "means": fault.means, "remedy": fault.remedy, "kind": kind_of(fault)}
            print(json.dumps({"error": words}), file=told)
    return 0


def refused_by_disk(fault: BaseException | None) -> RunDirError | None:
    """The error for a disk that took or gave no more, whichever library met it; None for any other fault."""
    for _ in range(MAX_CAUSES):
        if isinstance(fault, OSError) and fault.errno in DISK_FAULTS:
            what = fault.filename if isinstance(fault.filename, str) else "The disk"
            return RunDirError(
                f"{what} cannot be used: {os.strerror(fault.errno or 0)}.",
                means="What was being done is not kept; what was saved before is intact.",
                remedy="Make room on that disk, in bytes (`df -h`) or in files (`df -i`), or mend it; then "
                "`finetui resume` the run.",
            )
        fault = fault and (fault.__cause__ or fault.__context__)
    return None


def failure(fault: BaseException) -> WorkerFailed:
    """The event that tells a failure to its reader. A fault that is not ours is named, not explained."""
    if not isinstance(fault, FinetuiError):
        fault = refused_by_disk(fault) or fault
    if isinstance(fault, FinetuiError):
        return WorkerFailed(
            error=kind_of(fault),
            exit_code=fault.exit_code,
            happened=clip(fault.happened),
            means=clip(fault.means, 1400),
            remedy=clip(fault.remedy, 600),
        )
    return WorkerFailed(
        error=type(fault).__name__,
        exit_code=FinetuiError.exit_code,
        happened=clip(f"finetui hit an unexpected {type(fault).__name__}: {fault}"),
        means="This is a defect of finetui or of a library underneath; what was saved before is intact.",
        remedy="The traceback is in the run's log folder; please report it.",
    )


def at_edge(work: Callable[[], int], writer: Witness) -> int:
    """Run a worker's body; its exit code, or that of the failure it ended with."""
    redact_streams()
    try:
        return work()
    except Exception as fault:  # noqa: BLE001 - the process edge: whatever escapes becomes one last event
        traceback.print_exc()
        event = failure(fault)
        try:
            writer.write(event)
        except RunDirError as unwritable:  # a full disk also swallows the last word: the exit code has to say it
            return unwritable.exit_code
        return event.exit_code


def at_run_edge(work: Callable[[], int], writer: EventWriter) -> int:
    """`at_edge` for the supervisor: what escapes is the run's final event."""
    redact_streams()
    try:
        return work()
    except Exception as fault:  # noqa: BLE001 - the process edge: whatever escapes becomes the final event
        traceback.print_exc()
        event = RunFailed(**dataclasses.asdict(failure(fault)))
        try:
            writer.write(event)
        except RunDirError as unwritable:
            return unwritable.exit_code
        return event.exit_code


def started(main: Callable[[list[str]], int], arguments: list[str]) -> int:
    """The exit code of a process that writes to a run folder, also where it refuses before an edge could be drawn."""
    try:
        return main(arguments)
    except (RunDirError, OSError) as fault:
        print(fault, file=sys.stderr)  # noqa: T201 - goes to the log file
        return RunDirError.exit_code
