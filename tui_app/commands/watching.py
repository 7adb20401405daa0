"""`finetui runs`, `status` and `attach`: looking at runs. Loads neither pydantic nor torch."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING

from engine.errors import RecipeError, RunDirError
from engine.liveness import liveness
from engine.run_dir import RunDir, list_runs
from engine.run_state import RunState
from tui_app.plain import ago, printable, standing, status_lines
from tui_app.runs.following import Follower, watch

if TYPE_CHECKING:
    from engine.findings import Finding
    from tui_app.looks import Looks


def chosen_run(options: argparse.Namespace) -> RunDir:
    """The run named, or the newest. Raises RunDirError."""
    if options.run is not None:
        return RunDir.open(options.run)
    runs = list_runs()
    if not runs:
        raise RunDirError("There is no run yet.", remedy="Start one: finetui replay demo-cpu")
    return runs[-1]


def state_of(run: RunDir) -> RunState:
    follower = Follower.of(run)
    follower.catch_up()
    return follower.state


def runs(options: argparse.Namespace) -> int:
    if options.screen:
        looks = screen_for(options)
        from tui_app.screens.runs import run_history

        return run_history(looks, is_readonly=options.readonly)
    found = [(run, state_of(run)) for run in list_runs()]
    for run, state in found:
        try:
            phase = standing(state, liveness(run))
        except RunDirError:
            phase = "damaged"
        if options.json:
            print(json.dumps({"run": run.name, "phase": phase, "step": state.step, "path": str(run.path)}))
            continue
        steps = f"{state.step}/{state.max_steps}" if state.max_steps else "-"
        print(printable(f"{run.name:<28} {phase:<12} {steps:>11}  {ago(state.updated_at):<16} {state.recipe}"))
    if not found and not options.json:
        print("No runs yet. Start one: finetui replay demo-cpu")
    return 0


def status(options: argparse.Namespace) -> int:
    run = chosen_run(options)
    alive = liveness(run)  # looked at first: what a dead process wrote is then read below
    state, found = studied(run)
    if options.json:
        told = [dataclasses.asdict(each) for each in found]
        values = dataclasses.asdict(state) | {"phase": standing(state, alive), "liveness": alive, "path": str(run.path)}
        print(json.dumps(values | {"findings": told}))
        return 0
    print("\n".join(status_lines(state, alive, str(run.path), found)))
    return 0


def studied(run: RunDir) -> tuple[RunState, list[Finding]]:
    """How a run stands, and what stands out in its record."""
    from engine.findings import findings
    from engine.run_trace import RunTrace

    follower, trace = Follower.of(run), RunTrace()
    for stamped, _ in follower.catch_up():
        trace.add(stamped)
    return follower.state, findings(follower.state, trace)


def attach(options: argparse.Namespace) -> int:
    from tui_app.display import live_looks

    run = chosen_run(options)
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
