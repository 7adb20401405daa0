"""Starting a supervisor so that it outlives whoever asked for it.

Own session, standard streams to files: a supervisor with an inherited pipe died in three of three hang-ups,
one with files in none. Not here: what it then does (`supervisor`), and commands to it (`control`).
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from dataclasses import dataclass

from engine.environment import child_environment, worker_command
from engine.errors import DiedError, RunDirError
from engine.liveness import liveness, supervisor_of
from engine.run_dir import RunDir
from engine.run_format import refuse_newer

START_SECONDS = 30.0
HELD = 75
"""Exit code of a supervisor that found the run held by another one; it has touched nothing."""
RIVAL_SECONDS = 5.0
"""Between taking the lock and telling of itself a supervisor takes a hundredth of a second, on a busy machine more."""


@dataclass(slots=True)
class Launched:
    """A started supervisor. `poll` reaps it if it was our child and has ended."""

    process: subprocess.Popen[bytes]

    def poll(self) -> int | None:
        return self.process.poll()


def launch(run: RunDir, *, resumed: bool = False, take_over: bool = False) -> Launched:
    """Start the run's supervisor and wait until it has taken charge.

    With `take_over` a silent supervisor on another host, which cannot be looked at from here, counts as gone.

    Raises RunDirError when another one is in charge or the folder cannot be written, DiedError when it ends before it
    took charge.
    """
    refuse_newer(run)
    state = liveness(run)
    if state != "dead" and not (take_over and state.startswith("unknown")):
        raise in_charge_already(run, state)
    process = _start(run, resumed=resumed)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        exit_code = process.poll()  # looked at first: what it wrote before it ended is then read below
        identity = supervisor_of(run)
        if identity is not None and identity.pid == process.pid:
            return Launched(process)
        if exit_code is not None:
            break
        time.sleep(0.02)
    if process.returncode == HELD and (rival := _rival(run)):
        raise in_charge_already(run, rival)
    if process.returncode == RunDirError.exit_code:
        raise RunDirError(
            f"The supervisor of run {run.name} could not write to {run.path}.",
            means="The disk is full, out of names or failing, or the folder may not be written to. Nothing was begun.",
            remedy=f"Free space there, then `finetui resume {run.typed}`; if it said more, that is in "
            f"{run.log_file('supervisor')}.",
        )
    if process.poll() is None:
        threading.Thread(target=process.wait, name=f"end of {run.name}", daemon=True).start()  # else it stays a zombie
        raise DiedError(
            f"The supervisor of run {run.name} has not taken charge within {START_SECONDS:.0f} s.",
            means="The machine is very busy, or the disk hangs. It may still begin.",
            remedy=f"See whether it did: finetui status {run.typed}. Its words are in {run.log_file('supervisor')}.",
        )
    raise DiedError(
        f"The supervisor of run {run.name} did not take charge.",
        means="The run was not started.",
        remedy=f"Its last words are in {run.log_file('supervisor')}.",
    )


def _rival(run: RunDir) -> str:
    """How alive another supervisor is that was quicker to the lock; empty where none tells of itself."""
    deadline = time.monotonic() + RIVAL_SECONDS
    while (state := liveness(run)) == "dead":
        if time.monotonic() > deadline:
            return ""
        time.sleep(0.02)
    return state


def _start(run: RunDir, *, resumed: bool) -> subprocess.Popen[bytes]:
    arguments = [str(run.path), *(["--resumed"] if resumed else [])]
    try:
        with run.log_file("supervisor").open("ab") as log:
            return subprocess.Popen(
                worker_command("engine.supervisor", *arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=run.path,
                env=child_environment(),
            )
    except OSError as fault:
        raise RunDirError(
            f"The supervisor of run {run.name} cannot be started: {fault.filename or run.path}: {fault.strerror}.",
            means="The run folder was removed, is damaged or cannot be written; nothing was started.",
            remedy="Put the folder back or free its disk, or start the run anew from its recipe.",
        ) from fault


def in_charge_already(run: RunDir, state: str) -> RunDirError:
    if state.startswith("as of "):
        return RunDirError(
            f"The folder of run {run.name} is a copy ({state}).",
            means="Whether the run goes on there cannot be told from here, and two of it would be two different runs.",
            remedy=f"Go on with it on its host; or start it anew here: finetui replay {run.recipe}",
        )
    return RunDirError(
        f"Run {run.name} is already running: it already has a supervisor ({state}).",
        means="Two would spoil each other's checkpoints.",
        remedy=f"Look at it with `finetui attach {run.typed}`, or end it with `finetui stop {run.typed}`.",
    )


def kill_group(pid: int, signal_number: int) -> None:
    """Send a signal to a worker's whole process group; gone already is fine."""
    try:
        os.killpg(pid, signal_number)
    except ProcessLookupError:
        return
