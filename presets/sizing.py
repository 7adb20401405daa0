"""Sizes for a model of one's own: what of method, rank, context and batch a card carries, each with its reason.

Pure: the same shape, hardware and wishes give the same sizes. Decided with the closed form, which is quick; the review
and the run predict again, better. Not here: presets, whose sizes are their authors' (`matching` judges them).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import RecipeError
from engine.hardware import Hardware
from engine.memory import MemoryPrediction, closed_form
from engine.model_shape import ModelShape
from engine.plan import plan
from engine.recipe import Recipe
from engine.units import format_bytes

EFFECTIVE_BATCH = 16
"""Rows per optimizer step, whatever the card: micro-batch x accumulation. So a size learns the same everywhere."""
MICRO_BATCHES = (16, 8, 4, 2, 1)
SHORTEST = 128
SMALL_ENOUGH_FOR_FULL = 500_000_000
"""Parameters; above them quality takes LoRA at a high rank, which comes as near for a fraction of the memory."""
LARGE = 30_000_000_000
"""Parameters from which on LoRA's usual learning rate is halved, as QLoRA's authors did for 33B and 65B."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a size would like to have, before the card is asked."""

    name: str
    title: str
    methods: tuple[str, ...]
    r: int
    max_length: int
    cpu_max_length: int
    num_epochs: int


WISHES = (
    Wish("balanced", "a good result in reasonable time", ("lora", "qlora"), 16, 2048, 512, 2),
    Wish("fast", "a first result soon: small rank, short rows", ("lora", "qlora"), 8, 1024, 256, 1),
    Wish("quality", "the most this card can learn: high rank, long rows", ("full", "lora", "qlora"), 32, 4096, 1024, 3),
)
SIZES = tuple(wish.name for wish in WISHES)


@dataclass(frozen=True, slots=True)
class Size:
    """A size on a machine: `values` are (field, text for --set, reason); `memory` is None where nothing is known.

    `verdict` is fits, tight, will not fit or unknown, `reason` one sentence on it.
    """

    name: str
    title: str
    values: tuple[tuple[str, str, str], ...]
    memory: MemoryPrediction | None
    verdict: str
    reason: str


def sizes(shape: ModelShape | None, hardware: Hardware, *, fixed: Mapping[str, str] | None = None) -> tuple[Size, ...]:
    """The sizes for a model on a machine. `fixed` are values that somebody chose: they are kept and counted with."""
    return tuple(size_for(wish, shape, hardware, fixed=fixed or {}) for wish in WISHES)


def size_named(
    name: str, shape: ModelShape | None, hardware: Hardware, *, fixed: Mapping[str, str] | None = None
) -> Size:
    """One of them. Raises RecipeError for a name that is none."""
    wish = next((each for each in WISHES if each.name == name), None)
    if wish is None:
        raise RecipeError(f"There is no size {name!r}.", remedy=f"There are: {', '.join(SIZES)}.")
    return size_for(wish, shape, hardware, fixed=fixed or {})


def size_for(wish: Wish, shape: ModelShape | None, hardware: Hardware, *, fixed: Mapping[str, str]) -> Size:
    """The first of the wish's ways that fits; where none does, the smallest, said to be too large."""
    if shape is None:
        return _unknown(wish, hardware, fixed)
    first: _Way | None = None
    last: tuple[_Way, MemoryPrediction] | None = None
    for way in _ways(wish, shape, hardware, fixed):
        first = first or way
        memory = _predicted(way, shape, hardware, fixed)
        if memory is None:
            continue
        if memory.verdict == "fits":
            values = _values(way, first, shape, hardware)
            return Size(wish.name, wish.title, values, memory, "fits", memory.reason)
        last = (way, memory)
    if last is None or first is None:
        return _unknown(wish, hardware, fixed)
    way, memory = last
    reason = f"the smallest {memory.reason}; the ladder or a smaller model would have to help"
    return Size(wish.name, wish.title, _values(way, first, shape, hardware), memory, memory.verdict, reason)


@dataclass(frozen=True, slots=True)
class _Way:
    """One combination that is tried."""

    method: str
    r: int
    max_length: int
    micro_batch: int
    num_epochs: int


