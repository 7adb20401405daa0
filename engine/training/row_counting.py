"""A worker that reads and tokenizes a recipe's rows, only to tell how long they are: nothing is fetched or written.

Run as `python -P -m engine.training.row_counting MODEL PARENT_PID` with the recipe, its paths absolute, on stdin. MODEL
is a folder with a tokenizer or a .gguf file. One JSON line comes out: {"row_lengths", "eval_row_lengths"} as
`prepared.json` has them, or {"error"}. Not here: who asks and what is kept (`engine.row_counts`), and the stage of a
run that does the same (`prepare`).
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from data.preparation import prepare
from engine.data_request import data_request
from engine.errors import FinetuiError
from engine.recipe import Recipe
from engine.row_lengths import LengthCounter
from engine.training.prepare import lengths_of, render_splits, renderer_for
from engine.worker_edge import die_with_parent


def count(recipe: Recipe, model: Path) -> dict[str, Any]:
    """The lengths of the train rows and, where there are any, of the eval rows. Raises DataError or ModelError."""
    rows = prepare(data_request(recipe))
    counted = {"train": LengthCounter(), "eval": LengthCounter()}
    renderer = renderer_for(recipe, model)
    render_splits(rows, renderer, lambda name, row: counted[name].add(len(row.input_ids), row.num_trained))
    return lengths_of(counted)


def answer(text: str, model: Path) -> dict[str, Any]:
    """What `count` finds, or the fault in words. A fault that is not ours ends the process with a traceback."""
    try:
        return count(Recipe.parse(text), model)
    except FinetuiError as fault:
        return {"error": {"happened": fault.happened, "means": fault.means, "remedy": fault.remedy}}


def main(arguments: list[str]) -> int:
    die_with_parent(int(arguments[1]))
    # Libraries may print: only the answer goes to the real stdout.
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    with told:
        told.write(json.dumps(answer(sys.stdin.read(), Path(arguments[0]))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
