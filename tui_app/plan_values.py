"""The values of a plan as (name, text, reason): what `finetui plan` prints and the review shows.

Not here: how they are laid out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from engine.memory import trainable_parameters
from engine.plan import Plan
from engine.starting import Prospect
from tui_app.memory_table import parameter_line

SHOWN = (
    *("device_name", "dtype", "autocast", "attn_implementation", "method", "r", "lora_alpha", "target_modules"),
    *("use_rslora", "use_dora", "max_length", "per_device_train_batch_size", "gradient_accumulation_steps"),
    *("gradient_checkpointing", "padding_free", "packing", "train_sampling_strategy", "fused_loss", "optim"),
    *("use_liger_kernel", "torch_compile", "dataloader_num_workers", "num_threads"),
)
TRAINING = ("max_steps", "num_train_epochs", "learning_rate", "lr_scheduler_type", "warmup_steps", "save_steps", "seed")


class Value(NamedTuple):
    """One value and why it is so."""

    name: str
    text: str
    reason: str


def field_of(name: str) -> str:
    """The recipe's field behind a value of the plan, dotted."""
    if name in ("method", "r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora", "use_dora"):
        return f"adapter.{name}"
    if name in ("nproc_per_node", "strategy"):
        return f"distributed.{name}"
    return f"model.{name}" if name in ("dtype", "attn_implementation") else f"training.{name}"


def plan_values(found: Prospect, reason_of: Callable[[str], str] | None = None) -> Iterator[Value]:
    """Every value with where it comes from: the plan's reason, else `reason_of` its field, else recipe or default."""
    chosen, recipe = found.plan, found.recipe
    reasons = {"device_name": dict(chosen.reasons).get("device", "")} | dict(chosen.reasons)
    written = {name.partition(".")[2] for name in found.chosen_fields}
    yield Value("model", recipe.model.name_or_path, reason_of("model.name_or_path") if reason_of else "")
    yield Value("rows", recipe.data.dataset, reason_of("data.dataset") if reason_of else "")
    values = [(name, getattr(chosen, name)) for name in SHOWN] + [(n, getattr(recipe.training, n)) for n in TRAINING]
    for name, value in values:
        if value is None:
            continue
        reason = reasons.get(name)
        if reason is None or reason == "the recipe asks for it":
            reason = (
                reason_of(field_of(name)) if reason_of else reason or ("the recipe" if name in written else "default")
            )
        is_selective = name == "gradient_checkpointing" and chosen.selective_checkpointing
        yield Value(name, "selective" if is_selective else text_of(value), reason)
    if chosen.world_size > 1:
        hosts = f" on each of {chosen.nnodes} hosts" if chosen.nnodes > 1 else ""
        yield Value("nproc_per_node", f"{chosen.nproc_per_node}{hosts}", reasons.get("nproc_per_node", ""))
        yield Value("strategy", chosen.strategy, reasons.get("strategy", ""))
    yield Value("effective batch size", str(chosen.effective_batch_size), batch_sentence(chosen))
    if found.shape:
        yield Value("trained parameters", parameter_line(trainable_parameters(chosen, found.shape), found.shape), "")


def batch_sentence(chosen: Plan) -> str:
    """What the effective batch size is made of; with several processes in numbers: "8 x 1 x 4 ranks"."""
    if chosen.world_size == 1:
        return "micro-batch x accumulation"
    parts = f"{chosen.per_device_train_batch_size} x {chosen.gradient_accumulation_steps} x {chosen.world_size} ranks"
    return f"micro-batch x accumulation x ranks: {parts}"


def text_of(value: object) -> str:
    """A value for a person."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
