"""Finding presets, and the six that are shipped held against the systems they descend from."""

from __future__ import annotations

import pytest

from engine.errors import RecipeError
from presets.preset import all_presets, preset


def test_the_presets_that_are_promised_are_there() -> None:
    assert {each.name for each in all_presets()} >= {
        "demo-cpu",
        "gemma-270m-csv",
        "nlcli-gemma3-1b",
        "trinity-gemma3-12b-16gb",
        "qwen-coder-mbpp-6gb",
        "roadmap-tinyllama",
    }


@pytest.mark.parametrize(("given", "near"), [("demo-gpu", "demo-cpu"), ("trinity", "trinity-gemma3-12b-16gb")])
def test_a_misspelled_preset_is_answered_with_the_nearest(given: str, near: str) -> None:
    with pytest.raises(RecipeError, match=f"There is no preset '{given}'") as told:
        preset(given)
    assert near in told.value.remedy


def test_a_name_like_no_other_is_answered_with_all_of_them() -> None:
    with pytest.raises(RecipeError) as told:
        preset("\x1b[31mzzz")
    assert all(each.name in told.value.remedy for each in all_presets())
    assert "\x1b" not in told.value.happened


def test_an_override_changes_a_preset_and_a_wrong_one_is_refused() -> None:
    assert preset("demo-cpu").recipe(["training.max_steps=2"]).training.max_steps == 2
    with pytest.raises(RecipeError, match=r"training\.max_steps"):
        preset("demo-cpu").recipe(["training.max_steps=0"])
    with pytest.raises(RecipeError, match="not of the form"):
        preset("demo-cpu").recipe(["max_steps"])


def test_the_16_gb_preset_is_its_sources_protocol() -> None:
    recipe = preset("trinity-gemma3-12b-16gb").recipe()
    adapter, training = recipe.adapter, recipe.training
    assert (adapter.method, adapter.r, adapter.lora_alpha) == ("qlora", 64, 32)
    assert (adapter.use_rslora, adapter.use_dora, len(adapter.target_modules)) == (True, True, 7)
    assert (training.max_length, training.max_steps, training.learning_rate) == (4096, 60, 2e-4)
    assert (training.per_device_train_batch_size, training.gradient_accumulation_steps) == (1, 4)
    assert (training.optim, training.lr_scheduler_type) == ("adamw_8bit", "cosine")
    assert recipe.ladder.costly == ["halve_max_length", "halve_rank", "disable_dora", "only_q_and_v"]


def test_the_other_presets_are_what_their_sources_trained() -> None:
    command = preset("nlcli-gemma3-1b").recipe()
    assert (command.data.generator_rows, command.data.test_fraction, command.training.num_train_epochs) == (
        1500,
        0.1,
        3,
    )
    assert (command.export.to, command.export.quantization, command.export.imatrix) == (["gguf"], "Q4_K_M", True)
    code = preset("qwen-coder-mbpp-6gb").recipe()
    assert code.data.template == "Task: {text}\nSolution: {code}"
    assert (code.adapter.method, code.data.rendering) == ("qlora", "plain")
    roadmap = preset("roadmap-tinyllama").recipe()
    assert (roadmap.training.optim, roadmap.evaluation.metrics) == (
        "paged_adamw_8bit",
        ["exact_match", "rouge", "bleu"],
    )


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_the_csv_preset_takes_all_three_methods(method: str) -> None:
    recipe = preset("gemma-270m-csv").recipe([f"adapter.method={method}", "data.dataset=my links.csv"])
    assert (recipe.adapter.method, recipe.data.dataset) == (method, "my links.csv")
