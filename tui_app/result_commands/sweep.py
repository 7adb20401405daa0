"""`finetui sweep`: a recipe once for every point of a grid, one run after another through the queue."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import RecipeError, RunDirError, StoppedError
from engine.grid import MAX_POINTS, Point, parse_axis, points
from engine.queue import worker
from engine.queue.entries import Entry, Queue
from tui_app.plain import printable
from tui_app.runs.following import INTERRUPTED, exit_code, program

if TYPE_CHECKING:
    from tui_app.runs.sweep_table import PointResult

HELP = f"a recipe once for each combination of values, one after another; {MAX_POINTS} at most"
USAGE = "[OPTIONS] PRESET|RECIPE|RUN --grid KEY=VALUE,VALUE…"
POLL_SECONDS = 0.5


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="PRESET|RECIPE|RUN", help="what is carried out with each combination")
    parser.add_argument(
        "--grid", action="append", required=True, metavar="KEY=V,V…", help="a field and its values; may be repeated"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override section.key in all")
    parser.add_argument("--name", default="", metavar="NAME", help="of the sweep; its runs' names begin with it")
    parser.add_argument("--dry-run", action="store_true", help="check and list all points, start nothing")
    parser.add_argument("--detach", action="store_true", help="return once the queue works on it")
    parser.add_argument("--json", action="store_true", help="print the table as one JSON object")


def run(options: argparse.Namespace) -> int:
    from engine.hardware import read_hardware
    from tui_app.runs.queueing import accepted_points

    grid = points([parse_axis(text) for text in options.grid])
    refuse_twice(options, grid)
    sweep = free_name(options.name or f"{Path(options.source).stem}-sweep", is_given=bool(options.name))
    entries = accepted_points(
        options.source, options.set, grid, hardware=read_hardware(), name=options.name, sweep=sweep
    )
    if options.dry_run:
        return told_only(options, sweep, grid, entries)
    queue = Queue.here()
    entries = queue.add(entries)
    worker.start(queue)
    print(f"sweep {sweep}: {len(entries)} runs, one after another.", file=sys.stderr)
    if options.detach:
        if options.json:
            print(json.dumps({"sweep": sweep, "entries": [entry.number for entry in entries]}))
        else:
            print(f"It goes on by itself. See it: {program()} queue list, {program()} compare {sweep}")
        return 0
    try:
        follow(queue, [entry.number for entry in entries])
    except KeyboardInterrupt:
        print(
            f"\ndetached; sweep {sweep} goes on. See it: {program()} queue list, {program()} compare {sweep}",
            file=sys.stderr,
        )
        return INTERRUPTED
    return ended(queue, sweep, [entry.number for entry in entries], as_json=options.json)


def refuse_twice(options: argparse.Namespace, grid: Sequence[Point]) -> None:
    """A field is either the same in all points or not."""
    fields = {field for field, _ in grid[0].values}
    twice = sorted(fields & {each.partition("=")[0].strip() for each in options.set})
    if twice or "run.name" in fields:
        raise RecipeError(
            f"{', '.join(twice)} stands in --set and in --grid." if twice else "run.name cannot be swept over.",
            means="Nothing was started.",
            remedy="Leave it out of one of them." if twice else "Runs of a sweep are named after their points.",
        )


def free_name(wanted: str, *, is_given: bool) -> str:
    """The sweep's name. Raises RecipeError for one that was asked for and is taken."""
    from tui_app.runs.queueing import sweep_names

    taken = set(sweep_names())
    if wanted not in taken:
        return wanted
    if is_given:
        raise RecipeError(
            f"There is a sweep {wanted!r} already.",
            means="Nothing was started.",
            remedy=f"Choose another name; its runs: finetui compare {wanted}",
        )
    return next(name for number in range(2, 100_000) if (name := f"{wanted}-{number}") not in taken)


def told_only(options: argparse.Namespace, sweep: str, grid: Sequence[Point], entries: Sequence[Entry]) -> int:
    if options.json:
        found = [{"name": entry.name, "point": dict(entry.point)} for entry in entries]
        print(json.dumps({"sweep": sweep, "points": found}))
        return 0
    for point, entry in zip(grid, entries, strict=True):
        print(printable(f"{entry.name:<40} {point.label}"))
    print(f"dry run: {len(entries)} points are sound; nothing was started")
    return 0


def follow(queue: Queue, numbers: Sequence[int]) -> None:
    """Tell each change of a point's state until none is left to wait for, or nobody works on the queue any more."""
    from tui_app.runs.queueing import standing_of

    before: dict[int, str] = {}
    while True:
        is_worked_on = worker.standing(queue) == "alive"  # looked at first: what it did before its end is read below
        standings = [standing_of(queue.read(number)) for number in numbers]
        for each in standings:
            if before.get(each.entry.number) != each.phase:
                before[each.entry.number] = each.phase
                if each.phase != "waiting":
                    told = f" ({each.told.splitlines()[0]})" if each.told else ""
                    name = Path(each.entry.run).name or each.entry.name
                    print(printable(f"{name}: {each.phase}{told}"), file=sys.stderr, flush=True)
        is_over = all(each.is_over for each in standings)
        if is_over or (not is_worked_on and not any(each.entry.is_going_on for each in standings)):
            return
        time.sleep(POLL_SECONDS)


def ended(queue: Queue, sweep: str, numbers: Sequence[int], *, as_json: bool) -> int:
    """Print the table; 0 if every point finished, else the exit code of the first that did not."""
    from tui_app.memory_table import columns
    from tui_app.runs.sweep_table import result_of, sweep_lines, values

    results = [result_of(queue.read(number)) for number in numbers]
    if as_json:
        print(json.dumps({"sweep": sweep} | values(results)))
    else:
        print("\n".join(printable(line) for line in sweep_lines(results, columns())))
        print(f"Side by side: {program()} compare {sweep}")
    waiting = [each for each in results if each.standing.phase == "waiting"]
    if waiting:
        print(f"{len(waiting)} points still wait: {program()} queue start", file=sys.stderr)
    return next((code for each in results if (code := exit_code_of(each)) != 0), 0)


def exit_code_of(result: PointResult) -> int:
    """0 for a finished point, else the code that its run or its start failed with; 7 for one that still waits."""
    if result.standing.phase == "finished":
        return 0
    if result.standing.entry.fault:
        return int(result.standing.entry.fault.get("exit_code", 1))
    if result.standing.phase == "waiting":
        return StoppedError.exit_code
    return exit_code(result.side.state) if result.side is not None else RunDirError.exit_code
