"""`finetui queue`: runs that wait for each other. They are run one after another, whatever became of the one before."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from engine.errors import RecipeError
from engine.queue import worker
from engine.queue.entries import Queue
from engine.run_dir import RunDir
from tui_app.plain import printable
from tui_app.runs.queueing import Standing, about_runner, accepted, entry_line, standing_of
from tui_app.screen_options import add_looks

HELP = "runs that wait for each other: one after another, on past failures"
USAGE = "add SOURCE | list | remove N | start | stop | clear"


def add(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(
        dest="action", metavar="ACTION", title="actions, each with --help", prog="finetui queue"
    )
    adding = actions.add_parser("add", help="put a preset, recipe file or run at the end, and start the queue")
    adding.add_argument("source", metavar="PRESET|RECIPE|RUN", help="preset name, recipe file, or run name or folder")
    adding.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override section.key")
    adding.add_argument("--name", default="", metavar="NAME", help="what its run is called")
    adding.add_argument("--hold", action="store_true", help="do not start the queue for it")
    adding.add_argument("--json", action="store_true", help="print the entry as one JSON object")
    listing = actions.add_parser("list", help="what waits, runs and is over; also without an action")
    listing.add_argument("--json", action="store_true", help="one JSON object")
    listing.add_argument("--screen", action="store_true", help="on the whole screen, kept up to date")
    add_looks(listing)
    removing = actions.add_parser("remove", help="take out an entry, or all that wait")
    removing.add_argument("which", metavar="N|all", help="its number, or all")
    actions.add_parser("start", aliases=["run"], help="start the queue, after a stop, a restart or --hold")
    stopping = actions.add_parser("stop", help="end the queue after the present run; what waits goes on waiting")
    stopping.add_argument("--now", action="store_true", help="end the present run too: it saves and can be resumed")
    actions.add_parser("clear", help="take out what is over; the runs themselves stay")
    parser.set_defaults(json=False, screen=False)


def run(options: argparse.Namespace) -> int:
    return ACTIONS[options.action or "list"](options)


def add_entry(options: argparse.Namespace) -> int:
    from engine.hardware import read_hardware

    queue = Queue.here()
    was_killed = worker.standing(queue) == "killed"
    (entry,) = queue.add([accepted(options.source, options.set, hardware=read_hardware(), name=options.name)])
    if not options.hold:
        worker.start(queue)
    if options.json:
        print(json.dumps(_values(standing_of(entry))))
        return 0
    if was_killed:
        print("The queue's process was gone" + ("." if options.hold else "; a new one works on it now."))
    before = sum(each.number < entry.number and not standing_of(each).is_over for each in queue.entries())
    place = f"{before} before it" if before else "it is next"
    print(printable(f"entry {entry.number}, {entry.name}: {place}. Later edits of {entry.source} do not change it."))
    if options.hold and worker.standing(queue) != "alive":
        print("The queue is not started: finetui queue start")
    return 0


def list_entries(options: argparse.Namespace) -> int:
    queue = Queue.here()
    if options.screen:
        from tui_app.commands.watching import screen_for

        looks = screen_for(options)
        from tui_app.screens.queue import run_queue

        return run_queue(looks)
    found = [standing_of(entry) for entry in queue.entries()]
    if options.json:
        told = {"runner": worker.standing(queue), "entries": [_values(each) for each in found]}
        print(json.dumps(told))
        return 0
    for each in found:
        print(printable(entry_line(each, 80, time.time())))
        if each.told:
            print(printable(f"      {each.told.splitlines()[0]}"))
    if not found:
        print("The queue is empty. Add to it: finetui queue add demo-cpu")
    else:
        print(printable(about_runner(queue, found)))
    return 0


def remove(options: argparse.Namespace) -> int:
    queue = Queue.here()
    if options.which == "all":
        gone = queue.clear(waiting=True)
        print(f"{len(gone)} waiting entries were taken out." if len(gone) != 1 else "1 waiting entry was taken out.")
        return 0
    if not options.which.isdecimal():
        raise RecipeError(
            f"{options.which!r} is no entry of the queue.",
            means="Nothing was removed.",
            remedy="Give its number, as `finetui queue list` shows it, or all.",
        )
    entry = queue.remove(int(options.which))
    kept = f" Its run {Path(entry.run).name} is kept." if entry.run else ""
    print(printable(f"entry {entry.number}, {entry.name}, was taken out.{kept}"))
    return 0


def start(_options: argparse.Namespace) -> int:
    queue = Queue.here()
    found = [standing_of(entry) for entry in queue.entries()]
    if not any(each.phase == "waiting" for each in found):
        print("Nothing waits in the queue, so nothing was started.")
        return 0
    is_new = worker.start(queue)
    print("The queue is worked on." if is_new else "The queue is worked on already.")
    print(printable(about_runner(queue, [standing_of(entry) for entry in queue.entries()])))
    return 0


def stop(options: argparse.Namespace) -> int:
    from engine import control

    queue = Queue.here()
    going = [entry for entry in queue.entries() if entry.is_going_on]
    if worker.standing(queue) == "alive":
        worker.ask_to_stop(queue)
        ends = "once the present run is over" if going and not options.now else "now"
        print(f"The queue ends {ends}; what waits goes on waiting: finetui queue start")
    elif not (going and options.now):
        print("Nobody works on the queue, so there is nothing to stop.")
    for entry in going:
        run = RunDir(Path(entry.run))
        if options.now:
            control.send(run, "stop")
            print(f"run {run.name} saves and ends; go on with it: finetui resume {run.typed}")
        else:
            print(f"run {run.name} goes on. Watch it: finetui attach {run.typed}")
    return 0


def clear(_options: argparse.Namespace) -> int:
    gone = Queue.here().clear(waiting=False)
    print(f"{len(gone)} ended entries were taken out; their runs are kept.")
    return 0


def _values(standing: Standing) -> dict[str, object]:
    entry, row = standing.entry, standing.row
    return {
        "number": entry.number,
        "name": entry.name,
        "state": standing.phase,
        "source": entry.source,
        "added": entry.added,
        "run": Path(entry.run).name if entry.run else None,
        "path": entry.run or None,
        "step": row.step if row else None,
        "max_steps": row.max_steps if row else None,
        "sweep": entry.sweep or None,
        "point": dict(entry.point),
        "fault": dict(entry.fault) or None,
        "told": standing.told,
    }


ACTIONS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "add": add_entry,
    "list": list_entries,
    "remove": remove,
    "start": start,
    "run": start,
    "stop": stop,
    "clear": clear,
}
