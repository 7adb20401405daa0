"""The OOM ladder: rungs as values, and how far down to go.

A rung is a pure function Plan -> changed Plan, or None where it does not apply. No I/O, no torch, no log
line. Free rungs keep the objective and the effective batch size; costly ones change what is learned and
are taken only if the recipe names them, in its order. Not here: what a run does with it (`climbing`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from engine.memory import MemoryPrediction, Predictor
from engine.plan import Plan
from engine.ranks.planning import SHARDED, can_shard
from engine.recipe_sections import LadderSection

SHRINK = 0.95
"""After an OOM the next plan must be predicted at least this much smaller than the one that failed."""
MAX_SCALE = 1.5
"""No OOM proves more than this: beyond it something else than a low prediction is at work."""
Q_AND_V = ("q_proj", "v_proj")


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


def _fused_loss(plan: Plan, _: LadderSection) -> Plan | None:
    return None if plan.fused_loss else replace(plan, fused_loss=True)


def _lean_dora(plan: Plan, _: LadderSection) -> Plan | None:
    return replace(plan, lean_dora=True) if plan.use_dora and not plan.lean_dora else None


def _halve_micro_batch(plan: Plan, _: LadderSection) -> Plan | None:
    """To the largest proper divisor, so that micro-batch x accumulation stays what it was: 7 goes to 1, not to 3."""
    size = plan.per_device_train_batch_size
    if size == 1:
        return None
    parts = next(number for number in range(2, size + 1) if size % number == 0)
    return replace(
        plan,
        per_device_train_batch_size=size // parts,
        gradient_accumulation_steps=plan.gradient_accumulation_steps * parts,
    )


def _gradient_checkpointing(plan: Plan, _: LadderSection) -> Plan | None:
    if plan.gradient_checkpointing and not plan.selective_checkpointing:
        return None
    return replace(plan, gradient_checkpointing=True, selective_checkpointing=False)


def _optimizer_8bit(plan: Plan, _: LadderSection) -> Plan | None:
    """On a card its state also moves to RAM when the card is full; a CPU has nowhere to page to."""
    if plan.strategy in SHARDED:  # bitsandbytes cannot update parameters that are spread out
        return None
    wanted = "adamw_8bit" if plan.device == "cpu" else "paged_adamw_8bit"
    if plan.optim in (wanted, "paged_adamw_8bit"):
        return None
    return replace(plan, optim=wanted)


def _shard_model(plan: Plan, _: LadderSection) -> Plan | None:
    return replace(plan, strategy="fsdp2") if plan.strategy == "ddp" and can_shard(plan) else None


def _activation_offloading(plan: Plan, _: LadderSection) -> Plan | None:
    if plan.device == "cpu" or plan.activation_offloading:
        return None
    return replace(plan, activation_offloading=True)


def _base_4bit(plan: Plan, _: LadderSection) -> Plan | None:
    return replace(plan, method="qlora") if plan.method == "lora" and plan.four_bit_available else None


def _halve_max_length(plan: Plan, limits: LadderSection) -> Plan | None:
    half = plan.max_length // 2
    return replace(plan, max_length=half) if half >= limits.min_max_length else None


def _halve_rank(plan: Plan, limits: LadderSection) -> Plan | None:
    half = plan.r // 2
    return replace(plan, r=half) if plan.method != "full" and half >= limits.min_rank else None


def _disable_dora(plan: Plan, _: LadderSection) -> Plan | None:
    return replace(plan, use_dora=False, lean_dora=False) if plan.use_dora else None


def _only_q_and_v(plan: Plan, _: LadderSection) -> Plan | None:
    if plan.method == "full":
        return None
    if isinstance(plan.target_modules, str):
        return replace(plan, target_modules=Q_AND_V)
    kept = tuple(name for name in Q_AND_V if name in plan.target_modules)
    return replace(plan, target_modules=kept) if kept and len(kept) < len(set(plan.target_modules)) else None


FREE: tuple[Rung, ...] = (
    Rung("expandable_segments", "less fragmentation, no loss of speed", False, _expandable_segments),
    Rung("eval_batch_1", "the eval loss takes longer", False, _eval_batch_1),
    Rung("fused_loss", "the vocabulary is scored in pieces: same loss", False, _fused_loss),
    Rung("lean_dora", "the same DoRA without an identity matrix and fp32 copies", False, _lean_dora),
    Rung(
        "halve_micro_batch",
        "fewer rows at once, accumulated for longer: same effective batch, slower",
        False,
        _halve_micro_batch,
    ),
    Rung(
        "gradient_checkpointing", "activations are computed twice: about a third slower", False, _gradient_checkpointing
    ),
    Rung("shard_model", "each card holds a part of the model: more traffic", False, _shard_model),
    Rung("optimizer_8bit", "optimizer state in 8 bits: a slower step on CPU, none on a card", False, _optimizer_8bit),
    Rung("activation_offloading", "activations wait in RAM meanwhile: slower", False, _activation_offloading),
    Rung("base_4bit", "the frozen base is rounded to 4 bits", False, _base_4bit),
)
COSTLY: tuple[Rung, ...] = (
    Rung("disable_dora", "plain LoRA instead of DoRA", True, _disable_dora),
    Rung("halve_max_length", "rows are cut at half the length", True, _halve_max_length),
    Rung("halve_rank", "the adapter learns less", True, _halve_rank),
    Rung("only_q_and_v", "adapters on the query and value projections only", True, _only_q_and_v),
)
"""In the order of what they were measured to save on a 12B model, the largest first: 4.0, 2.7, 0.7 and then 1.4 GiB."""
UNPREDICTED = ("expandable_segments",)
"""It makes the pool smaller, not the predicted peak of what is allocated."""


def ladder(limits: LadderSection) -> Iterator[Rung]:
    """The rungs a recipe allows, in the order they are tried."""
    yield from FREE
    by_name = {rung.name: rung for rung in COSTLY}
    for name in limits.costly:
        yield by_name[name]


@dataclass(frozen=True, slots=True)
class Step:
    """A rung taken, with the predicted peaks of allocated memory before and after it (None: not predicted)."""

    rung: Rung
    before_bytes: int | None
    after_bytes: int | None


@dataclass(frozen=True, slots=True)
class Descent:
    """How far to go down at once. `suffices`: the plan is predicted to fit, or nothing can be predicted."""

    plan: Plan
    steps: tuple[Step, ...]
    suffices: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """What an OOM proves about the plan it happened under. `scale` is of the transient part, 1 to `MAX_SCALE`."""

    memory: MemoryPrediction | None
    phase: str = "step"
    scale: float = 1.0

    @staticmethod
    def of(memory: MemoryPrediction | None, phase: str, earlier_scale: float = 1.0) -> Failure:
        """More than the capacity was needed: where less was predicted, predictions are low by at least that much."""
        if memory is None or phase == "load":
            return Failure(memory, phase, earlier_scale)
        transient = max(memory.needed_bytes - memory.static_bytes, 1)
        proven = (memory.capacity_bytes - memory.static_bytes) / transient
        return Failure(memory, phase, min(max(1.0, proven, earlier_scale), MAX_SCALE))

    def is_met_by(self, memory: MemoryPrediction) -> bool:
        """Whether a plan so predicted is far enough from the failed one, and fits with what the failure proved."""
        if self.memory is None:
            return True
        needed = memory.static_bytes + self.scale * (memory.needed_bytes - memory.static_bytes)
        if self.phase == "load":
            return needed <= memory.capacity_bytes and memory.static_bytes <= self.memory.static_bytes * SHRINK
        return needed <= memory.capacity_bytes * SHRINK and memory.peak_bytes <= self.memory.peak_bytes * SHRINK


def descend(
    plan: Plan,
    limits: LadderSection,
    predictor: Predictor | None,
    *,
    failure: Failure | None = None,
    tried: Collection[Plan] = (),
) -> Descent | None:
    """The first prefix of the ladder that is enough, or all of it; None where no rung is left.

    Enough is: predicted to fit, and after an OOM (`failure`) also as much smaller as it proved necessary.
    Without a predictor one rung is. No plan of `tried` is returned.
    """
    if not limits.enabled:
        return None
    before = predictor(plan) if predictor else None
    steps: list[Step] = []
    current = plan
    seen = {what_it_does(each) for each in (*tried, plan)}
    for rung in _again_and_again(limits):
        ahead, num_taken = current, 0
        while (changed := rung.apply(ahead, limits)) is not None:
            # A halving that changes nothing alone (no row is that long) may do so together with the next.
            ahead, num_taken = changed, num_taken + 1
            memory = predictor(changed) if predictor else None
            if memory and before and not _helps(rung, before, memory, failure):
                continue
            steps += _steps(rung, num_taken, before, memory)
            names = (*current.rungs, *[rung.name] * num_taken)
            current = ahead = replace(changed, rungs=names, memory=memory)
            before, num_taken = memory, 0
            if _is_enough(rung, memory, failure) and what_it_does(current) not in seen:
                return Descent(current, tuple(steps), suffices=True)
    return Descent(current, tuple(steps), suffices=False) if steps and what_it_does(current) not in seen else None


def bottom(plan: Plan, limits: LadderSection, predictor: Predictor) -> Plan:
    """The plan at the end of the ladder that these limits allow; `plan` itself, predicted, where none is."""
    end = replace(plan, memory=predictor(plan))
    for rung in ladder(limits) if limits.enabled else ():
        while (changed := rung.apply(end, limits)) is not None:
            end = replace(changed, rungs=(*end.rungs, rung.name))
    return end if end.rungs == plan.rungs else replace(end, memory=predictor(end))


def consent_needed(
    plan: Plan, limits: LadderSection, predictor: Predictor | None, failure: Failure | None = None
) -> tuple[Step, ...]:
    """The costly rungs without consent that would make `plan` fit, `plan` being the end of what is allowed.

    One alone where one is enough, the first of them by measured effect; else as many as it takes; none where
    all together are too few. Without a predictor the first that applies.
    """
    refused = [rung for rung in COSTLY if rung.name not in limits.costly]
    start = predictor(plan) if predictor else None
    for rung in refused:
        if alone := _tried_alone(rung, plan, limits, predictor, start, failure):
            return (alone,)
    together, before, steps = plan, start, list[Step]()
    for rung in refused if predictor and before else ():
        while (changed := rung.apply(together, limits)) is not None:
            assert predictor is not None
            memory = predictor(changed)
            steps += _steps(rung, 1, before, memory)
            together, before = changed, memory
            if _is_enough(rung, memory, failure):
                return tuple(steps)
    return ()


def _tried_alone(
    rung: Rung,
    plan: Plan,
    limits: LadderSection,
    predictor: Predictor | None,
    start: MemoryPrediction | None,
    failure: Failure | None,
) -> Step | None:
    """The rung as the only change to `plan`, None where it does not apply or is not enough."""
    changed = rung.apply(plan, limits)
    if changed is None:
        return None
    memory = predictor(changed) if predictor else None
    return _steps(rung, 1, start, memory)[0] if _is_enough(rung, memory, failure) else None


def what_it_does(plan: Plan) -> Plan:
    """The plan without the record of how it came about: two that are equal here run the same."""
    return replace(plan, rungs=(), memory=None, reasons=(), notes=(), rows=None)


def _again_and_again(limits: LadderSection) -> Iterator[Rung]:
    """The ladder, its free rungs anew before and after each costly one.

    What a rung makes smaller need not be the peak; once others have lowered that, it may be.
    """
    yield from FREE
    for rung in ladder(limits):
        yield rung
        if rung.changes_objective:
            yield from FREE


def _helps(rung: Rung, before: MemoryPrediction, after: MemoryPrediction, failure: Failure | None) -> bool:
    if failure is not None and failure.phase == "load":
        return after.static_bytes < before.static_bytes
    return after.peak_bytes < before.peak_bytes or rung.name in UNPREDICTED or _answers_eval(rung, failure)


def _is_enough(rung: Rung, memory: MemoryPrediction | None, failure: Failure | None) -> bool:
    if memory is None or _answers_eval(rung, failure):
        return True
    return memory.verdict != "will not fit" and (failure is None or failure.is_met_by(memory))


def _answers_eval(rung: Rung, failure: Failure | None) -> bool:
    """Whether an eval ran out of memory and the rung makes evals smaller, whatever was predicted of either."""
    return failure is not None and failure.phase == "eval" and rung.name == "eval_batch_1"


def _steps(rung: Rung, count: int, before: MemoryPrediction | None, after: MemoryPrediction | None) -> list[Step]:
    """One step per time the rung was taken; what the last one brings is told of it alone."""
    first = before.peak_bytes if before else None
    last = after.peak_bytes if after else None
    return [Step(rung, first, first) for _ in range(count - 1)] + [Step(rung, first, last)]
