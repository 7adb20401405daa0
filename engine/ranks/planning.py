"""How a plan spreads over devices and hosts: how many processes, on which cards, and how these share the work.

Pure. Not here: faults of what was asked (`distributed_faults`), starting the processes (`launching`), what one of
them takes in memory (`rank_memory`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.distributed_faults import equal_cards, num_processes
from engine.hardware import Hardware
from engine.memory import MemoryPrediction, Predictor
from engine.recipe import Recipe
from engine.units import format_bytes, parse_bytes

if TYPE_CHECKING:
    from engine.plan import Plan


SHARDED = ("fsdp2", "zero3")
"""Strategies under which each process holds a part of the model."""


def machine_of(recipe: Recipe, hardware: Hardware) -> Hardware:
    """The machine with no other cards than those that the recipe's processes use: what is picked suits these."""
    count = num_processes(recipe.distributed, hardware)
    if count == 1 or not hardware.gpus:
        return hardware
    return replace(hardware, gpus=equal_cards(hardware, count)[:count])


def spread(chosen: Plan, recipe: Recipe, hardware: Hardware, predictor: Predictor | None) -> Plan:
    """The plan over the devices that the recipe asks for; on one device, `chosen` with a note of idle cards.

    `hardware` is the whole machine. Capacity is that of each process: the free memory of the fullest card, or an
    equal part of the RAM.
    """
    wanted = recipe.distributed
    count = num_processes(wanted, hardware)
    cards = machine_of(recipe, hardware).gpus
    if count * wanted.nnodes == 1:
        return replace(chosen, notes=(*chosen.notes, *_idle(count, hardware)))
    capacity, why = _capacity(chosen, recipe, hardware, count)
    kept = tuple(pair for pair in chosen.reasons if pair[0] not in ("capacity_bytes", "num_threads"))
    reasons = (
        *kept,
        ("capacity_bytes", why),
        ("num_threads", f"usable cores / {count} processes" if count > 1 else "usable cores"),
        ("nproc_per_node", _processes_because(recipe, hardware, count)),
    )
    chosen = replace(
        chosen,
        capacity_bytes=capacity,
        num_threads=max(1, hardware.num_cores // count),
        nproc_per_node=count,
        nnodes=wanted.nnodes,
        device_uuids=tuple(gpu.uuid for gpu in cards) if count > 1 else (),
        strategy="ddp" if wanted.strategy == "auto" else wanted.strategy,
        reasons=reasons,
        notes=(*chosen.notes, *_idle(count, hardware), *_crowded(count, hardware)),
    )
    if wanted.strategy != "auto":
        return with_loading_note(_because(chosen, "the recipe asks for it"))
    return _picked(chosen, recipe, predictor)


def can_shard(plan: Plan) -> bool:
    """Whether the processes of a plan could hold a part of the model each (FSDP2).

    bitsandbytes' optimizers cannot update parameters that are spread out: 0.50 has no sharding strategy for them.
    """
    return plan.world_size > 1 and "8bit" not in plan.optim


def can_save_alone(plan: Plan) -> bool:
    """Whether one process can write a checkpoint by itself after the others are gone: not from a part of the model."""
    return plan.strategy not in SHARDED


def _picked(plan: Plan, recipe: Recipe, predictor: Predictor | None) -> Plan:
    """ddp where the plan fits on one device, else fsdp2 where that fits, or is at least smaller."""
    if not can_shard(plan):
        return _because(plan, f"the model is whole on each: {plan.optim} cannot update a part of it")
    if predictor is None:
        return _because(plan, "decided once the model's config is here")
    whole = _smallest(plan, recipe, predictor)
    told = f"{format_bytes(whole.needed_bytes)} of {format_bytes(plan.capacity_bytes)} on each"
    if whole.verdict != "will not fit":
        return _because(plan, f"the whole model fits on each device: {told}")
    sharded = replace(plan, strategy="fsdp2")
    parts = _smallest(sharded, recipe, predictor)
    less = f"{format_bytes(parts.needed_bytes)} with 1/{plan.world_size} of it"
    if parts.needed_bytes >= whole.needed_bytes:
        return _because(plan, f"the whole model needs {told}; sharing it out would not help: {less}")
    return with_loading_note(_because(sharded, f"the whole model would need {told}, {less}"))


def with_loading_note(plan: Plan) -> Plan:
    """What sharing a model out takes beside the memory of each device."""
    if plan.strategy not in SHARDED or plan.device == "cpu":
        return plan
    told = f"each of the {plan.nproc_per_node} processes loads the whole model into RAM before it is shared out"
    return replace(plan, notes=(*plan.notes, told))


def _smallest(plan: Plan, recipe: Recipe, predictor: Predictor) -> MemoryPrediction:
    """What the plan needs with gradient checkpointing, if the recipe leaves that open and it is needed."""
    memory = predictor(plan)
    if memory.verdict != "will not fit" or recipe.training.gradient_checkpointing != "auto":
        return memory
    return min(memory, predictor(replace(plan, gradient_checkpointing=True)), key=lambda each: each.needed_bytes)


def _because(plan: Plan, reason: str) -> Plan:
    return replace(plan, reasons=(*plan.reasons, ("strategy", reason)))


def _processes_because(recipe: Recipe, hardware: Hardware, count: int) -> str:
    if recipe.distributed.nproc_per_node != "auto":
        return "the recipe asks for it"
    if not hardware.gpus:
        return "a CPU is one device"
    same = " of the same kind" if count < len(hardware.gpus) else ""
    return f"every visible card{same}" if count > 1 else "one visible card"


def _capacity(chosen: Plan, recipe: Recipe, hardware: Hardware, count: int) -> tuple[int, str]:
    """Memory that one process may use, and why so much."""
    cards = machine_of(recipe, hardware).gpus
    if count == 1:
        return chosen.capacity_bytes, dict(chosen.reasons).get("capacity_bytes", "")
    if cards:
        free, why = min(gpu.free_bytes for gpu in cards), f"free VRAM of the fullest of {count} {cards[0].name}"
    else:
        note = f" ({hardware.ram_limit_note})" if hardware.ram_limit_note else ""
        free, why = hardware.ram_available_bytes // count, f"free RAM{note} / {count} processes"
    limit = parse_bytes(recipe.memory.limit) if recipe.memory.limit else None
    if limit is None:
        return free, why
    if free < limit:
        return free, f"{why}; memory.limit allows more"
    return limit, "memory.limit of the recipe, enforced for each process"


def _crowded(count: int, hardware: Hardware) -> tuple[str, ...]:
    """What to say where processes have to take turns on a core."""
    if hardware.gpus or count <= hardware.num_cores:
        return ()
    cores = "a core" if hardware.num_cores == 1 else f"{hardware.num_cores} cores"
    return (f"{count} processes share {cores}: a rehearsal, no faster than one",)


def _idle(count: int, hardware: Hardware) -> tuple[str, ...]:
    """What to say of cards that the plan leaves alone."""
    idle = len(hardware.gpus) - count
    if idle <= 0:
        return ()
    alike = len(equal_cards(hardware, 1))
    if alike > count:
        more = alike - count
        are = "card is" if more == 1 else "cards are"
        return (f'{more} more {are} here: distributed.nproc_per_node = "auto" uses {"it" if more == 1 else "them"}',)
    differ = "card is" if idle == 1 else "cards are"
    return (f"{idle} other {differ} left alone: only cards of the same kind and size train together",)