def _ways(wish: Wish, shape: ModelShape, hardware: Hardware, fixed: Mapping[str, str]) -> Iterator[_Way]:
    """From the wish down: smaller micro-batches first, then another method, then shorter rows, then a lower rank."""
    methods = _methods(wish, shape, hardware, fixed)
    rank, length = _number(fixed, "adapter.r"), _number(fixed, "training.max_length")
    longest = length or min(wish.cpu_max_length if not hardware.gpus else wish.max_length, _positions(shape))
    lengths = [longest]
    while not length and lengths[-1] // 2 >= SHORTEST:
        lengths.append(lengths[-1] // 2)
    micro = _number(fixed, "training.per_device_train_batch_size")
    for r in (rank,) if rank else _halvings(wish.r, 4):
        for max_length in lengths:
            for method in methods:
                for size in (micro,) if micro else MICRO_BATCHES:
                    yield _Way(method, r, max_length, size, wish.num_epochs)


def _methods(wish: Wish, shape: ModelShape, hardware: Hardware, fixed: Mapping[str, str]) -> tuple[str, ...]:
    if chosen := fixed.get("adapter.method"):
        return (chosen,)
    found = [name for name in wish.methods if name != "full" or shape.num_parameters <= SMALL_ENOUGH_FOR_FULL]
    if not hardware.four_bit.available or not hardware.gpus:
        found = [name for name in found if name != "qlora"] or found  # on a CPU 4 bits are slower than 16
        if hardware.four_bit.available:
            found.append("qlora")
    return tuple(dict.fromkeys(found))


def _positions(shape: ModelShape) -> int:
    return max(shape.max_position_embeddings, SHORTEST)


def _halvings(start: int, least: int) -> tuple[int, ...]:
    values = [start]
    while values[-1] // 2 >= least:
        values.append(values[-1] // 2)
    return tuple(values)


def _number(fixed: Mapping[str, str], name: str) -> int | None:
    text = fixed.get(name, "").strip()
    return int(text) if text.isdigit() and int(text) > 0 else None


def _predicted(way: _Way, shape: ModelShape, hardware: Hardware, fixed: Mapping[str, str]) -> MemoryPrediction | None:
    """What the way takes; None where the fixed values make no recipe or the machine cannot apply it."""
    overrides = {name: text for name, text, _ in _numbers(way, shape)} | dict(fixed)
    try:
        recipe = Recipe.parse(PLAIN, overrides=[f"{name}={text}" for name, text in overrides.items()])
        return plan(recipe, hardware, shape, predictor=closed_form(shape)).memory
    except RecipeError:
        return None


PLAIN = '[model]\nname_or_path = "model"\n[data]\ndataset = "rows"\n'


def _numbers(way: _Way, shape: ModelShape | None) -> list[tuple[str, str, str]]:
    """The way's values without their reasons."""
    accumulation = max(EFFECTIVE_BATCH // way.micro_batch, 1)
    values: dict[str, Any] = {"adapter.method": way.method}
    if way.method != "full":
        values |= {"adapter.r": way.r, "adapter.lora_alpha": 2 * way.r}
    values |= {
        "training.max_length": way.max_length,
        "training.per_device_train_batch_size": way.micro_batch,
        "training.gradient_accumulation_steps": accumulation,
        "training.per_device_eval_batch_size": way.micro_batch,
        "training.num_train_epochs": way.num_epochs,
        "training.learning_rate": _learning_rate(way.method, shape),
        "training.lr_scheduler_type": "cosine",
        "training.warmup_steps": 0.03,
    }
    return [(name, f"{value:g}" if isinstance(value, float) else str(value), "") for name, value in values.items()]


def _learning_rate(method: str, shape: ModelShape | None) -> float:
    if method == "full":
        return 2e-5
    return 1e-4 if shape and shape.num_parameters >= LARGE else 2e-4


def _values(way: _Way, wished: _Way, shape: ModelShape | None, hardware: Hardware) -> tuple[tuple[str, str, str], ...]:
    reasons = _reasons(way, wished, shape, hardware)
    return tuple((name, text, reasons.get(name, "usual")) for name, text, _ in _numbers(way, shape))


def _reasons(way: _Way, wished: _Way, shape: ModelShape | None, hardware: Hardware) -> dict[str, str]:
    gpu = hardware.best_gpu
    free = format_bytes(gpu.free_bytes if gpu else hardware.ram_available_bytes)
    room = f"{free} {'of VRAM' if gpu else 'of RAM'}"
    kept = {
        "full": "the model is small enough to train all of it",
        "lora": f"the base in 16 bits fits into {room}" if gpu else "a small adapter is all a CPU has time for",
        "qlora": f"a 4-bit base leaves more of {room}",
    }
    shorter = f"longer rows (up to {wished.max_length:,}) would not fit into {room}"
    return {
        "adapter.method": kept.get(way.method, "as chosen"),
        "adapter.r": "what this size takes" if way.r == wished.r else f"rank {wished.r} would not fit into {room}",
        "adapter.lora_alpha": "twice the rank, as is usual",
        "training.max_length": "what this size takes" if way.max_length == wished.max_length else shorter,
        "training.per_device_train_batch_size": "the most that fits at once"
        if way.micro_batch < wished.micro_batch
        else f"all {EFFECTIVE_BATCH} rows fit at once",
        "training.gradient_accumulation_steps": f"{EFFECTIVE_BATCH} rows per optimizer step on every machine",
        "training.per_device_eval_batch_size": "as many as are trained at once",
        "training.num_train_epochs": "passes over the rows that this size takes",
        "training.learning_rate": "full training wants a tenth of LoRA's"
        if way.method == "full"
        else "usual for LoRA"
        if _learning_rate(way.method, shape) == 2e-4
        else "usual for LoRA on a model this large",
        "training.lr_scheduler_type": "ends gently",
        "training.warmup_steps": "3 % of the steps",
    }


def _unknown(wish: Wish, hardware: Hardware, fixed: Mapping[str, str]) -> Size:
    """Sizes for a model nobody has looked at yet: small ones, so that most would fit."""
    is_card = bool(hardware.gpus)
    method = fixed.get("adapter.method") or ("qlora" if is_card and hardware.four_bit.available else "lora")
    length = min(wish.max_length if is_card else wish.cpu_max_length, 1024)
    rank, length = _number(fixed, "adapter.r") or wish.r, _number(fixed, "training.max_length") or length
    way = _Way(method, rank, length, 1, wish.num_epochs)
    why = "a careful guess: the model's config is not here yet"
    values = tuple((name, text, why) for name, text, _ in _numbers(way, None))
    return Size(wish.name, wish.title, values, None, "unknown", "the model's config is not here yet")


__all__ = ["EFFECTIVE_BATCH", "SIZES", "WISHES", "Size", "Wish", "size_named", "sizes"]
