"""A memory prediction, the ladder and the known cards as lines of text that fit a terminal.

Numbers are right-aligned, sentences wrap. Not here: where the figures come from (`engine.outlook`).
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable

from engine.memory import MemoryPrediction
from engine.model_shape import ModelShape
from engine.outlook import Outlook, RungOutlook
from engine.plan import Plan
from engine.recipe_sections import LadderSection
from engine.step_specs import train_rows
from engine.time_estimate import TimeEstimate
from engine.units import format_bytes

NAME_WIDTH, NUMBER_WIDTH = 26, 10
VALUE_WIDTH = 16
MIN_COLUMNS, MAX_COLUMNS = 70, 100
DISAGREEMENT = 0.10
"""Closed form and dry run further apart than this are both shown."""
MEANING = {
    "weights": "the model itself",
    "quantization overhead": "scales of the 4-bit weights",
    "adapter": "the LoRA matrices beside the model",
    "gradients": "one number per trained parameter",
    "optimizer state": "what AdamW remembers of each of them",
    "activations": "kept from forward to backward pass",
    "logits and loss": "scores of the vocabulary",
    "temporaries": "one layer at work, unpacked weights",
    "gradient buckets": "gradients on their way to the other processes",
    "gathered layers": "layers put together from all processes to compute",
}
VERDICTS = {"fits": "FITS", "tight": "TIGHT", "will not fit": "WILL NOT FIT"}


def columns() -> int:
    """Characters in a line: the terminal's, 80 where there is none, from 70 to 100."""
    return min(max(shutil.get_terminal_size((80, 24)).columns, MIN_COLUMNS), MAX_COLUMNS)


def row(name: str, number: str, text: str = "") -> list[str]:
    """One line of a table with its number right-aligned and its text wrapped under itself."""
    start = f"  {name:<{NAME_WIDTH + NUMBER_WIDTH - len(number)}}{number}  "
    pieces = textwrap.wrap(text, columns() - len(start)) or [""]
    return [((" " * len(start) if place else start) + piece).rstrip() for place, piece in enumerate(pieces)]


def wrapped(text: str, *, indent: int = 2) -> list[str]:
    """A sentence over as many lines as it needs, the first one outdented by `indent`."""
    return textwrap.wrap(text, columns(), subsequent_indent=" " * indent, break_long_words=False)


def value_line(name: str, text: str, reason: str) -> list[str]:
    """A value and why; what is too long for its column goes on below."""
    line = f"  {name:<28} {text:<{VALUE_WIDTH}} {reason}"
    if len(text) <= VALUE_WIDTH and len(line) <= columns():
        return [line]
    below = textwrap.wrap(reason, columns(), initial_indent=" " * 6, subsequent_indent=" " * 6)
    return [*textwrap.wrap(f"  {name:<28} {text}", columns(), subsequent_indent=" " * 31), *below]


def longest_batch(plan: Plan) -> str:
    """The rows of the largest micro-batch, longest first: "8 rows of 71 to 64 tokens"."""
    lengths = [tokens for tokens, _ in train_rows(plan)]
    span = f"{lengths[0]:,}" if lengths[0] == lengths[-1] else f"{lengths[0]:,} to {lengths[-1]:,}"
    rows = f"{len(lengths)} rows" if len(lengths) != 1 else "1 row"
    return f"{rows} of {span} token{'' if span == '1' else 's'}"


def longest_batch_reason(found: Outlook) -> str:
    """What the longest batch is taken from, or why its rows count as full ones."""
    plan = found.plan
    if plan.rows is None:
        why = f": {found.rows_from}" if found.rows_from else ""
        return f"every row counts as max_length tokens{why}"
    source = f"; {found.rows_from}" if found.rows_from else ""
    return f"of {plan.rows.num_rows:,} rows; max_length {plan.max_length:,}{source}"


def memory_lines(plan: Plan) -> list[str]:
    """The table of terms, what the process needs, and the verdict."""
    memory = plan.memory
    if memory is None:
        return []
    told = wrapped(f"memory, by {heading(memory)}:")
    for name, size in memory.terms:
        told += row(name, format_bytes(size), meaning(name, plan)) if size else []
    told += row("peak allocated", format_bytes(memory.peak_bytes), "the sum, at the worst moment")
    told += row("reserved", _reserved(memory), "by PyTorch's pool, differs by run") if plan.device != "cpu" else []
    beside = memory.needed_bytes - memory.peak_bytes
    told += row("allocator and context", format_bytes(beside), _beside(plan, memory)) if beside > 0 else []
    told += row("needed", format_bytes(memory.needed_bytes), "the least memory that is enough")
    why = dict(plan.reasons).get("capacity_bytes", "")
    told += row("there is", format_bytes(memory.capacity_bytes), why)
    told += wrapped(f"{VERDICTS.get(memory.verdict, memory.verdict)}: {memory.reason}.")
    return told + remarks(memory)


def heading(memory: MemoryPrediction) -> str:
    """How it was predicted, in words."""
    if memory.method == "dry run":
        return f"a dry run ({memory.source})"
    return f"the closed form, an estimate ({memory.source})" if memory.source else "the closed form, an estimate"


def remarks(memory: MemoryPrediction) -> list[str]:
    """What else has to be said of a prediction: calibration, and a second opinion that differs."""
    told = wrapped(memory.calibration) if memory.calibration else []
    other = memory.closed_form_peak_bytes
    if memory.method == "dry run" and other is not None:
        uncalibrated = memory.static_bytes + (memory.peak_bytes - memory.static_bytes) / memory.transient_scale
        off = other / uncalibrated - 1
        if abs(off) > DISAGREEMENT:
            more = f"{abs(off):.0%} {'more' if off > 0 else 'less'}"
            told += wrapped(f"the closed form says {format_bytes(other)}, {more}; the dry run counts")
    return told


