"""The evaluation stage: every variant answers the same rows, each becomes a line of the result table.

Run as `python -P -m engine.evaluation.worker RUN_DIR SUPERVISOR_PID [REQUEST]`: without a request the recipe's own
stage, base and tuned model on the test split. Answers are stored row by row, so a stage that was ended goes on where it
was; of the own stage `answers/done.json` is written last. Not here: asking, judging and comparing.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from engine import requests
from engine.evaluation.answering import answers_of
from engine.evaluation.comparing import compare
from engine.evaluation.contenders import Contenders
from engine.evaluation.exam import exam, titled
from engine.evaluation.measuring import measured_sheet, scored
from engine.evaluation.request import OWN_ROWS, Asked, settings_of
from engine.evaluation.row_sets import RowSet, row_set
from engine.evaluation.variants import Variant, variants_of
from engine.event_log import EventWriter
from engine.events import WarningRaised
from engine.foreign_code import refuse_unconfirmed
from engine.recipe import Recipe
from engine.run_dir import RunDir, write_atomic
from engine.worker_edge import at_edge, die_with_parent


def evaluate(run: RunDir, writer: EventWriter, number: int | None = None) -> int:
    """Score every variant of the recipe, or of a request. Rows that cannot be scored are a warning, not a failure."""
    recipe = Recipe.load(run.recipe)
    asked = None if number is None else Asked.from_json(requests.read(run, number).arguments)
    refuse_unconfirmed(recipe.model_copy(update={"evaluation": settings_of(recipe, asked)}))
    rows = row_set(run, asked.rows if asked else OWN_ROWS, settings_of(recipe, asked).max_rows)
    what = "test rows" if rows.name == OWN_ROWS else "rows"
    if rows.num_left_out:
        told = f"{rows.num_left_out} of {rows.num_read} {what} ask nothing, so they are not scored."
        writer.write(WarningRaised(text=told))
    variants: list[Variant] = []
    if rows.rows:
        variants = variants_of(run, recipe, asked)
        if asked is not None and asked.force:
            forget(rows, variants, number or 0)
        score_all(run, recipe, asked, rows, variants, writer)
    elif rows.name == OWN_ROWS:
        writer.write(WarningRaised(text="The test split holds no row that can be scored: there is no result table."))
    else:
        writer.write(WarningRaised(text="None of the rows asks anything: there is no result table."))
    if asked is None:
        done = {"variants": [variant.name for variant in variants], "rows": len(rows.rows)}
        write_atomic(run.answers / "done.json", json.dumps(done))
    return 0


def score_all(
    run: RunDir, recipe: Recipe, asked: Asked | None, rows: RowSet, variants: list[Variant], writer: EventWriter
) -> None:
    """Every variant in turn, the base first, then each against the others."""
    from engine.training.capping import settle

    test = exam(run, recipe, asked, rows)
    if test.rows.num_refused:
        told = f"The model's chat template refuses {test.rows.num_refused} of the rows: not scored."
        writer.write(WarningRaised(text=told))
    settle(test.plan)
    contenders = Contenders(run, recipe, test.plan)
    sheets = []
    for listed in variants:
        variant = titled(listed, test, asked.num_examples if asked else None)
        sheet = measured_sheet(test, variant, answers_of(test, variant, contenders, writer))
        writer.write(scored(test, sheet))
        sheets.append(sheet)
    compare(test, sheets, writer)


def forget(rows: RowSet, variants: list[Variant], number: int) -> None:
    """Drop the answers that are to be given again; once for a request, however often it is taken up."""
    marker = rows.folder / f".forgotten-for-{number}"
    if marker.exists():
        return
    for variant in variants:
        (rows.folder / f"{variant.name}.jsonl").unlink(missing_ok=True)
        (rows.folder / f"{variant.name}.new").unlink(missing_ok=True)
    rows.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in rows.folder.glob(".forgotten-for-*"):
        old.unlink()
    marker.touch(mode=0o600)


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # answers are stored as they come: a stop ends the stage at once
    die_with_parent(int(arguments[1]))
    run = RunDir(Path(arguments[0]))
    writer = EventWriter(run.event_file("evaluate"))
    number = int(arguments[2]) if len(arguments) > 2 else None
    return at_edge(lambda: evaluate(run, writer, number), writer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
