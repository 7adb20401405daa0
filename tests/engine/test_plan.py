"""Plans: every number final, with its reason, and what a machine cannot do said at once."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from engine.errors import RecipeError
from engine.hardware import Hardware, emulate, read_hardware
from engine.known_models import KNOWN_MODELS
from engine.memory import MemoryPrediction, closed_form
from engine.model_shape import ModelShape
from engine.plan import Plan, plan
from engine.recipe import Recipe
from engine.units import GIB

CPU = dataclasses.replace(
    read_hardware(),
    gpus=(),
    gpu_note="no NVIDIA card",
    cpu_name="a processor",
    cpu_flags=("avx2", "avx512_bf16"),
    num_cores=4,
    ram_available_bytes=32 * GIB,
    ram_limit_note="",
)
T4, H100 = emulate(CPU, "t4"), emulate(CPU, "h100-80gb")
SHAPE = ModelShape.from_config(KNOWN_MODELS["TinyLlama/TinyLlama-1.1B-Chat-v1.0"].config)


def recipe(**sections: dict[str, Any]) -> Recipe:
    values: dict[str, Any] = {"model": {"name_or_path": "m"}, "data": {"dataset": "rows.jsonl"}}
    for name, fields in sections.items():
        values[name] = values.get(name, {}) | fields
    return Recipe.from_values(values)


@pytest.mark.parametrize(
    ("hardware", "method", "dtype", "autocast"),
    [
        (T4, "lora", "float16", "float16"),
        (T4, "qlora", "float16", "float16"),
        (T4, "full", "float32", "float16"),
        (H100, "lora", "bfloat16", "bfloat16"),
        (H100, "full", "float32", "bfloat16"),
        (CPU, "lora", "float32", "bfloat16"),
        (CPU, "full", "float32", "bfloat16"),
        (dataclasses.replace(CPU, cpu_flags=("avx2",)), "lora", "float32", "none"),
    ],
    ids=["T4", "T4 4-bit", "T4 full", "H100", "H100 full", "CPU", "CPU full", "CPU without bf16"],
)
def test_the_types_follow_what_the_device_computes_in(
    hardware: Hardware, method: str, dtype: str, autocast: str
) -> None:
    chosen = plan(recipe(adapter={"method": method}), hardware, SHAPE)
    assert (chosen.dtype, chosen.autocast) == (dtype, autocast)


@pytest.mark.parametrize("hardware", [CPU, T4, H100], ids=["CPU", "T4", "H100"])
@pytest.mark.parametrize("shape", [SHAPE, None], ids=["known model", "model not here yet"])
@pytest.mark.parametrize("checkpointing", ["auto", True, False])
def test_every_value_that_the_recipe_does_not_give_has_its_reason(
    hardware: Hardware, shape: ModelShape | None, checkpointing: bool | str
) -> None:
    chosen = plan(recipe(training={"gradient_checkpointing": checkpointing}), hardware, shape)
    reasons = dict(chosen.reasons)
    assert len(reasons) == len(chosen.reasons)
    wanted = {"device", "capacity_bytes", "dtype", "autocast", "attn_implementation", "padding_free", "num_threads"}
    wanted |= {"packing", "train_sampling_strategy", "fused_loss", "optim", "use_liger_kernel", "torch_compile"}
    assert set(reasons) == wanted | {"dataloader_num_workers", "gradient_checkpointing"}
    assert all(len(reason) >= 8 for reason in reasons.values())


def test_values_of_the_recipe_reach_the_plan_unchanged() -> None:
    asked = recipe(
        adapter={"r": 8, "lora_alpha": 4.5, "target_modules": ["q_proj"], "use_dora": True, "use_rslora": True},
        training={"max_length": 77, "per_device_train_batch_size": 3, "gradient_accumulation_steps": 5},
    )
    chosen = plan(asked, T4, SHAPE)
    assert (chosen.r, chosen.lora_alpha, chosen.target_modules) == (8, 4.5, ("q_proj",))
    assert (chosen.use_dora, chosen.use_rslora, chosen.max_length, chosen.effective_batch_size) == (True, True, 77, 15)


NO_BF16, NO_FLASH = {"dtype": "bfloat16"}, {"attn_implementation": "flash_attention_2"}


@pytest.mark.parametrize(
    ("hardware", "sections", "field"),
    [
        (T4, {"model": NO_BF16}, "model.dtype"),
        (CPU, {"model": {"dtype": "float16"}}, "model.dtype"),
        (T4, {"model": NO_FLASH}, "model.attn_implementation"),
        (CPU, {"model": NO_FLASH}, "model.attn_implementation"),
        (T4, {"training": {"padding_free": True}}, "training.padding_free"),
        (T4, {"training": {"packing": True}}, "training.packing"),
        (
            CPU,
            {"model": {"attn_implementation": "eager"}, "training": {"padding_free": True}},
            "training.padding_free",
        ),
        (dataclasses.replace(CPU, cpu_flags=("sse4",)), {"adapter": {"method": "qlora"}}, "adapter.method"),
        (CPU, {"training": {"activation_offloading": True}}, "training.activation_offloading"),
        (CPU, {"memory": {"expandable_segments": True}}, "memory.expandable_segments"),
    ],
)
def test_an_option_that_the_machine_cannot_apply_is_a_fault_of_its_field(
    hardware: Hardware, sections: dict[str, Any], field: str
) -> None:
    with pytest.raises(RecipeError, match=rf"(?m)^  {field}: .*\. Use .*\.$") as told:
        plan(recipe(**sections), hardware, SHAPE)
    assert told.value.exit_code == 2


def test_everything_that_cannot_be_applied_is_told_at_once() -> None:
    asked = recipe(model=NO_BF16 | NO_FLASH, training={"padding_free": True})
    with pytest.raises(RecipeError, match="2 faults") as told:
        plan(asked, T4, SHAPE)
    assert "model.dtype" in told.value.happened
    assert "model.attn_implementation" in told.value.happened
    with pytest.raises(RecipeError, match="2 faults"):
        plan(recipe(model=NO_FLASH | {"dtype": "float16"}), CPU, SHAPE)


@pytest.mark.parametrize(
    ("hardware", "sections"),
    [
        (H100, {"model": NO_BF16 | NO_FLASH, "training": {"padding_free": True}}),
        (CPU, {"model": NO_BF16, "training": {"padding_free": True}, "adapter": {"method": "qlora"}}),
        (T4, {"model": {"dtype": "float16", "attn_implementation": "eager"}, "adapter": {"method": "qlora"}}),
    ],
)
def test_what_the_machine_can_do_is_planned(hardware: Hardware, sections: dict[str, Any]) -> None:
    chosen = plan(recipe(**sections), hardware, SHAPE)
    assert chosen.dtype == sections["model"]["dtype"]


def test_rows_are_joined_without_padding_only_where_they_cannot_see_each_other() -> None:
    assert plan(recipe(), CPU, SHAPE).padding_free
    assert not plan(recipe(model={"attn_implementation": "eager"}), CPU, SHAPE).padding_free
    assert plan(recipe(), H100, SHAPE).padding_free
    assert not plan(recipe(), T4, SHAPE).padding_free


def test_checkpointing_is_off_where_the_step_fits_without_and_on_where_it_does_not() -> None:
    small = recipe(training={"per_device_train_batch_size": 1, "max_length": 128})
    large = recipe(training={"per_device_train_batch_size": 8, "max_length": 2048})
    assert not plan(small, T4, SHAPE).gradient_checkpointing
    chosen = plan(large, T4, SHAPE)
    assert chosen.gradient_checkpointing
    assert "without it the peak would be" in dict(chosen.reasons)["gradient_checkpointing"]
    assert chosen.memory is not None
    assert chosen.memory.verdict == "fits"


def test_the_capacity_is_what_is_free_or_less_if_the_recipe_says_so() -> None:
    assert T4.best_gpu is not None
    free = T4.best_gpu.free_bytes
    assert plan(recipe(), T4, SHAPE).capacity_bytes == free
    assert plan(recipe(), CPU, SHAPE).capacity_bytes == 32 * GIB
    less = plan(recipe(memory={"limit": "6GiB"}), T4, SHAPE)
    assert (less.capacity_bytes, less.enforce_limit) == (6 * GIB, True)
    more = plan(recipe(memory={"limit": "60GiB"}), T4, SHAPE)
    assert (more.capacity_bytes, more.enforce_limit) == (free, True)
    assert "memory.limit allows more" in dict(more.reasons)["capacity_bytes"]


def test_a_plan_survives_json_byte_for_byte() -> None:
    for hardware in (CPU, T4, H100):
        for asked in (recipe(), recipe(adapter={"method": "qlora", "target_modules": ["q_proj", "v_proj"]})):
            for shape in (SHAPE, None):
                chosen = plan(asked, hardware, shape)
                text = json.dumps(chosen.to_json())
                again = Plan.from_json(json.loads(text))
                assert again == chosen
                assert json.dumps(again.to_json()) == text
                assert again.checkpoint_key() == chosen.checkpoint_key()


@pytest.mark.parametrize(
    "spoil", [lambda raw: raw.pop("r"), lambda raw: raw.update(surprise=1), lambda raw: raw.clear()]
)
def test_what_is_no_plan_is_refused(spoil: Any) -> None:
    raw = json.loads(json.dumps(plan(recipe(), CPU, SHAPE).to_json()))
    spoil(raw)
    with pytest.raises(ValueError, match="not a plan"):
        Plan.from_json(raw)


def test_the_same_inputs_give_the_same_plan() -> None:
    for hardware in (CPU, T4, H100):
        assert plan(recipe(), hardware, SHAPE) == plan(recipe(), hardware, SHAPE)


def test_a_checkpoint_is_of_another_plan_exactly_when_the_adapter_or_the_optimizer_differs() -> None:
    chosen = plan(recipe(), CPU, SHAPE)
    key = chosen.checkpoint_key()
    for same in (
        {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8},
        {"gradient_checkpointing": True},
        {"max_length": 512},
    ):
        assert dataclasses.replace(chosen, **same).checkpoint_key() == key  # type: ignore[arg-type]
    for other in ({"r": 4}, {"optim": "adamw_8bit"}, {"use_dora": True}, {"method": "qlora"}):
        assert dataclasses.replace(chosen, **other).checkpoint_key() != key  # type: ignore[arg-type]


def test_the_generation_of_the_card_is_in_the_plan() -> None:
    assert plan(recipe(), T4, SHAPE).compute_capability == (7, 5)
    assert plan(recipe(), CPU, SHAPE).compute_capability is None


def test_rows_are_held_out_unless_the_recipe_keeps_none() -> None:
    assert plan(recipe(), CPU, SHAPE).has_eval
    assert not plan(recipe(data={"eval_fraction": 0.0}), CPU, SHAPE).has_eval
    assert plan(recipe(data={"eval_fraction": 0.0, "eval_dataset": "e.jsonl"}), CPU, SHAPE).has_eval


def test_checkpointing_stays_off_where_an_eval_batch_decides_the_peak() -> None:
    asked = recipe(training={"per_device_train_batch_size": 1, "per_device_eval_batch_size": 256, "max_length": 2048})
    chosen = plan(asked, T4, SHAPE)
    assert not chosen.gradient_checkpointing
    assert "would not make the peak smaller" in dict(chosen.reasons)["gradient_checkpointing"]


def test_another_predictor_than_the_closed_form_decides_where_one_is_given() -> None:
    small = closed_form(SHAPE)(plan(recipe(), T4, SHAPE))
    tight = dataclasses.replace(small, verdict="will not fit")
    halved = dataclasses.replace(tight, peak_bytes=small.peak_bytes // 2)

    def predictor(asked: Plan) -> MemoryPrediction:
        return halved if asked.gradient_checkpointing else tight

    chosen = plan(recipe(), T4, None, predictor=predictor)
    assert chosen.gradient_checkpointing
    assert chosen.memory == halved


def test_a_paged_optimizer_without_a_card_is_remarked_on() -> None:
    chosen = plan(recipe(training={"optim": "paged_adamw_8bit"}), CPU, SHAPE)
    assert any("pages nothing" in note for note in chosen.notes)


def test_a_plan_of_the_first_version_is_read_without_its_prediction() -> None:
    chosen = plan(recipe(), CPU, None)
    old = chosen.to_json()
    for name in ("lean_dora", "activation_offloading", "fused_loss", "rows", "compute_capability", "has_eval"):
        del old[name]
    old["memory"] = {"terms": [["weights", 1]], "peak_bytes": 1, "outside_bytes": 0, "capacity_bytes": 2}
    assert Plan.from_json(old) == dataclasses.replace(chosen, has_eval=True)
