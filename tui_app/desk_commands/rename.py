"""`finetui rename RUN NAME`: another name for a run that is over. Its folder is renamed; nothing in it names it.

Not here: which names there are (`engine/run_names`).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from engine.errors import RunDirError
from engine.liveness import liveness, take_lock
from engine.queue.entries import Queue
from engine.run_dir import RunDir
from engine.run_names import require_free
from tui_app.plain import printable

HELP = "another name for a run that is over"
USAGE = "RUN NAME"


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="name, the beginning of one, or folder; - is the newest")
    parser.add_argument("name", metavar="RUN_NAME", help="letters, digits, '.', '_' and '-'")


def run(options: argparse.Namespace) -> int:
    found = RunDir.open(options.run)
    target = require_free(found.path.parent, options.name)
    state = liveness(found)
    if state != "dead":
        raise RunDirError(
            f"Run {found.name} is in use ({state}).",
            means="It was not renamed: its processes write into the folder by its name.",
            remedy=f"Wait for its end, or end it: finetui stop {found.typed}",
        )
    if named := [entry for entry in Queue.here().entries() if entry.run and Path(entry.run) == found.path]:
        raise RunDirError(
            f"Entry {named[0].number} of the queue stands for run {found.name}.",
            means="It was not renamed: the queue would lose its run.",
            remedy=f"Take the entry out first: finetui queue remove {named[0].number}",
        )
    lock = take_lock(found)
    if lock is None:
        raise RunDirError(f"Run {found.name} is being started.", means="It was not renamed.")
    try:
        found.path.rename(target)
    except OSError as fault:
        raise RunDirError(
            f"{found.path} cannot be renamed: {fault.strerror}.",
            means="It is as it was.",
            remedy="Make the folder around it writable.",
        ) from fault
    finally:
        os.close(lock)
    print(printable(f"{found.name} is {target.name} now"))
    return 0
