"""What is to be expected of a recipe on a machine: its plan, its memory, its time, and how far the ladder reaches.

`finetui plan` shows it. Nothing is started and nothing is downloaded. Not here: how it looks (`tui_app`), and what
a run does when memory runs out (`ladder`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.calibration import lookup
from engine.hardware import Hardware
from engine.ladder import COSTLY, Rung, ladder
from engine.memory import MemoryPrediction, Predictor
from engine.model_shape import ModelShape
from engine.plan import Plan, plan
from engine.recipe import Recipe
from engine.row_lengths import RowLengths
from engine.time_estimate import TimeEstimate, time_estimate

MAX_TIMES = 12
"""Halvings of one kind that are looked at: 4,096 tokens are 1 by then."""
FRAGMENTATION = "expandable_segments"
"""The rung that makes the pool smaller, not the peak allocated."""


@dataclass(frozen=True, slots=True)
class RungOutlook:
    """A rung taken after all those before it, as often as it goes. `saved_bytes` is of the peak allocated.

    `is_allowed`: free, or named by the recipe. A rung that is not allowed is looked at as if it were.
    """

    rung: Rung
    num_times: int
    memory: MemoryPrediction | None
    saved_bytes: int
    is_allowed: bool

    def to_json(self) -> dict[str, Any]:
        memory = self.memory
        return {
            "rung": self.rung.name,
            "times": self.num_times,
            "cost": self.rung.cost,
            "changes_objective": self.rung.changes_objective,
            "allowed": self.is_allowed,
            "peak_bytes": memory.peak_bytes if memory else None,
            "needed_bytes": memory.needed_bytes if memory else None,
            "verdict": memory.verdict if memory else None,
            "saved_bytes": self.saved_bytes,
        }


@dataclass(frozen=True, slots=True)
class Outlook:
    """A plan and what follows from it."""

    plan: Plan
    rungs: tuple[RungOutlook, ...]
    time: TimeEstimate | None
    rows_from: str = ""
    """Where the lengths of `plan.rows` come from; without any, why every row counts as `max_length` tokens."""


def outlook(
    recipe: Recipe,
    hardware: Hardware,
    shape: ModelShape | None,
    predictor: Predictor | None,
    *,
    rows: RowLengths | None = None,
    rows_from: str = "",
    with_rungs: bool = True,
) -> Outlook:
    """Plan and predict. Raises RecipeError for a recipe that the machine cannot carry out."""
    chosen = plan(recipe, hardware, shape, rows=rows, predictor=predictor)
    time = expected_time(chosen, recipe, shape, hardware)
    rungs = tuple(rung_outlooks(chosen, recipe, predictor)) if with_rungs else ()
    return Outlook(chosen, rungs, time, rows_from)


def expected_time(chosen: Plan, recipe: Recipe, shape: ModelShape | None, hardware: Hardware) -> TimeEstimate | None:
    """How long the plan's training takes, by earlier runs on this device where there were some."""
    if shape is None:
        return None
    method = chosen.memory.method if chosen.memory else "closed form"
    found, _ = lookup(chosen, method, num_parameters=shape.num_parameters)
    return time_estimate(chosen, shape, recipe.training, hardware, flops=found.flops if found else None)


def rung_outlooks(start: Plan, recipe: Recipe, predictor: Predictor | None) -> Iterator[RungOutlook]:
    """Every rung that applies and helps, each on top of those before it; those without consent come last."""
    limits = recipe.ladder
    allowed = list(ladder(limits)) if limits.enabled else []
    refused = [rung for rung in COSTLY if rung not in allowed] if limits.enabled else []
    current, before = start, start.memory
    for rung in (*allowed, *refused):
        changed, num_times = current, 0
        while num_times < MAX_TIMES and (further := rung.apply(changed, limits)) is not None:
            changed, num_times = further, num_times + 1
        if not num_times:
            continue
        memory = predictor(changed) if predictor else None
        if memory and before and memory.peak_bytes >= before.peak_bytes and rung.name != FRAGMENTATION:
            continue  # the ladder passes over it too
        saved = before.peak_bytes - memory.peak_bytes if memory and before else 0
        yield RungOutlook(rung, num_times, memory, saved, rung in allowed)
        current, before = dataclasses.replace(changed, memory=memory), memory
