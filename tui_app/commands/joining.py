"""`finetui join`: this host takes part in a run that another host owns. Not here: how (`engine.ranks.member`)."""

from __future__ import annotations

import argparse
import signal
import subprocess
import time
from pathlib import Path

from engine.environment import child_environment, worker_command
from engine.errors import RecipeError, RunDirError
from engine.run_dir import RunDir
from tui_app.plain import printable

POLL_SECONDS = 0.5


def join(options: argparse.Namespace) -> int:
    """Take part until the run is over; its exit code. Raises RunDirError where that cannot be."""
    from engine.ranks.member import Member

    if not 0 <= options.wait < float("inf"):
        raise RecipeError(f"--wait {options.wait} is no number of seconds.", remedy="For example: --wait 600")
    if options.node_rank is not None and options.node_rank < 1:
        raise RecipeError(
            f"--node-rank {options.node_rank} is no place of another host.",
            remedy="The first host is 0 and owns the run; the others are 1, 2, …",
        )
    run = _opened(options.run, options.wait)
    if options.detach:
        return _detached(run, options)
    member = Member(
        run,
        lambda line: print(printable(line), flush=True),
        node_rank=options.node_rank,
        address=options.address or "",
        wait_seconds=options.wait,
    )
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: member.leave())
    return member.follow()


def _opened(reference: str, wait_seconds: float) -> RunDir:
    """The run, waited for: jobs of a scheduler begin on all hosts at once, and the first makes its folder."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return RunDir.open(reference)
        except RunDirError:
            if time.monotonic() > deadline or not Path(reference).is_absolute():
                raise
        time.sleep(POLL_SECONDS)


def _detached(run: RunDir, options: argparse.Namespace) -> int:
    words = [str(run.path), "--wait", str(options.wait)]
    words += ["--node-rank", str(options.node_rank)] if options.node_rank is not None else []
    words += ["--address", options.address] if options.address else []
    path = run.log_file("join")
    with path.open("ab") as log:
        subprocess.Popen(
            worker_command("tui_app", "join", *words),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=child_environment(),
        )
    print(f"This host takes part in {run.name} from now on; what happens is in {path}")
    return 0


COMMANDS = {"join": join}
