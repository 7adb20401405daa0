"""The OOM ladder: rungs as values, and which of them to take next.

A rung is a pure function Plan -> changed Plan, or None where it does not apply. No I/O, no torch, no log
line. Free rungs keep the objective and the effective batch size; costly ones change what is learned and
are taken only if the recipe names them, in its order. Not here: starting the next attempt (`supervisor`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from engine.memory import Predictor
from engine.plan import Plan
from engine.recipe_sections import LadderSection

SHRINK = 0.95
"""After an OOM the next plan must be predicted at least this much smaller than the one that failed."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder. `cost` is a sentence for the person who reads the panel."""

    name: str
    cost: str
    changes_objective: bool
    apply: Callable[[Plan, LadderSection], Plan | None]


def _expandable_segments(plan: Plan, _: LadderSection) -> Plan | None:
    if plan.device == "cpu" or plan.expandable_segments:
        return None
    return replace(plan, expandable_segments=True)


def _eval_batch_1(plan: Plan, _: LadderSection) -> Plan | None:
    return replace(plan, per_device_eval_batch_size=1) if plan.per_device_eval_batch_size > 1 else None


def _halve_micro_batch(plan: Plan, _: LadderSection) -> Plan | None:
    if plan.per_device_train_batch_size % 2:
        return None
    return replace(
        plan,
        per_device_train_batch_size=plan.per_device_train_batch_size // 2,
        gradient_accumulation_steps=plan.gradient_accumulation_steps * 2,
    )


def _gradient_checkpointing(plan: Plan, _: LadderSection) -> Plan | None:
    return None if plan.gradient_checkpointing else replace(plan, gradient_checkpointing=True)


def _optimizer_8bit(plan: Plan, _: LadderSection) -> Plan | None:
    if plan.optim in ("adamw_8bit", "paged_adamw_8bit"):
        return None
    return replace(plan, optim="adamw_8bit" if plan.device == "cpu" else "paged_adamw_8bit")


def _base_4bit(plan: Plan, _: LadderSection) -> Plan | None:
    return replace(plan, method="qlora") if plan.method == "lora" and plan.four_bit_available else None


def _halve_max_length(plan: Plan, limits: LadderSection) -> Plan | None:
    half = plan.max_length // 2
    return replace(plan, max_length=half) if half >= limits.min_max_length else None


def _halve_rank(plan: Plan, limits: LadderSection) -> Plan | None:
    half = plan.r // 2
    return replace(plan, r=half) if plan.method != "full" and half >= limits.min_rank else None


def _disable_dora(plan: Plan, _: LadderSection) -> Plan | None:
    return replace(plan, use_dora=False) if plan.use_dora else None


def _only_q_and_v(plan: Plan, _: LadderSection) -> Plan | None:
    if plan.method == "full" or plan.target_modules == ("q_proj", "v_proj"):
        return None
    return replace(plan, target_modules=("q_proj", "v_proj"))


FREE: tuple[Rung, ...] = (
    Rung("expandable_segments", "less fragmentation, no loss of speed", False, _expandable_segments),
    Rung("eval_batch_1", "the eval loss takes longer", False, _eval_batch_1),
    Rung(
        "halve_micro_batch",
        "half the micro-batch, twice the accumulation: same effective batch, slower",
        False,
        _halve_micro_batch,
    ),
    Rung(
        "gradient_checkpointing", "activations are computed twice: about a third slower", False, _gradient_checkpointing
    ),
    Rung("optimizer_8bit", "optimizer state in 8 bits: a slower step on CPU, none on a card", False, _optimizer_8bit),
    Rung("base_4bit", "the frozen base is rounded to 4 bits", False, _base_4bit),
)
COSTLY: tuple[Rung, ...] = (
    Rung("halve_max_length", "rows are cut at half the length", True, _halve_max_length),
    Rung("halve_rank", "the adapter learns less", True, _halve_rank),
    Rung("disable_dora", "plain LoRA instead of DoRA", True, _disable_dora),
    Rung("only_q_and_v", "adapters on the query and value projections only", True, _only_q_and_v),
)


def ladder(limits: LadderSection) -> Iterator[Rung]:
    """The rungs a recipe allows, in the order they are tried."""
    yield from FREE
    by_name = {rung.name: rung for rung in COSTLY}
    for name in limits.costly:
        yield by_name[name]


def next_plan(plan: Plan, limits: LadderSection, predictor: Predictor | None) -> tuple[Plan, tuple[Rung, ...]] | None:
    """The nearest changed plan predicted to fit, and the rungs it takes; None at the end of the ladder.

    Without a predictor rungs are taken one at a time. Never returns the same plan.
    """
    if not limits.enabled:
        return None
    failed = predictor(plan).peak_bytes if predictor else 0
    taken: list[Rung] = []
    current, before = plan, failed
    for rung in _repeated(limits):
        changed = rung.apply(current, limits)
        if changed is None:
            continue
        memory = predictor(changed) if predictor else None
        if memory and memory.peak_bytes >= before and not _helps_unpredicted(rung):
            continue
        taken.append(rung)
        current = replace(changed, rungs=(*current.rungs, rung.name), memory=memory)
        before = memory.peak_bytes if memory else 0
        if memory is None or (memory.peak_bytes <= failed * SHRINK and memory.verdict != "will not fit"):
            return current, tuple(taken)
    return (current, tuple(taken)) if taken else None


def _helps_unpredicted(rung: Rung) -> bool:
    """Fragmentation and the eval batch are not in the predicted training peak."""
    return rung.name in ("expandable_segments", "eval_batch_1")


def _repeated(limits: LadderSection) -> Iterator[Rung]:
    """Halving rungs may be taken again and again before the next rung is looked at."""
    for rung in ladder(limits):
        for _ in range(12 if rung.name.startswith("halve_") else 1):
            yield rung
