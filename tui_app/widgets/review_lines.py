"""A plan to be read before it is started: summary, memory by term, ladder, time, disk, every value with its reason.

Pure: lines from a `Review`. Not here: the figures (`tui_app/steps/review`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.units import format_bytes
from tui_app.drawing import Line, fit_line, line, literal, padded, plain_text, spread, wrap
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.widgets.memory_bar import bar, headline, legend

if TYPE_CHECKING:
    from engine.outlook import Outlook, RungOutlook
    from engine.starting import Prospect
    from tui_app.steps.review import Review

METHODS = {"full": "full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}
NAME_WIDTH = 28
VALUE_WIDTH = 16


def review_lines(
    review: Review, width: int, glyphs: Glyphs = UNICODE, *, shows_why: bool = False, sharpening: str = ""
) -> list[Line]:
    """Everything, most important first; nothing without a plan. `sharpening`: what the background does for it."""
    found, seen = review.found, review.outlook
    if found is None or seen is None:
        return []
    told = [*summary_lines(found, seen, width), line("")]
    told += _memory(seen, width, glyphs, shows_why=shows_why, sharpening=sharpening)
    told += [line(""), *_ladder(found, seen, width, glyphs), line("")]
    told += _time_and_disk(review, seen, width)
    for note in (*seen.plan.notes, *found.notes):
        told += wrap(f"{glyphs.warning} {literal(note)}", width, "warn", indent=2)
    told += [line(""), line(("Every value, and why", "title"))]
    for value in review.values:
        told += _value(value.name, literal(value.text), literal(value.reason), width)
    return [fit_line(each, width, ellipsis=glyphs.ellipsis) for each in told]


def summary_lines(found: Prospect, seen: Outlook, width: int) -> list[Line]:
    """What is trained on what, how, where and for how long."""
    plan, recipe, training = seen.plan, found.recipe, found.recipe.training
    size = f" ({found.shape.num_parameters / 1e6:,.0f} M parameters)" if found.shape else ""
    method = f"{METHODS[plan.method]}{' + rsLoRA' if plan.use_rslora else ''}{' + DoRA' if plan.use_dora else ''}"
    rank = "" if plan.method == "full" else f", rank {plan.r}, alpha {plan.lora_alpha:g}"
    long = f"{training.max_steps:,} steps" if training.max_steps else f"{training.num_train_epochs:g} epochs"
    batch = f"batch {plan.per_device_train_batch_size} x {plan.gradient_accumulation_steps}"
    rate = f"lr {training.learning_rate:g} {training.lr_scheduler_type}"
    about = f", {seen.time.short()}" if seen.time else ""
    facts = (
        ("Model", f"{literal(_short(recipe.model.name_or_path))}{size}"),
        ("Rows", literal(_short(recipe.data.dataset))),
        ("Method", f"{method}{rank}"),
        ("Train", f"{long}, {batch}, {rate}"),
        ("On", f"{literal(plan.device_name)}{about}"),
    )
    told: list[Line] = []
    for name, text in facts:
        first, *rest = [text] if len(text) <= width - 8 else [plain_text([each]) for each in wrap(text, width - 8)]
        told.append(line((f"{name:<8}", "dim"), first))
        told += [line(" " * 8, each) for each in rest]
    return told


def _short(name: str) -> str:
    return Path(name).name if name.startswith("/") else name


def _memory(seen: Outlook, width: int, glyphs: Glyphs, *, shows_why: bool, sharpening: str) -> list[Line]:
    memory = seen.plan.memory
    if memory is None:
        return [line(("Memory is not predicted: ", "title"), "the model's config is not here yet")]
    told = [spread(headline(memory, glyphs), line(("m", "key"), (" why so?", "dim")), width)]
    told += [bar(memory, width), *legend(memory, width)]
    how = "by a dry run of the real step" if memory.method == "dry run" else "an estimate by the closed form"
    told += wrap(sharpening or f"{how}; {memory.reason}", width, "dim")
    if shows_why:
        from tui_app.memory_table import meaning, remarks

        for name, size in memory.terms:
            if size:
                meant = meaning(name, seen.plan)
                told.append(line(f"  {padded(name, 24)}{format_bytes(size):>10}  ", (meant, "dim")))
        beside = memory.needed_bytes - memory.peak_bytes
        if beside > 0:
            told.append(line(f"  {padded('beside it', 24)}{format_bytes(beside):>10}  ", ("libraries, pool", "dim")))
        why = dict(seen.plan.reasons).get("capacity_bytes", "")
        told.append(line(f"  {padded('there is', 24)}{format_bytes(memory.capacity_bytes):>10}  ", (why, "dim")))
        told += [line((f"  {literal(each)}", "dim")) for each in remarks(memory)]
    return told


def _ladder(found: Prospect, seen: Outlook, width: int, glyphs: Glyphs) -> list[Line]:
    if not found.recipe.ladder.enabled:
        return [line(("If memory runs out, the run ends: ", "title"), "the ladder is off")]
    if not seen.rungs:
        return [line(("If memory runs out, the run ends: ", "title"), "no rung of the ladder would help")]
    head = line(("If memory runs out all the same, it goes on with", "title"))
    told = [spread(head, line((f"{'saves':>9}  {'then':<12}", "dim")), width)]
    for place, each in enumerate(seen.rungs, start=1):
        told += _rung(place, each, width, glyphs)
    return told


def _rung(place: int, each: RungOutlook, width: int, glyphs: Glyphs) -> list[Line]:
    """Its number (or `?` where it asks first), what it costs, what it saves and what that makes of it."""
    name = each.rung.name.replace("_", " ") + (f" x{each.num_times}" if each.num_times > 1 else "")
    number = line((f"{place:2}", "dim")) if each.is_allowed else line((f" {glyphs.asks}", "warn"))
    saved = format_bytes(each.saved_bytes) if each.saved_bytes > 0 else "-"
    verdict = each.memory.verdict if each.memory else ""
    right = line(f"{saved:>9}", (f"  {padded(verdict, 12)}", "good" if verdict == "fits" else "dim"))
    cost = each.rung.cost if each.is_allowed else f"asks first: {each.rung.cost}"
    below = wrap(cost, width - 6, "warn" if each.rung.changes_objective else "dim")
    return [spread((*number, *line(f"  {name}")), right, width), *((*line("      "), *part) for part in below)]


def _time_and_disk(review: Review, seen: Outlook, width: int) -> list[Line]:
    time = seen.time.sentence() if seen.time else "not estimated: the speed of this device or model is not known"
    told = wrap(f"Time: {literal(time)}", width, indent=6)
    disk = review.disk
    if disk is None:
        return told
    parts = (
        ("download", disk.download_bytes),
        ("checkpoints", disk.checkpoint_bytes),
        ("result", disk.result_bytes),
    )
    writes = ", ".join(f"{name} {format_bytes(size)}" for name, size in parts if size)
    text = f"Disk: {writes or 'not known how much'}; {format_bytes(disk.free_bytes)} free in {literal(disk.root)}"
    return told + wrap(text, width, "" if disk.is_enough else "bad", indent=6)


def _value(name: str, text: str, reason: str, width: int) -> list[Line]:
    told = line(f"  {padded(name, NAME_WIDTH)} ", (padded(text, max(VALUE_WIDTH, len(text))), "strong"), " ")
    left = width - sum(len(span.text) for span in told)
    if len(reason) <= left:
        return [(*told, *line((reason, "dim")))]
    return [told, *((*line("      "), *each) for each in wrap(reason, width - 6, "dim"))]
