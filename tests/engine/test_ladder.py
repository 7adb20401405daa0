"""The ladder on plans whose course is known. What holds for every rung is in contracts/."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest

from engine.hardware import emulate, read_hardware
from engine.ladder import (
    COSTLY,
    MAX_SCALE,
    SHRINK,
    Failure,
    Rung,
    bottom,
    consent_needed,
    descend,
    what_it_does,
)
from engine.memory import closed_form
from engine.model_facts import shape_for
from engine.model_shape import ModelShape
from engine.plan import Plan, plan
from engine.recipe import Recipe
from engine.recipe_sections import LadderSection
from engine.row_lengths import RowLengths
from presets.preset import preset
from tests.descent import next_plan

CPU = dataclasses.replace(read_hardware(), gpus=(), ram_available_bytes=16 * 2**30, cpu_flags=("avx2",))

EASY = LadderSection.model_validate({})
"""Nothing costly allowed, the lowest limits there are."""


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
    recipe, start, shape = planned("trinity-gemma3-12b-16gb", "10GiB")
    assert start.memory is not None
    assert start.memory.verdict == "will not fit"
    found = descend(start, recipe.ladder, closed_form(shape))
    assert found is not None
    assert found.suffices
    assert len(found.steps) > 1
    assert found.plan.memory is not None
    assert found.plan.memory.verdict != "will not fit"
    assert found.steps[-1].after_bytes == found.plan.memory.peak_bytes
    for one, following in itertools.pairwise(found.steps):
        assert one.after_bytes == following.before_bytes


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


@pytest.mark.parametrize(
    ("size", "accumulation", "course"),
    [(6, 1, [(3, 2), (1, 6)]), (9, 2, [(3, 6), (1, 18)]), (7, 1, [(1, 7)]), (15, 4, [(5, 12), (1, 60)]), (1, 3, [])],
)
def test_a_micro_batch_of_any_size_is_divided_so_that_the_effective_one_stays(
    size: int, accumulation: int, course: list[tuple[int, int]]
) -> None:
    sizes = (f"per_device_train_batch_size={size}", f"gradient_accumulation_steps={accumulation}")
    recipe, start, _ = planned("demo-cpu", None, *(f"training.{each}" for each in sizes))
    offers = [after for after, (rung,) in walk(recipe, start, None) if rung.name == "halve_micro_batch"]
    assert [(p.per_device_train_batch_size, p.gradient_accumulation_steps) for p in offers] == course
    assert {p.effective_batch_size for p in offers} <= {size * accumulation}


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
    recipe, start, _ = planned("demo-cpu", None, "adapter.method=full")
    everything = recipe.ladder.model_copy(update={"costly": ["halve_rank", "disable_dora", "only_q_and_v"]})
    found = descend(start, everything, None)
    while found:
        last = found
        found = descend(last.plan, everything, None)
    assert not any(name in everything.costly for name in last.plan.rungs)
    assert last.plan.method == "full"


def test_free_rungs_come_in_their_order_and_all_before_costly_ones() -> None:
    recipe, start, _ = planned("trinity-gemma3-12b-16gb", "t4")
    wasteful = dataclasses.replace(
        start,
        per_device_eval_batch_size=8,
        per_device_train_batch_size=2,
        fused_loss=False,
        lean_dora=False,
        gradient_checkpointing=False,
        optim="adamw_torch",
        method="lora",
    )
    order = list(dict.fromkeys(rung.name for _, rungs in walk(recipe, wasteful, None) for rung in rungs))
    assert order == [
        *("expandable_segments", "eval_batch_1", "fused_loss", "lean_dora", "halve_micro_batch"),
        *("gradient_checkpointing", "optimizer_8bit", "activation_offloading", "base_4bit"),
        *("halve_max_length", "halve_rank", "disable_dora", "only_q_and_v"),
    ]


def test_only_q_and_v_keeps_those_of_the_two_that_there_were() -> None:
    recipe, start, _ = planned("trinity-gemma3-12b-16gb", "t4")
    (rung,) = (each for each in COSTLY if each.name == "only_q_and_v")

    def after(*targets: str) -> str | tuple[str, ...] | None:
        changed = rung.apply(dataclasses.replace(start, target_modules=targets), recipe.ladder)
        return changed and changed.target_modules

    assert after("up_proj", "v_proj") == ("v_proj",)
    assert after("v_proj", "k_proj", "q_proj") == ("q_proj", "v_proj")
    assert after("v_proj", "q_proj") is None
    assert after("up_proj") is None


def test_a_halving_that_shortens_no_row_is_taken_only_together_with_one_that_does() -> None:
    recipe, start, shape = planned("demo-cpu", None, "training.max_length=4096", 'ladder.costly=["halve_max_length"]')
    longest = dataclasses.replace(start, rows=RowLengths(((700, 100),), 500, 350_000), per_device_train_batch_size=1)
    limits = recipe.ladder.model_copy(update={"min_max_length": 512})
    found = descend(longest, limits, closed_form(shape), failure=Failure.of(closed_form(shape)(longest), "step"))
    assert found is not None
    taken = [step for step in found.steps if step.rung.name == "halve_max_length"]
    assert len(taken) in (0, 3), "4096 -> 512, or not at all: 2048 and 1024 cut nothing"
    assert found.plan.max_length == (512 if taken else 4096)
    assert all(step.before_bytes is not None for step in found.steps)


def test_an_oom_below_what_was_predicted_to_fit_scales_the_predictions_that_follow() -> None:
    recipe, start, shape = planned("demo-cpu", None)
    predictor = closed_form(shape)
    memory = predictor(start)
    just_enough = dataclasses.replace(start, capacity_bytes=int(memory.needed_bytes * 1.1))
    failure = Failure.of(predictor(just_enough), "step")
    transient = memory.needed_bytes - memory.static_bytes
    assert failure.scale == pytest.approx((just_enough.capacity_bytes - memory.static_bytes) / transient)
    assert 1 < failure.scale <= MAX_SCALE
    found = descend(just_enough, recipe.ladder, predictor, failure=failure)
    assert found is not None
    assert found.plan.memory is not None
    after = found.plan.memory
    needed = after.static_bytes + failure.scale * (after.needed_bytes - after.static_bytes)
    assert not found.suffices or needed <= just_enough.capacity_bytes * SHRINK


def test_what_one_oom_proves_is_bounded_and_never_forgotten() -> None:
    _, start, shape = planned("demo-cpu", None)
    memory = closed_form(shape)(dataclasses.replace(start, capacity_bytes=2**40))
    assert Failure.of(memory, "step").scale == MAX_SCALE
    over = closed_form(shape)(dataclasses.replace(start, capacity_bytes=2**20))
    assert Failure.of(over, "step").scale == 1.0
    assert Failure.of(over, "step", earlier_scale=1.2).scale == 1.2
    assert Failure.of(memory, "load").scale == 1.0, "loading says nothing of the transient part"


def test_an_oom_while_loading_takes_only_what_shrinks_weights_and_state() -> None:
    recipe, start, shape = planned("demo-cpu", None, "adapter.method=lora")
    failure = Failure.of(closed_form(shape)(start), "load")
    found = descend(start, recipe.ladder, closed_form(shape), failure=failure)
    assert found is not None
    assert found.steps[-1].rung.name == "base_4bit"
    assert {step.rung.name for step in found.steps} <= {"eval_batch_1", "optimizer_8bit", "base_4bit"}


def test_an_oom_in_eval_is_answered_by_the_eval_batch_alone() -> None:
    recipe, start, shape = planned("demo-cpu", None)
    assert start.per_device_eval_batch_size > 1
    failure = Failure.of(closed_form(shape)(start), "eval")
    found = descend(start, recipe.ladder, closed_form(shape), failure=failure)
    assert found is not None
    assert [step.rung.name for step in found.steps] == ["eval_batch_1"]


def test_a_plan_that_was_tried_is_never_offered_again() -> None:
    recipe, start, _ = planned("demo-cpu", None)
    first = descend(start, recipe.ladder, None)
    assert first is not None
    again = descend(start, recipe.ladder, None, tried=(first.plan,))
    assert again is not None
    assert what_it_does(again.plan) != what_it_does(first.plan)
    assert again.plan.rungs[: len(first.plan.rungs)] == first.plan.rungs


def test_the_costly_rung_that_is_missing_is_the_first_by_effect_that_is_enough_alone() -> None:
    overrides = ("ladder.costly=[]",)
    recipe, start, shape = planned("trinity-gemma3-12b-16gb", "t4", *overrides)
    predictor = closed_form(shape)
    lowest = bottom(start, recipe.ladder, predictor)
    needs = {rung.name: predictor(changed).needed_bytes for rung in COSTLY if (changed := rung.apply(lowest, EASY))}
    for name, needed in needs.items():
        capped = dataclasses.replace(lowest, capacity_bytes=needed)
        (step, *more) = consent_needed(capped, EASY, predictor)
        assert not more
        enough = [each.name for each in COSTLY if needs.get(each.name, needed + 1) <= needed]
        assert step.rung.name == enough[0], f"with room for {name}"
    assert consent_needed(dataclasses.replace(lowest, capacity_bytes=2**20), EASY, predictor) == ()
    together = consent_needed(dataclasses.replace(lowest, capacity_bytes=min(needs.values()) - 1), EASY, predictor)
    assert len(together) > 1
