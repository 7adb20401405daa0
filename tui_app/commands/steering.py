"""`finetui stop`, `save`, `pause` and `continue`: commands to a running run, followed to their acknowledgement."""

from __future__ import annotations

import argparse
import contextlib
import time

from engine import control
from engine.control import Command
from engine.elsewhere import refuse_out_of_reach
from engine.errors import RunDirError
from engine.events import CommandAcknowledged
from engine.liveness import liveness
from engine.run_dir import RunDir, list_runs
from engine.run_state import RunState
from tui_app.commands.watching import chosen_run
from tui_app.plain import standing
from tui_app.runs.following import Follower

WAIT_SECONDS = 180.0
POLL_SECONDS = 0.1


def steered_run(options: argparse.Namespace) -> RunDir:
    """The run named; without a name the only one that runs, or the newest where none does.

    Raises RunDirError where several run: the newest is whichever began something last, and may be another than meant.
    """
    if options.run is None:
        going = [run for run in list_runs() if is_going_on(run)]
        if len(going) > 1:
            names = ", ".join(run.name for run in going)
            raise RunDirError(
                f"{len(going)} runs are going on: {names}.",
                means=f"Which of them is to {options.command} cannot be told. Nothing was sent.",
                remedy=f"Name one: finetui {options.command} {going[-1].typed}",
            )
        if going:
            return going[0]
    return chosen_run(options)


def is_going_on(run: RunDir) -> bool:
    """False also of a run whose folder is damaged: it is steered by its name, which says what is wrong with it."""
    with contextlib.suppress(RunDirError):
        return liveness(run) == "alive"
    return False


def steer(options: argparse.Namespace) -> int:
    """Send one command; by default wait until it is done. Raises RunDirError when nobody can obey it."""
    run = steered_run(options)
    if liveness(run) == "dead":
        raise RunDirError(
            f"Run {run.name} is not running, so it cannot {options.command}.",
            remedy=f"See how it stands: finetui status {run.typed}",
        )
    refuse_out_of_reach(run, options.command)
    follower = Follower.at_end(run)
    if follower.state.is_over:  # resumed this moment: its supervisor has not told of itself yet
        follower.state = RunState(run=run.reference)
    name = options.command
    was_asked = any(ack.command == "stop" for ack in current_acks(follower)) or control.is_waiting(run, "stop")
    if name == "stop" and was_asked:
        name = "abort"
        print("a stop was already asked for: ending the run at once")
    sent = control.send(run, name)
    print(f"{name}: sent to {run.name}")
    if options.no_wait:
        return 0
    return wait_for(run, follower, sent)


def current_acks(follower: Follower) -> tuple[CommandAcknowledged, ...]:
    """Acknowledgements of the present supervisor; none once the run is over."""
    return () if follower.state.is_over else follower.state.commands


def wait_for(run: RunDir, follower: Follower, sent: Command) -> int:
    """Print each acknowledgement as it comes. 0 when done, 9 when refused or not answered in time."""
    ends_run = sent.command in ("stop", "abort")
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        alive = liveness(run)
        for stamped, state in follower.catch_up():
            event = stamped.event
            if isinstance(event, CommandAcknowledged) and event.command_id == sent.command_id:
                print(f"{sent.command}: {event.status}{', ' + event.reason if event.reason else ''}")
                if event.status == "refused":
                    return RunDirError.exit_code
                if event.status == "done" and not ends_run:
                    return 0
            if ends_run and state.is_over and alive == "dead":
                break
        if alive == "dead":
            kept = getattr(follower.state.final, "kept", "")
            phase = standing(follower.state, alive)
            print(f"run {run.name} is over ({phase}){'; kept: ' + kept if kept else ''}")
            if phase in ("stopped", "died", "failed"):
                print(f"Go on with: finetui resume {run.typed}")
            return 0 if ends_run else RunDirError.exit_code
        time.sleep(POLL_SECONDS)
    raise RunDirError(
        f"Run {run.name} has not obeyed {sent.command} within {WAIT_SECONDS:.0f} s.",
        means="It is between two steps that take long, or it hangs. The command stays there.",
        remedy=f"Watch it: finetui attach {run.typed}. A second `finetui stop` of it ends it at once.",
    )


COMMANDS = dict.fromkeys(("stop", "save", "pause", "continue"), steer)
