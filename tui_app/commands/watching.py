"""`finetui runs`, `status` and `attach`: looking at runs. Loads neither pydantic nor torch."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from typing import TYPE_CHECKING

from engine.errors import RecipeError, RunDirError
from engine.event_log import EventReader
from engine.first_look import LONG_HISTORY_BYTES, glimpse, num_event_bytes
from engine.liveness import liveness
from engine.run_dir import RunDir, list_runs
from engine.run_state import RunState, fold_all
from engine.units import format_bytes
from tui_app.newer_runs import tell_of_newer
from tui_app.plain import ago, one_line, standing, status_lines
from tui_app.runs.following import watch
from tui_app.runs.history import row_of

if TYPE_CHECKING:
    from engine.findings import Finding
    from tui_app.looks import Looks

PATIENCE_SECONDS = 2.5
"""A heartbeat is due every two seconds; watched for where no clocks can be compared."""


def chosen_run(options: argparse.Namespace) -> RunDir:
    """The run named, or the newest. Raises RunDirError."""
    if options.run is not None:
        return RunDir.open(options.run)
    runs = list_runs()
    if not runs:
        raise RunDirError("There is no run yet.", remedy="Start one: finetui replay demo-cpu")
    return runs[-1]


def runs(options: argparse.Namespace) -> int:
    if options.screen:
        looks = screen_for(options)
        from tui_app.screens.runs import run_history

        return run_history(looks, is_readonly=options.readonly)
    found = list_runs()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0  # a pipe gets whole lines
    for run in found:
        row = row_of(run)
        if options.json:
            print(json.dumps({"run": run.name, "phase": row.phase, "step": row.step, "path": str(run.path)}))
            continue
        steps = f"{row.step}/{row.max_steps}" if row.max_steps else "-"
        line = one_line(f"{run.name:<28} {row.phase:<12} {steps:>11}  {ago(row.updated_at):<16} {row.recipe}")
        print(f"{line[: width - 1]}…" if 0 < width < len(line) else line)
    if not found and not options.json:
        print("No runs yet. Start one: finetui replay demo-cpu")
    return 0


def status(options: argparse.Namespace) -> int:
    run = chosen_run(options)
    tell_of_newer(run)
    alive = liveness(run, patience=PATIENCE_SECONDS)  # looked at first: what a dead process wrote is then read below
    num_bytes = num_event_bytes(run.events)
    is_partial = num_bytes > LONG_HISTORY_BYTES
    state, found = studied(run, is_partial=is_partial)
    if state.started_at is None and alive == "dead" and not run.recipe.exists():
        raise RunDirError(
            f"{run.path} holds no run: neither a recipe nor an event.",
            means="Making it was cut off, by a crash of the machine perhaps; nothing was trained in it.",
            remedy="Remove that folder, and start the run again.",
        )
    if options.json:
        told = [dataclasses.asdict(each) for each in found]
        values = dataclasses.asdict(state) | {"phase": standing(state, alive), "liveness": alive, "path": str(run.path)}
        print(json.dumps(values | {"findings": told, "is_partial": is_partial}))
        return 0
    print("\n".join(status_lines(state, alive, str(run.path), found)))
    if is_partial:
        print(f"  read        both ends and some of the middle of {format_bytes(num_bytes)} of events; all of them:")
        print(f"              finetui report {run.typed}")
    return 0


def studied(run: RunDir, *, is_partial: bool) -> tuple[RunState, list[Finding]]:
    """How a run stands, and what stands out in its record.

    `is_partial`: from a first look at a long history; sums over steps are then those of the events looked at.
    """
    from engine.findings import findings
    from engine.run_trace import RunTrace

    state, trace = RunState(run=run.reference), RunTrace()
    for batch in [glimpse(run.events)] if is_partial else EventReader(run.events).batches():
        state = fold_all(batch, state)
        for stamped in batch:
            trace.add(stamped)
    return state, findings(state, trace)


def attach(options: argparse.Namespace) -> int:
    from tui_app.display import live_looks

    run = chosen_run(options)
    tell_of_newer(run)
    if looks := live_looks(options):
        from tui_app.screens.live import run_live

        return run_live(run, looks, is_readonly=options.readonly)
    return watch(run, as_json=options.json)


def screen_for(options: argparse.Namespace) -> Looks:
    """The terminal for a page that there is only as a screen. Raises FinetuiError where none can be drawn."""
    from tui_app.display import front_for, looks_for

    choice, terminal = front_for(options)
    if choice.front != "screens":
        raise RecipeError(
            f"This page needs a terminal to draw on. {choice.reason}",
            remedy="As text: finetui runs, and finetui status RUN for each.",
        )
    return looks_for(terminal, options)


COMMANDS = {"runs": runs, "status": status, "attach": attach}
