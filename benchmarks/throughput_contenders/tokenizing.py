"""The rows of a measurement as finetui's own preparation makes them of chats, for everyone to train on.

`python -m benchmarks.throughput_contenders.tokenizing RECIPE` prints the folder of a run that is prepared and no more.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from engine.event_log import EventWriter
from engine.hardware import read_hardware
from engine.recipe import Recipe
from engine.run_dir import RunDir
from engine.starting import create_run, prospect
from engine.training.prepare import prepare_run


def prepared(recipe: Path) -> RunDir:
    """A run whose rows and model are ready, and that nobody is in charge of."""
    found = prospect(Recipe.load(recipe), read_hardware(), base_dir=recipe.parent)
    run = create_run(found, name="tokenizing")
    prepare_run(run, EventWriter(run.event_file("prepare")))
    return run


def hand_out(source: Path, target: Path) -> None:
    """Prepared rows as JSON lines, which any Python reads."""
    import pyarrow.parquet as pq

    rows = pq.read_table(source, columns=["input_ids", "labels"]).to_pylist()
    target.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    print(prepared(Path(sys.argv[1])).path)
