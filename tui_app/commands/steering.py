"""`finetui stop`, `save`, `pause` and `continue`: commands to a running run, followed to their acknowledgement."""

from __future__ import annotations

import argparse
import time

from engine import control
from engine.control import Command
from engine.elsewhere import refuse_out_of_reach
from engine.errors import RunDirError
from engine.events import CommandAcknowledged
from engine.liveness import liveness
from engine.run_dir import RunDir
from engine.run_state import RunState
from tui_app.commands.watching import chosen_run
from tui_app.runs.following import Follower

WAIT_SECONDS = 180.0
POLL_SECONDS = 0.1


def steer(options: argparse.Namespace) -> int:
    """Send one command; by default wait until it is done. Raises RunDirError when nobody can obey it."""
    run = chosen_run(options)
    if liveness(run) == "dead":
        raise RunDirError(
            f"Run {run.name} is not running, so it cannot {options.command}.",
            remedy=f"See how it stands: finetui status {run.reference}",
        )
    refuse_out_of_reach(run, options.command)
    follower = Follower.at_end(run)
    if follower.state.is_over:  # resumed this moment: its supervisor has not told of itself yet
        follower.state = RunState(run=run.reference)
    name = options.command
    if name == "stop" and (stop_is_pending(run) or any(ack.command == "stop" for ack in current_acks(follower))):
        name = "abort"
        print("a stop was already asked for: ending the run at once")
    sent = control.send(run, name)
    print(f"{name}: sent to {run.name}")
    if options.no_wait:
        return 0
    return wait_for(run, follower, sent)


def stop_is_pending(run: RunDir) -> bool:
    return any('"stop"' in path.read_text() for path in run.control.glob("*.json"))


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
            print(f"run {run.name} is over ({follower.state.phase}){'; kept: ' + kept if kept else ''}")
            if follower.state.phase == "stopped":
                print(f"Go on with: finetui resume {run.reference}")
            return 0 if ends_run else RunDirError.exit_code
        time.sleep(POLL_SECONDS)
    raise RunDirError(
        f"Run {run.name} has not obeyed {sent.command} within {WAIT_SECONDS:.0f} s.",
        means="It is between two steps that take long, or it hangs. The command stays there.",
        remedy=f"Watch it: finetui attach {run.reference}. A second `finetui stop` of it ends it at once.",
    )


COMMANDS = dict.fromkeys(("stop", "save", "pause", "continue"), steer)
