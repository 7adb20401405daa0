"""`finetui plan`, `presets` and `schema`: what would be done, before anything is."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.preparation import prepare
from engine.calibration import calibrated
from engine.cards import CARDS
from engine.data_request import data_request
from engine.errors import RecipeError
from engine.event_schema import event_schema
from engine.hardware import Hardware, emulate, read_hardware
from engine.memory import Predictor, closed_form
from engine.outlook import Outlook, outlook
from engine.recipe import Recipe
from engine.recipe import schema as recipe_schema
from engine.row_counts import counted_by, row_counts
from engine.row_lengths import RowLengths
from engine.run_dir import RunDir
from engine.starting import Prospect, prospect
from engine.step_specs import train_rows
from presets.matching import rank
from presets.preset import preset
from tui_app.memory_table import (
    card_lines,
    columns,
    heading,
    ladder_lines,
    longest_batch,
    longest_batch_reason,
    memory_lines,
    time_lines,
    value_line,
    wrapped,
)
from tui_app.plain import printable
from tui_app.plan_values import plan_values
from tui_app.predicting import predictor_for
from tui_app.recipe_source import Source, source_of


def plan(options: argparse.Namespace) -> int:
    source = source_of(options.source, options.set)
    if options.against:
        return against_all(options, source)
    hardware = hardware_for(options.device or options.vram)
    found = prospect(source.recipe, hardware, base_dir=source.base_dir)
    rows, rows_from = rows_of(found.recipe, source.base_dir, source.run, options)
    with told_predictor(found, options) as predictor:
        seen = outlook(found.recipe, hardware, found.shape, predictor, rows=rows, rows_from=rows_from)
    found = dataclasses.replace(found, plan=seen.plan)
    if options.json:
        print(json.dumps(as_json(found, seen)))
    else:
        print("\n".join([*map(printable, source.told()), *plan_lines(found, seen)]))
    return 0


def against_all(options: argparse.Namespace, source: Source) -> int:
    """The recipe on every card that is known by name."""
    here, recipe, base_dir, run = read_hardware(), source.recipe, source.base_dir, source.run
    found = prospect(recipe, here, base_dir=base_dir) if not here.gpus else None
    results: list[tuple[str, Outlook | str]] = []
    machines = [(card.key, emulate(here, card.key)) for card in CARDS]
    first = found or prospect(recipe, machines[0][1], base_dir=base_dir)
    rows, rows_from = rows_of(first.recipe, base_dir, run, options)
    look = functools.partial(outlook, rows=rows, rows_from=rows_from, with_rungs=False)
    with told_predictor(first, options) as predictor:
        for key, hardware in machines:
            try:
                results.append((key, look(first.recipe, hardware, first.shape, predictor)))
            except RecipeError as fault:
                problems = [line.strip() for line in fault.happened.splitlines()[1:] if line.strip()]
                results.append((key, f"cannot run: {(problems or [fault.happened])[0]}"))
    if options.json:
        for key, each in results:
            about = {"cannot_run": each} if isinstance(each, str) else as_json(first, each)
            print(json.dumps({"card": key, **about}))
        return 0
    method = next((each.plan.memory for _, each in results if not isinstance(each, str) and each.plan.memory), None)
    told = [first.recipe.title or "(untitled recipe)", *wrapped(f"memory, by {heading(method)}:" if method else "")]
    told += card_lines(results)
    if options.closed_form:
        told += wrapped("an estimate, which can be a third off; `finetui plan ... --device NAME` asks the dry run")
    print("\n".join(printable(line) for line in told))
    return 0


def hardware_for(card: str | None) -> Hardware:
    """This machine, or the same with another card in it; "cpu" leaves its cards out."""
    here = read_hardware()
    if card is None:
        return here
    if card.lower() == "cpu":
        return dataclasses.replace(here, gpus=(), gpu_note="planned for the CPU, as asked")
    return emulate(here, card)


def rows_of(
    recipe: Recipe, base_dir: Path, run: RunDir | None, options: argparse.Namespace
) -> tuple[RowLengths | None, str]:
    """(row lengths, where from): those that a run's preparation counted, or counted now where nothing is fetched."""
    if run is not None and (counted := counted_by(run, recipe)):
        return counted, f"counted by run {run.name}"
    tell("reading and tokenizing the rows (--closed-form skips it) ")
    found = row_counts(recipe, base_dir, may_count=not options.closed_form)
    clear()
    return found


@contextlib.contextmanager
def told_predictor(found: Prospect, options: argparse.Namespace) -> Iterator[Predictor | None]:
    """The predictor that the options ask for; each question to a dry run is told to a person who waits."""
    with predictor_for(found, wants_closed_form=options.closed_form, on_question=tell_of_dry_run) as predictor:
        yield predictor
    clear()


