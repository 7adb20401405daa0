"""What every rung of the ladder promises. Grows by itself over rungs, presets and machines."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import pytest

from engine.hardware import Hardware, emulate, read_hardware
from engine.ladder import COSTLY, FREE, Rung, ladder
from engine.memory import closed_form
from engine.model_facts import shape_for
from engine.model_shape import ModelShape
from engine.plan import Plan, plan
from engine.recipe_sections import LadderSection
from engine.units import GIB
from presets.preset import Preset, all_presets
from tests.descent import next_plan

PRESETS = all_presets()
CPU = dataclasses.replace(
    read_hardware(), gpus=(), gpu_note="no NVIDIA card", ram_available_bytes=8 * GIB, cpu_flags=("avx2",)
)
MACHINES = {"CPU": CPU} | {card: emulate(CPU, card) for card in ("t4", "6GiB", "24GiB")}
ALL_COSTLY = typing.get_args(typing.get_args(LadderSection.model_fields["costly"].annotation)[0])
EVERYTHING = LadderSection(enabled=True, costly=list(ALL_COSTLY), min_max_length=256, min_rank=4, max_attempts=8)


def planned(preset: Preset, machine: Hardware) -> tuple[Plan, ModelShape]:
    recipe = preset.recipe()
    shape, _ = shape_for(recipe, Path.cwd())
    assert shape is not None
    return plan(recipe, machine, shape), shape


PLANS = {f"{p.name} on {name}": planned(p, machine) for p in PRESETS for name, machine in MACHINES.items()}
PLANS |= {
    f"{p.name} on {name}, 4 ranks": (
        dataclasses.replace(chosen, nproc_per_node=4, strategy="ddp", memory=None),
        shape,
    )
    for p in PRESETS[:2]
    for name in ("CPU", "24GiB")
    for chosen, shape in [PLANS[f"{p.name} on {name}"]]
}
PLANS = {
    name: (dataclasses.replace(chosen, memory=closed_form(shape)(chosen)), shape)
    for name, (chosen, shape) in PLANS.items()
}


def what_it_does(chosen: Plan) -> Plan:
    """The plan without the record of how it came about."""
    return dataclasses.replace(chosen, rungs=(), memory=None, reasons=(), notes=())


def descent(start: Plan, limits: LadderSection, shape: ModelShape | None) -> list[tuple[Plan, tuple[Rung, ...]]]:
    """Every plan down to the end of the ladder, running out of memory each time."""
    steps: list[tuple[Plan, tuple[Rung, ...]]] = []
    current = start
    while found := next_plan(current, limits, closed_form(shape) if shape else None):
        steps.append(found)
        current = found[0]
        assert len(steps) <= 60, "the ladder has no end"
    return steps


def test_every_costly_rung_can_be_named_in_a_recipe_and_every_name_is_a_rung() -> None:
    assert sorted(rung.name for rung in COSTLY) == sorted(ALL_COSTLY)
    names = [rung.name for rung in (*FREE, *COSTLY)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("rung", [*FREE, *COSTLY], ids=lambda rung: rung.name)
@pytest.mark.parametrize("start", PLANS, ids=str)
def test_a_rung_changes_the_plan_or_declines_and_declines_once_it_is_used_up(rung: Rung, start: str) -> None:
    current = PLANS[start][0]
    for _ in range(20):
        changed = rung.apply(current, EVERYTHING)
        if changed is None:
            return
        assert what_it_does(changed) != what_it_does(current)
        assert changed.capacity_bytes == current.capacity_bytes
        if not rung.changes_objective:
            assert changed.effective_batch_size == current.effective_batch_size
            learned = ("r", "lora_alpha", "target_modules", "use_dora", "use_rslora", "max_length")
            assert all(getattr(changed, name) == getattr(current, name) for name in learned)
        current = changed
    pytest.fail(f"{rung.name} never declines")


@pytest.mark.parametrize("rung", [*FREE, *COSTLY], ids=lambda rung: rung.name)
def test_a_rung_applies_to_some_plan_and_tells_its_cost_in_a_phrase(rung: Rung) -> None:
    uneconomical = [
        dataclasses.replace(
            chosen,
            gradient_checkpointing=False,
            fused_loss=False,
            optim="adamw_torch",
            method="lora",
            use_dora=True,
            lean_dora=False,
        )
        for chosen, _ in PLANS.values()
    ]
    assert any(rung.apply(chosen, EVERYTHING) for chosen in uneconomical)
    assert 15 <= len(rung.cost) <= 100
    assert rung.cost[0].islower() or rung.cost.startswith("LoRA")
    assert rung.changes_objective == (rung in COSTLY)


@pytest.mark.parametrize("start", PLANS, ids=str)
@pytest.mark.parametrize("knows_shape", [True, False], ids=["predicted", "model unknown"])
def test_the_ladder_ends_and_never_offers_the_same_plan_twice(start: str, knows_shape: bool) -> None:
    current, shape = PLANS[start]
    steps = descent(current, EVERYTHING, shape if knows_shape else None)
    plans = [what_it_does(chosen) for chosen in (current, *(chosen for chosen, _ in steps))]
    assert all(one != other for n, one in enumerate(plans) for other in plans[:n])
    assert steps, "some rung helps every preset"
    taken = tuple(rung.name for _, rungs in steps for rung in rungs)
    assert steps[-1][0].rungs == taken


@pytest.mark.parametrize("start", PLANS, ids=str)
def test_each_offer_is_smaller_and_either_predicted_to_fit_or_the_last(start: str) -> None:
    current, shape = PLANS[start]
    before = current.memory
    steps = descent(current, EVERYTHING, shape)
    for number, (chosen, _) in enumerate(steps):
        assert before is not None
        assert chosen.memory is not None
        assert chosen.memory.peak_bytes <= before.peak_bytes
        assert chosen.memory.verdict != "will not fit" or number == len(steps) - 1
        before = chosen.memory


@pytest.mark.parametrize("start", PLANS, ids=str)
def test_only_allowed_rungs_are_taken_free_ones_first_and_costly_ones_in_the_order_of_the_recipe(start: str) -> None:
    name = start.partition(" on ")[0]
    limits = next(preset for preset in PRESETS if preset.name == name).recipe().ladder
    current, shape = PLANS[start]
    order = [rung.name for rung in ladder(limits)]
    assert order == [*(rung.name for rung in FREE), *limits.costly]
    taken = [rung for _, rungs in descent(current, limits, shape) for rung in rungs]
    costly = [rung.name for rung in taken if rung.changes_objective]
    assert [order.index(name) for name in costly] == sorted(order.index(name) for name in costly)
    assert {rung.name for rung in taken} <= set(order)


@pytest.mark.parametrize("start", PLANS, ids=str)
def test_a_ladder_that_is_off_ends_at_once(start: str) -> None:
    current, shape = PLANS[start]
    off = LadderSection.model_validate(EVERYTHING.model_dump() | {"enabled": False})
    assert next_plan(current, off, closed_form(shape) if shape else None) is None
    assert next_plan(current, off, None) is None
