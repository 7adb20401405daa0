"""The recipe that starts where a ladder ended: pure, from the recipe that was asked for and the last plan.

Not here: when it is written (`climbing`), and replaying it (`replaying`).
"""

from __future__ import annotations

from typing import Any

from engine.ladder_faults import never_applies
from engine.plan import Plan
from engine.recipe import Recipe

TRAINING_FIELDS = (
    *("per_device_train_batch_size", "gradient_accumulation_steps", "per_device_eval_batch_size", "max_length"),
    *("gradient_checkpointing", "activation_offloading", "fused_loss", "optim"),
)
ADAPTER_FIELDS = ("method", "r", "use_dora", "target_modules")


def settled(recipe: Recipe, last: Plan) -> Recipe:
    """The recipe with every field as the ladder left it; `recipe` itself where no rung was taken.

    Costly rungs that cannot be taken any more are no longer allowed: naming them would be a fault.
    """
    if not last.rungs:
        return recipe
    values: dict[str, Any] = recipe.model_dump(mode="json", exclude_none=True)
    values["training"] |= {name: getattr(last, name) for name in TRAINING_FIELDS}
    values["adapter"] |= {name: getattr(last, name) for name in ADAPTER_FIELDS}
    if not isinstance(last.target_modules, str):
        values["adapter"]["target_modules"] = list(last.target_modules)
    if last.use_dora:
        values["adapter"]["lean_dora"] = last.lean_dora
    if "shard_model" in last.rungs:
        values["distributed"]["strategy"] = last.strategy
    values["memory"]["expandable_segments"] |= last.expandable_segments
    costly, values["ladder"]["costly"] = values["ladder"]["costly"], []
    changed = Recipe.from_values(values)
    sections = (changed.ladder, changed.adapter, changed.training, changed.data)
    values["ladder"]["costly"] = [name for name in costly if not never_applies(name, *sections)]
    return Recipe.from_values(values)
