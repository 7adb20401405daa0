"""What a plan picks for each class of hardware, and what a machine cannot apply."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from engine.cards import CARDS
from engine.errors import RecipeError
from engine.hardware import Hardware, emulate, read_hardware
from engine.known_models import KNOWN_MODELS
from engine.model_shape import ModelShape
from engine.plan import machine_problems, plan
from engine.recipe import Recipe
from engine.row_lengths import RowLengths
from engine.tuning import picks
from engine.tuning.hardware_class import hardware_class

CPU = dataclasses.replace(
    read_hardware(), gpus=(), gpu_note="no NVIDIA card", cpu_flags=("avx2",), platform="Linux-x86_64", libraries=()
)
MAC = dataclasses.replace(CPU, platform="macOS-15.5-arm64-arm-64bit", cpu_flags=())
T4, A100, H100, V100 = (emulate(CPU, card) for card in ("t4", "a100-40gb", "h100-80gb", "v100-16gb"))
SHAPE = ModelShape.from_config(KNOWN_MODELS["TinyLlama/TinyLlama-1.1B-Chat-v1.0"].config)


def with_liger(hardware: Hardware) -> Hardware:
    return dataclasses.replace(hardware, libraries=("liger_kernel",))


def recipe(**sections: dict[str, Any]) -> Recipe:
    model = {"name_or_path": "m"} | sections.pop("model", {})
    return Recipe.from_values({"model": model, "data": {"dataset": "rows.jsonl"}, **sections})


@pytest.mark.parametrize(
    ("hardware", "kind"),
    [
        (CPU, "cpu"),
        (MAC, "apple"),
        (V100, "older"),
        (T4, "turing"),
        (A100, "ampere"),
        (emulate(CPU, "rtx4090"), "ada"),
        (H100, "hopper"),
        (emulate(CPU, "rtx5090"), "blackwell"),
    ],
)
def test_every_class_of_hardware_has_a_plan_with_a_reason_for_every_pick(hardware: Hardware, kind: str) -> None:
    assert hardware_class(hardware) == kind
    chosen = plan(recipe(), hardware, SHAPE)
    joins = kind not in ("older", "turing")
    assert (chosen.hardware_class, chosen.padding_free) == (kind, joins)
    card = kind not in ("cpu", "apple")
    assert chosen.attn_implementation == ("varlen_attn" if joins and card else "sdpa")
    assert chosen.train_sampling_strategy == ("random" if joins else "by_step")
    assert (chosen.packing, chosen.torch_compile, chosen.use_liger_kernel) == (False, False, False)
    assert all(reason for _, reason in chosen.reasons)


def test_a_mac_says_that_it_trains_on_its_processor() -> None:
    chosen = plan(recipe(), MAC, SHAPE)
    assert chosen.device == "cpu"
    assert "a Mac trains on its processor" in dict(chosen.reasons)["device"]


@pytest.mark.parametrize("card", [card.key for card in CARDS])
def test_rows_are_joined_on_every_card_from_ampere_on(card: str) -> None:
    chosen = plan(recipe(), emulate(CPU, card), SHAPE)
    assert chosen.compute_capability is not None
    assert chosen.padding_free is (chosen.compute_capability >= (8, 0))


def test_heads_too_large_for_the_kernel_are_padded_and_the_reason_names_the_size() -> None:
    large = dataclasses.replace(SHAPE, head_dim=512)
    chosen = plan(recipe(), H100, large)
    assert (chosen.attn_implementation, chosen.padding_free) == ("sdpa", False)
    assert "512" in dict(chosen.reasons)["attn_implementation"]


def test_liger_is_offered_for_installing_only_where_it_would_be_used() -> None:
    asked = recipe(training={"use_liger_kernel": True})
    assert "pip install" in machine_problems(asked, A100, SHAPE)[0].remedy
    assert "pip install" not in machine_problems(asked, T4, SHAPE)[0].remedy


def test_liger_is_used_where_it_is_installed_and_knows_the_family() -> None:
    assert plan(recipe(), with_liger(A100), SHAPE).use_liger_kernel
    assert not plan(recipe(), with_liger(T4), SHAPE).use_liger_kernel
    assert not plan(recipe(), with_liger(CPU), SHAPE).use_liger_kernel
    unknown = dataclasses.replace(SHAPE, architecture="gpt2")
    assert picks.liger(recipe(), with_liger(A100), A100.best_gpu, unknown)[0] is False
    told = machine_problems(recipe(training={"use_liger_kernel": True}), with_liger(A100), unknown)
    assert [problem.field for problem in told] == ["training.use_liger_kernel"]


@pytest.mark.parametrize(
    ("hardware", "sections", "field"),
    [
        (CPU, {"training": {"use_liger_kernel": True}}, "training.use_liger_kernel"),
        (A100, {"training": {"use_liger_kernel": True}}, "training.use_liger_kernel"),
        (CPU, {"training": {"torch_compile": True}}, "training.torch_compile"),
        (emulate(CPU, "p100"), {"training": {"torch_compile": True}}, "training.torch_compile"),
        (T4, {"model": {"attn_implementation": "varlen_attn"}}, "model.attn_implementation"),
        (CPU, {"model": {"attn_implementation": "varlen_attn"}}, "model.attn_implementation"),
        (T4, {"training": {"packing": True}}, "training.packing"),
        (A100, {"training": {"packing": True}, "model": {"attn_implementation": "sdpa"}}, "training.packing"),
        (CPU, {"training": {"packing": True}, "model": {"attn_implementation": "eager"}}, "training.packing"),
        (
            A100,
            {"training": {"gradient_checkpointing": "selective"}, "model": {"attn_implementation": "eager"}},
            "training.gradient_checkpointing",
        ),
    ],
)
def test_what_the_machine_cannot_apply_is_a_fault_of_its_field(
    hardware: Hardware, sections: dict[str, Any], field: str
) -> None:
    with pytest.raises(RecipeError, match=rf"(?m)^  {field}: .*\. Use .*\.$") as told:
        plan(recipe(**sections), hardware, SHAPE)
    assert str(told.value).count("\n  ") >= 1


def test_a_flash_attention_that_is_not_installed_is_a_fault_on_a_card_that_is_here() -> None:
    here = dataclasses.replace(A100, gpus=(dataclasses.replace(A100.gpus[0], emulated=False),))
    asked = recipe(model={"attn_implementation": "flash_attention_2"})
    assert [problem.field for problem in machine_problems(asked, here)] == ["model.attn_implementation"]
    assert machine_problems(asked, A100) == []
    assert machine_problems(asked, dataclasses.replace(here, libraries=("flash_attn",))) == []


def test_packs_that_are_padded_are_a_fault_of_the_recipe_on_any_machine() -> None:
    with pytest.raises(RecipeError, match=r"training\.packing: packs are joined rows"):
        recipe(training={"packing": True, "padding_free": False})


def test_the_reason_tells_how_much_padding_the_order_saves() -> None:
    rows = RowLengths.of([(length, 1) for length in range(10, 1000, 3)])
    sections = {"training": {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 8}}
    why = dict(plan(recipe(**sections), T4, SHAPE, rows=rows).reasons)["train_sampling_strategy"]
    assert "padding instead of" in why
    before, after = rows.padding(1024, 4, 8) or (0.0, 0.0)
    assert 0.3 < before < 0.45
    assert after < 0.12


def test_old_hardware_files_know_of_no_library() -> None:
    stored = json.loads(json.dumps(with_liger(A100).to_json()))
    assert Hardware.from_json(stored) == with_liger(A100)
    del stored["libraries"]
    assert Hardware.from_json(stored).libraries == ()
