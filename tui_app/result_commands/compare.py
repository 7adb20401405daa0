"""`finetui compare`: runs side by side, on the whole screen, as text, or for programs."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.errors import RecipeError, RunDirError
from engine.run_dir import RunDir
from tui_app.newer_runs import tell_of_newer
from tui_app.screen_options import add_looks

if TYPE_CHECKING:
    from tui_app.runs.comparison import Side

HELP = "runs side by side: recipe, curves, scores, memory"
USAGE = "[OPTIONS] RUN|SWEEP RUN…"


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN|SWEEP", nargs="+", help="two or more; a sweep stands for all its runs")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--plain", action="store_true", help="as text, also on a terminal")
    form.add_argument("--json", action="store_true", help="one JSON object")
    form.add_argument("--csv", action="store_true", help="a line per run, for spreadsheets")
    add_looks(parser)


def run(options: argparse.Namespace) -> int:
    from tui_app.display import front_for, looks_for

    runs = chosen(options.runs)
    tell_of_newer(*runs)
    if options.json or options.csv:
        from tui_app.runs.comparison import Side

        sides = [Side(run).read_all() for run in runs]
        write_csv(sides) if options.csv else print(json.dumps(values(sides)))
        return 0
    choice, terminal = front_for(options)
    if choice.front != "screens":
        print(comparison(runs))
        return 0
    from tui_app.screens.compare import run_compare

    return run_compare(runs, looks_for(terminal, options))


def chosen(names: Sequence[str]) -> list[RunDir]:
    """The runs named, each once; the name of a sweep stands for its runs. Raises RunDirError, RecipeError."""
    from tui_app.runs.queueing import runs_of_sweep, sweep_names

    found: dict[str, RunDir] = {}
    for name in names:
        try:
            runs = [RunDir.open(name)]
        except RunDirError as fault:
            runs = runs_of_sweep(name)
            if not runs and name in sweep_names():
                raise RunDirError(
                    f"No run of the sweep {name!r} has started yet.", remedy="See: finetui queue list"
                ) from None
            if not runs and (sweeps := sweep_names()):
                remedy = f"{fault.remedy} Sweeps: {', '.join(sweeps[-5:])}."
                raise RunDirError(fault.happened, means=fault.means, remedy=remedy) from None
            if not runs:
                raise
        found |= {str(each.path): each for each in runs}
    if len(found) < 2:
        raise RecipeError(
            f"Only one run is named: {next(iter(found.values())).name}.",
            means="A comparison needs two at least.",
            remedy="Name another one; `finetui runs` lists them.",
        )
    return list(found.values())


def comparison(runs: Sequence[RunDir]) -> str:
    """The runs as text: what came of them, row by row differences, and what was asked differently."""
    from tui_app.drawing import plain_text
    from tui_app.glyphs import ASCII
    from tui_app.memory_table import columns
    from tui_app.runs.comparison import Side
    from tui_app.runs.comparison_table import difference_lines, facts_lines, pairing_lines
    from tui_app.runs.paired_answers import AnswerBook

    sides = [Side(run).read_all() for run in runs]
    width = columns()
    parts = [f"What came of them ({ASCII.done} marks the better)\n{plain_text(facts_lines(sides, width, ASCII))}"]
    if pairings := AnswerBook().pairings(runs):
        parts.append(f"Row by row\n{plain_text(pairing_lines(pairings, width))}")
    parts.append(f"What was asked differently\n{plain_text(difference_lines(sides, width, ASCII))}")
    return "\n\n".join(parts)


def values(sides: Sequence[Side]) -> dict[str, object]:
    """The comparison for programs: seconds, bytes, shares from 0 to 1."""
    from tui_app.runs.comparison import facts, recipe_differences
    from tui_app.runs.paired_answers import AnswerBook

    found = facts(sides)
    runs = [
        {
            "run": side.run.name,
            "path": str(side.run.path),
            "facts": {fact.name: fact.numbers[place] for fact in found},
            "intervals": {
                f"{score.variant} on {score.dataset}": [score.low, score.high] for score in side.state.scores
            },
            "best": [fact.name for fact in found if fact.is_best[place]],
        }
        for place, side in enumerate(sides)
    ]
    differing = [each.field for each in recipe_differences([side.recipe for side in sides])]
    pairings = AnswerBook().pairings([side.run for side in sides])
    return {
        "runs": runs,
        "differences": {name: [side.recipe.get(name) for side in sides] for name in differing},
        "row_by_row": [
            {"base": each.base, "other": each.other} | (dataclasses.asdict(each.found) if each.found else {})
            for each in pairings
        ],
    }


def write_csv(sides: Sequence[Side]) -> None:
    """A line per run on stdout: what was asked differently, then what came of it."""
    from tui_app.runs.comparison import facts, recipe_differences

    found = facts(sides)
    differing = recipe_differences([side.recipe for side in sides])
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["run", *(each.field for each in differing), *(fact.name for fact in found)])
    for place, side in enumerate(sides):
        numbers = ["" if fact.numbers[place] is None else fact.numbers[place] for fact in found]
        writer.writerow([side.run.name, *(each.values[place] for each in differing), *numbers])