def tell_of_dry_run(number: int) -> None:
    """Each question to the dry run takes seconds."""
    tell(f"dry run {number} of a training step, without weights or a card (--closed-form skips it) ")


def tell(text: str) -> None:
    """A person who waits is told for what; a program is not."""
    if sys.stderr.isatty():
        print(f"\r{text}", end="", file=sys.stderr, flush=True)


def clear() -> None:
    """Take away what `tell` wrote."""
    if sys.stderr.isatty():
        print("\r" + " " * columns() + "\r", end="", file=sys.stderr, flush=True)


def as_json(found: Prospect, seen: Outlook) -> dict[str, Any]:
    """Everything that the text says, as one JSON object."""
    return {
        "plan": seen.plan.to_json(),
        "ladder": [each.to_json() for each in seen.rungs],
        "time": dataclasses.asdict(seen.time) if seen.time else None,
        "rows": rows_json(seen),
        "notes": found.notes,
    }


def rows_json(seen: Outlook) -> dict[str, Any]:
    """The largest micro-batch as (tokens, trained tokens) of each row, and whether rows were counted for it."""
    rows = seen.plan.rows
    return {
        "counted": rows is not None,
        "from": longest_batch_reason(seen),
        "num_rows": rows.num_rows if rows else None,
        "num_tokens": rows.num_tokens if rows else None,
        "longest_batch": train_rows(seen.plan),
    }


def plan_lines(found: Prospect, seen: Outlook | None = None) -> list[str]:
    """The plan as text: every value with its reason, memory by term, time, the ladder."""
    if seen is None:
        predictor = calibrated(closed_form(found.shape)) if found.shape else None
        rows, rows_from = row_counts(found.recipe, Path.cwd(), may_count=False)
        seen = outlook(found.recipe, found.hardware, found.shape, predictor, rows=rows, rows_from=rows_from)
    told = [
        *wrapped(found.recipe.title or "(untitled recipe)"),
        *value_lines(found),
        *value_line("longest batch", longest_batch(seen.plan), longest_batch_reason(seen)),
        *memory_lines(seen.plan),
        *time_lines(seen.time),
        *ladder_lines(seen, found.recipe.ladder),
    ]
    for note in (*seen.plan.notes, *found.notes):
        told += wrapped(f"note: {note}")
    return [printable(line) for line in told]


def value_lines(found: Prospect) -> list[str]:
    """Every value with where it comes from, a reason that is long and stands above already not again."""
    told, before = [], ""
    for value in plan_values(found):
        if value.name in ("model", "rows", "trained parameters"):
            told.append(f"  {value.name:<28} {value.text}")
            continue
        repeats = len(value.reason) > 40 and value.reason == before
        told += value_line(value.name, value.text, "as above" if repeats else value.reason)
        before = value.reason
    return told


def row_lines(recipe: Recipe) -> list[str]:
    """What a dry run finds in rows that need no download: splits, rejections, one row. Raises DataError."""
    if not recipe.data.dataset.startswith("generator:") and not Path(recipe.data.dataset).is_absolute():
        return ["rows: not read, they would have to be downloaded"]
    rows = prepare(data_request(recipe))
    told = [
        f"rows: {len(rows.train)} train, {len(rows.eval)} eval, {len(rows.test)} test; {len(rows.rejected)} rejected",
        f"  {rows.detection.format}: {rows.detection.reason}",
    ]
    told += [f"  rejected, line {each.line}: {each.reason}" for each in rows.rejected[:5]]
    for example in rows.train[:1]:
        told += [f"  asked     {example.request[:200]!r}", f"  trained   {example.answer[:200]!r}"]
    return [printable(piece) for line in told for piece in wrapped(line, indent=12)]


def presets(options: argparse.Namespace) -> int:
    if options.name:
        print(preset(options.name).text, end="")
        return 0
    for each in rank(read_hardware()):
        recipe = each.preset.recipe()
        if options.json:
            print(
                json.dumps(
                    {
                        "name": each.preset.name,
                        "title": recipe.title,
                        "verdict": each.verdict,
                        "reason": each.reason,
                        "hardware": recipe.hardware,
                    }
                )
            )
            continue
        print(f"{each.preset.name}: {recipe.title}\n  for   {recipe.hardware}\n  here  {each.verdict}: {each.reason}")
    return 0


def schema(options: argparse.Namespace) -> int:
    print(json.dumps(event_schema() if options.events else recipe_schema(), indent=2))
    return 0


COMMANDS = {"plan": plan, "presets": presets, "schema": schema}