def meaning(name: str, plan: Plan) -> str:
    """What a term is, for someone who meets it for the first time."""
    if name == "weights" and plan.method == "qlora":
        return f"linear layers in 4 bits, rest {plan.dtype}"
    if name == "weights":
        return f"{MEANING[name]}, in {plan.dtype}"
    if name == "activations" and plan.gradient_checkpointing:
        return "inputs of all layers, rest made twice"
    return MEANING.get(name, "")


def _reserved(memory: MemoryPrediction) -> str:
    low, high = format_bytes(memory.reserved_low_bytes), format_bytes(memory.reserved_high_bytes)
    return low if low == high else f"{low} to {high}"


def _beside(plan: Plan, memory: MemoryPrediction) -> str:
    if plan.device == "cpu":
        return "libraries, scratch, gaps; or loading"
    pool = memory.needed_bytes - memory.peak_bytes - memory.outside_bytes
    unused = f", gaps in the pool {format_bytes(pool)}" if pool > 0 else ""
    return f"CUDA {format_bytes(memory.outside_bytes)}{unused}"


def time_lines(time: TimeEstimate | None) -> list[str]:
    """How long training will take, as a range."""
    if time is None:
        return wrapped("time: not estimated; the speed of this device or the size of this model is not known")
    return wrapped(f"time, an estimate: {time.sentence()}; from {time.basis}")


def ladder_lines(found: Outlook, limits: LadderSection) -> list[str]:
    """What is given up when memory runs out, with the peak after each, and what the recipe does not allow."""
    if not limits.enabled:
        return wrapped("no ladder (ladder.enabled is off): running out of memory ends the run")
    allowed = [each for each in found.rungs if each.is_allowed]
    refused = [each for each in found.rungs if not each.is_allowed]
    if not allowed:
        told = wrapped("no rung of the ladder would help: running out of memory ends the run")
    else:
        told = wrapped("when memory runs out, these are taken, each on top of those before it:")
        told += [f"  {'rung':<{NAME_WIDTH}}{'peak':>{NUMBER_WIDTH}} {'saved':>{NUMBER_WIDTH}}  then it"]
        told += [line for each in allowed for line in rung_lines(each)]
        told += wrapped(_how_far(found, limits, allowed))
    told += wrapped(_without_dry_run(found))
    if refused:
        told += wrapped("not taken, because ladder.costly does not name them (they change what is learned):")
        told += [line for each in refused for line in rung_lines(each)]
    return told


def _without_dry_run(found: Outlook) -> str:
    """Rungs whose figures are only estimates although the plan's are not."""
    if found.plan.memory is None or found.plan.memory.method != "dry run":
        return ""
    guessed = [each for each in found.rungs if each.memory and each.memory.method != "dry run"]
    if not guessed or guessed[0].memory is None:
        return ""
    names = ", ".join(each.rung.name for each in guessed)
    return f"Estimated by the closed form, not by a dry run: {names} ({guessed[0].memory.source})."


def _how_far(found: Outlook, limits: LadderSection, allowed: list[RungOutlook]) -> str:
    """What the ladder makes of a plan that will not fit; empty for one that does."""
    memory = found.plan.memory
    if memory is None or memory.verdict != "will not fit":
        return ""
    enough = next((each for each in allowed if each.memory and each.memory.verdict != "will not fit"), None)
    if enough is None:
        return "All of them together are predicted not to be enough."
    when = "A run starts with those up to" if limits.predict else "It is predicted to fit after"
    return f"{when} {enough.rung.name}, as many as are needed to fit."


def rung_lines(each: RungOutlook) -> list[str]:
    """A rung with its predicted peak and what it saves, and below it what it costs."""
    name = each.rung.name + (f" x{each.num_times}" if each.num_times > 1 else "")
    costly = "costly: " if each.rung.changes_objective else ""
    below = textwrap.wrap(costly + each.rung.cost, columns(), initial_indent=" " * 6, subsequent_indent=" " * 6)
    if each.memory is None:
        return [f"  {name}", *below]
    saved = f"-{format_bytes(each.saved_bytes)}" if each.saved_bytes > 0 else "-"
    peak = format_bytes(each.memory.peak_bytes)
    return [f"  {name:<{NAME_WIDTH}}{peak:>{NUMBER_WIDTH}} {saved:>{NUMBER_WIDTH}}  {each.memory.verdict}", *below]


def card_lines(cards: Iterable[tuple[str, Outlook | str]]) -> list[str]:
    """One line per card: capacity, peak, verdict, time. A recipe that a card cannot carry out says why."""
    told = [f"  {'card':<16} {'there is':>10} {'peak':>10} {'needed':>10}  {'verdict':<12}  time"]
    for name, found in cards:
        if isinstance(found, str):
            told += textwrap.wrap(f"  {name:<16} {found}", columns(), subsequent_indent=" " * 19)
            continue
        memory = found.plan.memory
        if memory is None:
            told.append(f"  {name:<16} {format_bytes(found.plan.capacity_bytes):>10}  memory is not predicted")
            continue
        sizes = (memory.capacity_bytes, memory.peak_bytes, memory.needed_bytes)
        numbers = " ".join(f"{format_bytes(size):>10}" for size in sizes)
        told.append(f"  {name:<16} {numbers}  {memory.verdict:<12}  {found.time.short() if found.time else '-'}")
    return told


def parameter_line(trained: int, shape: ModelShape) -> str:
    """How many parameters are trained, of how many."""
    return f"{trained / 1e6:,.2f} M of {shape.num_parameters / 1e6:,.1f} M"
