"""The ladder on plans whose course is known. What holds for every rung is in contracts/."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from engine.hardware import emulate, read_hardware
from engine.ladder import SHRINK, Rung, next_plan
from engine.memory import closed_form
from engine.model_shape import ModelShape
from engine.plan import Plan, plan
from engine.recipe import Recipe
from engine.starting import shape_for
from presets.preset import preset

CPU = dataclasses.replace(read_hardware(), gpus=(), ram_available_bytes=16 * 2**30, cpu_flags=("avx2",))


def planned(name: str, card: str | None, *overrides: str) -> tuple[Recipe, Plan, ModelShape]:
    recipe = preset(name).recipe(overrides)
    shape, _ = shape_for(recipe, Path.cwd())
    assert shape is not None
    return recipe, plan(recipe, emulate(CPU, card) if card else CPU, shape), shape


def walk(recipe: Recipe, current: Plan, shape: ModelShape | None) -> list[tuple[Plan, tuple[Rung, ...]]]:
    """Every offer of the ladder, each of them running out of memory."""
    offers = []
    while found := next_plan(current, recipe.ladder, closed_form(shape) if shape else None):
        offers.append(found)
        current = found[0]
    return offers


@pytest.mark.parametrize("card", ["t4", "24GiB", "6GiB"])
@pytest.mark.parametrize("knows_shape", [True, False])
def test_the_16_gb_protocol_is_followed_to_the_letter(card: str, knows_shape: bool) -> None:
    recipe, start, shape = planned("trinity-gemma3-12b-16gb", card)
    costly = [
        (rung.name, after.max_length, after.r, after.use_dora, after.target_modules)
        for after, rungs in walk(recipe, start, None if not knows_shape else shape)
        for rung in rungs
        if rung.changes_objective
    ]
    assert [name for name, *_ in costly] == ["halve_max_length", "halve_rank", "disable_dora", "only_q_and_v"]
    assert costly[-1][1:] == (2048, 32, False, ("q_proj", "v_proj"))


def test_without_a_prediction_each_rung_of_the_protocol_is_one_attempt() -> None:
    recipe, start, _ = planned("trinity-gemma3-12b-16gb", "t4")
    values = [
        (p.max_length, p.r, p.use_dora, p.target_modules == ("q_proj", "v_proj")) for p, _ in walk(recipe, start, None)
    ]
    assert values[-4:] == [
        (2048, 64, True, False),
        (2048, 32, True, False),
        (2048, 32, False, False),
        (2048, 32, False, True),
    ]


def test_with_a_prediction_rungs_that_do_not_suffice_are_taken_together() -> None:
    recipe, start, shape = planned("trinity-gemma3-12b-16gb", "t4")
    assert start.memory is not None
    assert start.memory.verdict == "will not fit"
    found = next_plan(start, recipe.ladder, closed_form(shape) if shape else None)
    assert found is not None
    after, rungs = found
    assert [rung.name for rung in rungs] == ["expandable_segments", "halve_max_length"]
    assert after.memory is not None
    assert after.memory.verdict != "will not fit"
    assert after.memory.peak_bytes <= start.memory.peak_bytes * SHRINK


def test_a_plan_that_failed_although_it_was_predicted_to_fit_is_followed_by_a_smaller_one() -> None:
    recipe, start, shape = planned("demo-cpu", None)
    assert start.memory is not None
    assert start.memory.verdict == "fits"
    for after, _ in walk(recipe, start, shape)[:-1]:
        assert after.memory is not None
        assert after.memory.peak_bytes <= start.memory.peak_bytes * SHRINK
        start = after


def test_halving_the_micro_batch_keeps_the_effective_batch_size_down_to_one_row() -> None:
    recipe, start, _ = planned("demo-cpu", None)
    plans = [after for after, _ in walk(recipe, start, None)]
    assert {after.effective_batch_size for after in plans} == {8}
    assert plans[-1].per_device_train_batch_size == 1


def test_an_odd_micro_batch_is_left_as_it_is() -> None:
    recipe, start, _ = planned("demo-cpu", None, "training.per_device_train_batch_size=6")
    assert walk(recipe, start, None)[-1][0].per_device_train_batch_size == 3
    assert walk(recipe, start, None)[-1][0].effective_batch_size == 6


def test_limits_of_the_recipe_are_never_passed() -> None:
    overrides = ('ladder.costly=["halve_rank", "halve_max_length"]', "ladder.min_rank=8", "ladder.min_max_length=100")
    recipe, start, _ = planned("demo-cpu", None, *overrides)
    last = walk(recipe, start, None)[-1][0]
    assert (last.r, last.max_length) == (8, 128)


def test_rungs_of_a_card_are_not_offered_to_a_cpu() -> None:
    recipe, start, _ = planned("demo-cpu", None)
    last = walk(recipe, start, None)[-1][0]
    assert "expandable_segments" not in last.rungs
    assert last.optim == "adamw_8bit"
    recipe, start, _ = planned("demo-cpu", "6GiB")
    last = walk(recipe, start, None)[-1][0]
    assert "expandable_segments" in last.rungs
    assert last.optim == "paged_adamw_8bit"


def test_full_training_has_no_adapter_to_shrink() -> None:
    overrides = ("adapter.method=full", 'ladder.costly=["halve_rank", "disable_dora", "only_q_and_v"]')
    recipe, start, _ = planned("demo-cpu", None, *overrides)
    assert not any(rung.changes_objective for _, rungs in walk(recipe, start, None) for rung in rungs)
    assert walk(recipe, start, None)[-1][0].method == "full"
