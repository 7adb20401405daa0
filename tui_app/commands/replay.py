"""`finetui replay` and `resume`: starting runs, and watching them until they are over."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RecipeError, RunDirError
from engine.event_log import read_events
from engine.events import RunFinished, RunStarted
from engine.hardware import Hardware, emulate, read_hardware
from engine.launcher import launch
from engine.liveness import liveness
from engine.recipe import Recipe
from engine.replaying import differences, expectations, recipe_of
from engine.run_dir import RunDir, finetui_home, list_runs, write_atomic
from engine.starting import create_run, prospect, require_recipe_file
from engine.units import MIB, format_bytes
from presets.preset import all_presets, preset
from tui_app.commands.planning import plan_lines, row_lines
from tui_app.commands.watching import state_of
from tui_app.following import watch


@dataclass(frozen=True, slots=True)
class Source:
    """What a word on the command line stood for."""

    recipe: Recipe
    name: str
    base_dir: Path
    run: RunDir | None = None


def source_of(word: str, overrides: list[str]) -> Source:
    """A preset's, a recipe file's or an earlier run's recipe. Raises RecipeError."""
    if word in {each.name for each in all_presets()}:
        return Source(preset(word).recipe(overrides), word, Path.cwd())
    for path in (finetui_home() / "runs" / word, Path(word)):
        if (path / "events").is_dir():
            run = RunDir(path.resolve())
            return Source(recipe_of(run, overrides), stem_of(run), run.path, run)
    path = Path(word).expanduser()
    if path.suffix != ".toml" and not path.exists() and "/" not in word:
        preset(word)  # raises, naming the nearest preset
    path = require_recipe_file(path)
    written_by = RunDir(path.resolve().parent)
    name = stem_of(written_by) if path.resolve() == written_by.settled else path.stem
    return Source(Recipe.load(path, overrides=overrides), name, path.resolve().parent)


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


def stem_of(run: RunDir) -> str:
    stem, _, number = run.name.rpartition("-")
    return stem if stem and number.isdigit() else run.name


def replay(options: argparse.Namespace) -> int:
    hardware, cap = rehearsed(options.vram) if options.vram else (read_hardware(), [])
    if cap and any(each.startswith("memory.limit") for each in options.set):
        raise RecipeError("--vram and --set memory.limit both cap the memory.", remedy="Give only one of them.")
    source = source_of(options.source, [*options.set, *cap])
    found = prospect(source.recipe, hardware, base_dir=source.base_dir)
    if options.dry_run:
        print("\n".join(plan_lines(found)))
        if found.missing_rows:
            raise found.missing_rows
        print("\n".join([*row_lines(found.recipe), "dry run: nothing was started"]))
        return 0
    if found.missing_rows:
        raise found.missing_rows
    if source.run is not None:
        for difference in differences(source.run, found):
            print(f"differs from {source.run.name}: {difference}", file=sys.stderr)
    run = create_run(found, name=source.name)
    if source.run is not None:
        expected = expectations(source.run, found.recipe, allow_changes=options.allow_changes)
        write_atomic(run.path / "expected.json", json.dumps(expected, indent=1))
    tell_of_others(run)
    launch(run)
    return started(run, options)


def tell_of_others(run: RunDir) -> None:
    """Two runs on one device slow each other down, and may not fit together."""
    for other in list_runs(run.path.parent):
        if other.path != run.path and liveness(other) == "alive":
            told = (
                f"run {other.name} is running too, so both will be slower; `finetui pause {other.reference}` holds it"
            )
            print(f"note: {told}", file=sys.stderr)


def resume(options: argparse.Namespace) -> int:
    run = RunDir.open(options.run)
    if isinstance(state_of(run).final, RunFinished):
        raise RunDirError(
            f"Run {run.name} is finished; there is nothing to go on with.",
            remedy=f"Do it again as a new run: finetui replay {run.reference}",
        )
    num_starts = sum(isinstance(stamped.event, RunStarted) for stamped in read_events(run.events))
    launch(run, resumed=True)
    return started(run, options, skip_starts=num_starts)


def started(run: RunDir, options: argparse.Namespace, *, skip_starts: int = 0) -> int:
    """Watch the started run, or say how to."""
    if not options.detach:
        return watch(run, as_json=options.json, skip_starts=skip_starts)
    if options.json:
        print(json.dumps({"run": run.name, "path": str(run.path)}))
    else:
        print(f"run {run.name} goes on by itself.\nWatch it: finetui attach {run.reference}")
    return 0


COMMANDS = {"replay": replay, "resume": resume}
