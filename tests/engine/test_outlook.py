"""What is expected of a recipe: the ladder looked down to its end, allowed rungs first, each on top of the last."""

from __future__ import annotations

import dataclasses
from typing import Any

from engine.hardware import emulate, read_hardware
from engine.known_models import KNOWN_MODELS
from engine.memory import closed_form
from engine.model_shape import ModelShape
from engine.outlook import Outlook, outlook
from engine.recipe import Recipe
from engine.row_lengths import RowLengths

CPU = dataclasses.replace(read_hardware(), gpus=(), gpu_note="no NVIDIA card")
GEMMA = "google/gemma-3-12b-it"


def recipe(**sections: dict[str, Any]) -> Recipe:
    values: dict[str, Any] = {
        "model": {"name_or_path": GEMMA},
        "data": {"dataset": "rows.jsonl"},
        "adapter": {"method": "qlora", "r": 64, "use_dora": True, "lean_dora": False},
        "training": {"per_device_train_batch_size": 4, "max_length": 4096, "gradient_checkpointing": True},
    }
    for name, fields in sections.items():
        values[name] = values.get(name, {}) | fields
    return Recipe.from_values(values)


def seen(asked: Recipe, card: str = "t4", **options: Any) -> Outlook:
    shape = ModelShape.from_config(KNOWN_MODELS[GEMMA].config)
    return outlook(asked, emulate(CPU, card), shape, closed_form(shape), **options)


def test_every_rung_is_taken_on_top_of_those_before_it_and_saves_something() -> None:
    found = seen(recipe(ladder={"costly": ["halve_max_length", "disable_dora"]}))
    assert found.plan.memory is not None
    before = found.plan.memory.peak_bytes
    for each in found.rungs:
        assert each.memory is not None
        assert each.saved_bytes == before - each.memory.peak_bytes
        assert each.saved_bytes > 0 or each.rung.name == "expandable_segments"
        before = each.memory.peak_bytes


def test_rungs_without_consent_come_last_and_are_marked() -> None:
    found = seen(recipe(ladder={"costly": ["halve_rank"]}))
    allowed = [each.is_allowed for each in found.rungs]
    assert allowed == sorted(allowed, reverse=True)
    names = {each.rung.name: each.is_allowed for each in found.rungs}
    assert (names["halve_rank"], names["halve_max_length"]) == (True, False)
    assert all(each.rung.changes_objective for each in found.rungs if not each.is_allowed)


def test_a_halving_is_shown_once_with_how_often_it_goes() -> None:
    found = {each.rung.name: each for each in seen(recipe()).rungs}
    assert found["halve_micro_batch"].num_times == 2
    assert found["halve_micro_batch"].to_json()["times"] == 2


def test_a_ladder_that_is_off_has_no_rungs() -> None:
    assert seen(recipe(ladder={"enabled": False})).rungs == ()


def test_counted_rows_decide_instead_of_full_ones() -> None:
    full, counted = seen(recipe()), seen(recipe(), rows=RowLengths.of([(100, 10)] * 50))
    assert full.plan.memory is not None
    assert counted.plan.memory is not None
    assert counted.plan.memory.peak_bytes < full.plan.memory.peak_bytes
    assert counted.time is not None
    assert counted.time.num_tokens == 5000


def test_a_model_of_unknown_shape_has_rungs_without_figures_unless_something_predicts_it() -> None:
    found = outlook(recipe(), emulate(CPU, "t4"), None, None)
    assert found.plan.memory is None
    assert found.time is None
    assert found.rungs
    assert all(each.memory is None for each in found.rungs)
    predictor = closed_form(ModelShape.from_config(KNOWN_MODELS[GEMMA].config))
    assert outlook(recipe(), emulate(CPU, "t4"), None, predictor).plan.memory is not None
