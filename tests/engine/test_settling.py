"""The recipe that starts where a ladder ended."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from engine.hardware import emulate, read_hardware
from engine.ladder import descend
from engine.model_facts import shape_for
from engine.plan import Plan, plan
from engine.recipe import Recipe
from engine.settling import settled
from presets.preset import all_presets

PRESETS = {each.name: each for each in all_presets()}
CPU = dataclasses.replace(read_hardware(), gpus=(), ram_available_bytes=16 * 2**30, cpu_flags=("avx2",))
COMPARED = (
    *("method", "r", "target_modules", "use_dora", "lean_dora", "max_length", "per_device_train_batch_size"),
    *("gradient_accumulation_steps", "per_device_eval_batch_size", "gradient_checkpointing"),
    *("activation_offloading", "fused_loss", "optim", "expandable_segments"),
)


def every_plan(recipe: Recipe, start: Plan) -> list[Plan]:
    """Rung by rung to the end of the ladder."""
    plans = [start]
    while found := descend(plans[-1], recipe.ladder, None):
        plans.append(found.plan)
    return plans


@pytest.mark.parametrize("card", [None, "t4"])
@pytest.mark.parametrize("name", PRESETS)
def test_at_every_rung_the_settled_recipe_is_valid_and_plans_to_that_rung(name: str, card: str | None) -> None:
    recipe = PRESETS[name].recipe()
    machine = emulate(CPU, card) if card else CPU
    shape, _ = shape_for(recipe, Path.cwd())
    for last in every_plan(recipe, plan(recipe, machine, shape)):
        if not last.rungs:
            assert settled(recipe, last) is recipe
            continue
        again = Recipe.parse(settled(recipe, last).to_toml())
        replayed = plan(again, machine, shape)
        assert {field: getattr(replayed, field) for field in COMPARED} == {
            field: getattr(last, field) for field in COMPARED
        }
        assert set(again.ladder.costly) <= set(recipe.ladder.costly)


def test_rungs_that_cannot_be_taken_any_more_are_no_longer_allowed() -> None:
    recipe = PRESETS["trinity-gemma3-12b-16gb"].recipe()
    shape, _ = shape_for(recipe, Path.cwd())
    plans = every_plan(recipe, plan(recipe, emulate(CPU, "t4"), shape))
    allowed = list(dict.fromkeys(tuple(settled(recipe, last).ladder.costly) for last in plans))
    assert allowed == [
        ("halve_max_length", "halve_rank", "disable_dora", "only_q_and_v"),
        ("halve_rank", "disable_dora", "only_q_and_v"),
        ("disable_dora", "only_q_and_v"),
        ("only_q_and_v",),
        (),
    ]


def test_what_the_ladder_did_not_touch_stays_as_it_was_asked_for() -> None:
    recipe = PRESETS["demo-cpu"].recipe()
    shape, _ = shape_for(recipe, Path.cwd())
    start = plan(recipe, CPU, shape)
    last = dataclasses.replace(start, per_device_train_batch_size=4, gradient_accumulation_steps=2, rungs=("x",))
    changed = settled(recipe, last)
    assert changed.training.per_device_train_batch_size == 4
    untouched = ("model", "data", "evaluation", "ladder", "export", "run", "title")
    assert all(getattr(changed, name) == getattr(recipe, name) for name in untouched)
