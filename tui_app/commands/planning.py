"""`finetui plan`, `presets` and `schema`: what would be done, before anything is."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from data.preparation import prepare
from engine.data_request import data_request
from engine.hardware import emulate, read_hardware
from engine.ladder import ladder
from engine.memory import trainable_parameters
from engine.recipe import Recipe
from engine.recipe import schema as recipe_schema
from engine.starting import Prospect, prospect
from engine.units import format_bytes
from presets.matching import rank
from presets.preset import preset
from tui_app.plain import printable

SHOWN = (
    *("device_name", "dtype", "autocast", "attn_implementation", "method", "r", "lora_alpha", "target_modules"),
    *("use_rslora", "use_dora", "max_length", "per_device_train_batch_size", "gradient_accumulation_steps"),
    *("gradient_checkpointing", "padding_free", "optim", "num_threads"),
)
TRAINING = ("max_steps", "num_train_epochs", "learning_rate", "lr_scheduler_type", "warmup_steps", "save_steps", "seed")


def plan(options: argparse.Namespace) -> int:
    from tui_app.commands.replay import source_of

    source = source_of(options.source, options.set)
    hardware = read_hardware()
    if options.vram:
        hardware = emulate(hardware, options.vram)
    found = prospect(source.recipe, hardware, base_dir=source.base_dir)
    if options.json:
        print(json.dumps({"plan": found.plan.to_json(), "notes": found.notes}))
    else:
        print("\n".join(plan_lines(found)))
    return 0


def plan_lines(found: Prospect) -> list[str]:
    """The plan as text: every value with its reason, memory by term, the ladder."""
    told = [found.recipe.title or "(untitled recipe)", *value_lines(found), *memory_lines(found), *ladder_lines(found)]
    told += [f"note: {note}" for note in (*found.plan.notes, *found.notes)]
    return [printable(line) for line in told]


def value_lines(found: Prospect) -> list[str]:
    """Every value with where it comes from: the plan's reason, the recipe, or finetui's default."""
    chosen, recipe = found.plan, found.recipe
    reasons = {"device_name": dict(chosen.reasons).get("device", "")} | dict(chosen.reasons)
    written = {name.partition(".")[2] for name in found.chosen_fields}
    told = [f"  {'model':<28} {recipe.model.name_or_path}", f"  {'rows':<28} {recipe.data.dataset}"]
    values = [(name, getattr(chosen, name)) for name in SHOWN] + [(n, getattr(recipe.training, n)) for n in TRAINING]
    for name, value in values:
        if value is None:
            continue
        text = ", ".join(value) if isinstance(value, tuple) else str(value)
        told.append(f"  {name:<28} {text:<20} {reasons.get(name, 'the recipe' if name in written else 'default')}")
    told.append(f"  {'effective batch size':<28} {chosen.effective_batch_size:<20} micro-batch x accumulation")
    if found.shape:
        trained, total = trainable_parameters(chosen, found.shape) / 1e6, found.shape.num_parameters / 1e6
        told.append(f"  {'trained parameters':<28} {trained:,.2f} M of {total:,.1f} M")
    return told


def memory_lines(found: Prospect) -> list[str]:
    memory = found.plan.memory
    if memory is None:
        return []
    why = dict(found.plan.reasons).get("capacity_bytes", "")
    return [
        f"memory ({memory.method}):",
        *(f"  {name:<28} {format_bytes(size):>10}" for name, size in memory.terms if size),
        f"  {'peak allocated':<28} {format_bytes(memory.peak_bytes):>10}",
        f"  {memory.verdict}: {format_bytes(memory.capacity_bytes)} may be used ({why})",
    ]


def ladder_lines(found: Prospect) -> list[str]:
    limits = found.recipe.ladder
    rungs = [rung for rung in ladder(limits) if rung.apply(found.plan, limits)]
    if not limits.enabled or not rungs:
        return ["no ladder: running out of memory ends the run"]
    return ["when memory runs out, in this order:", *(f"  {rung.name:<28} {rung.cost}" for rung in rungs)]


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
    return [printable(line) for line in told]


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


def schema(_options: argparse.Namespace) -> int:
    print(json.dumps(recipe_schema(), indent=2))
    return 0


COMMANDS = {"plan": plan, "presets": presets, "schema": schema}
