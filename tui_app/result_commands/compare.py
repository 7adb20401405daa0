"""`finetui compare`: runs side by side, on the whole screen or as text."""

from __future__ import annotations

import argparse

from engine.run_dir import RunDir
from tui_app.screen_options import add_looks

HELP = "runs side by side: recipe, curves, scores, memory"
USAGE = "[OPTIONS] RUN RUN"


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs=2, help="name or folder")
    add_looks(parser)


def run(options: argparse.Namespace) -> int:
    from tui_app.display import front_for, looks_for

    left, right = (RunDir.open(name) for name in options.runs)
    choice, terminal = front_for(options)
    if choice.front != "screens":
        print(comparison(left, right))
        return 0
    from tui_app.screens.compare import run_compare

    return run_compare(left, right, looks_for(terminal, options))


def comparison(left: RunDir, right: RunDir) -> str:
    """Two runs as text: what came of them, and what was asked differently."""
    from tui_app.drawing import plain_text
    from tui_app.glyphs import ASCII
    from tui_app.memory_table import columns
    from tui_app.runs.comparison import Side, difference_lines, facts_lines

    sides = Side(left), Side(right)
    for side in sides:
        while side.catch_up(float("inf")):
            pass
    width = columns()
    facts = plain_text(facts_lines(*sides, width, ASCII))
    differences = plain_text(difference_lines(*sides, width, ASCII))
    return f"What came of them ({ASCII.done} marks the better)\n{facts}\n\nWhat was asked differently\n{differences}"
