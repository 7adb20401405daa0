"""`finetui replay` and `resume`: starting runs, and watching them until they are over."""

from __future__ import annotations

import argparse
import json
import sys

from engine.beginning import begin
from engine.errors import RecipeError, RunDirError
from engine.hardware import Hardware, emulate, read_hardware
from engine.launcher import launch
from engine.run_dir import RunDir, runs_root
from engine.run_names import require_free
from engine.salvage import result_fault
from engine.starting import prospect
from engine.units import MIB, format_bytes
from tui_app.commands.planning import plan_lines, row_lines
from tui_app.display import live_looks
from tui_app.plain import printable
from tui_app.recipe_source import source_of
from tui_app.runs.following import num_starts_of, watch
from tui_app.runs.history import row_of


def rehearsed(card: str) -> tuple[Hardware, list[str]]:
    """(the machine to plan for, what to set in the recipe) so that a run has no more memory than `card` has.

    On a machine with a card the run computes as the smaller one would and PyTorch may take only its share; without
    one the process's RAM is capped. The cap is written into the recipe. Raises RecipeError where the machine has
    less than `card`.
    """
    here = read_hardware()
    small = emulate(here, card).best_gpu
    assert small is not None
    real = here.best_gpu
    available, what = (real.free_bytes, "VRAM") if real else (here.ram_available_bytes, "RAM")
    if small.free_bytes > available:
        raise RecipeError(
            f"--vram {card} stands for {format_bytes(small.free_bytes)}; {format_bytes(available)} of {what} are free.",
            means="A smaller card can be rehearsed here, a larger one cannot.",
            remedy=f"Only plan for it: finetui plan … --vram {card}",
        )
    cap = [f"memory.limit={small.free_bytes // MIB}MiB"]
    return (emulate(here, card) if real else here), cap


def replay(options: argparse.Namespace) -> int:
    hardware, cap = rehearsed(options.vram) if options.vram else (read_hardware(), [])
    if cap and any(each.startswith("memory.limit") for each in options.set):
        raise RecipeError("--vram and --set memory.limit both cap the memory.", remedy="Give only one of them.")
    source = source_of(options.source, [*options.set, *cap])
    if options.name:  # known at once, not once the plan is made
        require_free(runs_root(source.recipe.run.root), options.name)
    found = prospect(source.recipe, hardware, base_dir=source.base_dir)
    if options.dry_run:
        print("\n".join([*source.told(), *plan_lines(found)]))
        if found.missing_rows:
            raise found.missing_rows
        print("\n".join([*row_lines(found.recipe), "dry run: nothing was started"]))
        return 0
    for line in source.told():
        print(printable(line), file=sys.stderr)
    run = begin(
        found,
        name=source.name,
        tell=lambda text: print(text, file=sys.stderr),
        called=options.name,
        earlier=source.run,
        allow_changes=options.allow_changes,
    )
    return started(run, options)


def resume(options: argparse.Namespace) -> int:
    run = RunDir.open(options.run)
    if row_of(run).phase == "finished" and not result_fault(run.adapter):
        raise RunDirError(
            f"Run {run.name} is finished; there is nothing to go on with.",
            remedy=f"Do it again as a new run: finetui replay {run.typed}",
        )
    num_starts = num_starts_of(run)
    launch(run, resumed=True, take_over=options.take_over)
    return started(run, options, skip_starts=num_starts)


def started(run: RunDir, options: argparse.Namespace, *, skip_starts: int = 0) -> int:
    """Watch the started run on the screen or line by line, or say how to."""
    if not options.detach:
        if looks := live_looks(options):
            from tui_app.screens.live import run_live

            return run_live(run, looks)
        return watch(run, as_json=options.json, skip_starts=skip_starts)
    if options.json:
        print(json.dumps({"run": run.name, "path": str(run.path)}))
    else:
        print(f"run {run.name} goes on by itself.\nWatch it: finetui attach {run.typed}")
    return 0


COMMANDS = {"replay": replay, "resume": resume}
