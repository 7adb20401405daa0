"""`finetui replay` and `resume`: starting runs, and watching them until they are over."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RunDirError
from engine.event_log import read_events
from engine.events import RunFinished, RunStarted
from engine.hardware import read_hardware
from engine.launcher import launch
from engine.liveness import liveness
from engine.plan import Plan
from engine.recipe import Recipe
from engine.replaying import differences, expectations
from engine.run_dir import RunDir, finetui_home, list_runs, read_json, write_atomic
from engine.starting import create_run, prospect, require_recipe_file
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
            return Source(Recipe.load(run.recipe, overrides=overrides), stem_of(run), run.path, run)
    path = Path(word).expanduser()
    if path.suffix != ".toml" and not path.exists() and "/" not in word:
        preset(word)  # raises, naming the nearest preset
    path = require_recipe_file(path)
    return Source(Recipe.load(path, overrides=overrides), path.stem, path.resolve().parent)


def stem_of(run: RunDir) -> str:
    stem, _, number = run.name.rpartition("-")
    return stem if stem and number.isdigit() else run.name


def replay(options: argparse.Namespace) -> int:
    source = source_of(options.source, options.set)
    found = prospect(source.recipe, read_hardware(), base_dir=source.base_dir)
    if options.dry_run:
        print("\n".join(plan_lines(found)))
        if found.missing_rows:
            raise found.missing_rows
        print("\n".join([*row_lines(found.recipe), "dry run: nothing was started"]))
        return 0
    if found.missing_rows:
        raise found.missing_rows
    rungs_from: Plan | None = None
    if source.run is not None:
        for difference in differences(source.run, found):
            print(f"differs from {source.run.name}: {difference}", file=sys.stderr)
        last = Plan.from_json(read_json(source.run.plan(source.run.latest_plan_number())))
        rungs_from = last if last.rungs and last.device == found.plan.device else None
    run = create_run(found, name=source.name, rungs_from=rungs_from)
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
