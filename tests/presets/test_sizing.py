"""Sizes for a model of one's own: on every card they are valid and predicted to fit, or say that none does."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cards import CARDS
from engine.errors import RecipeError
from engine.hardware import Hardware, emulate, read_hardware
from engine.known_models import KNOWN_MODELS
from engine.memory import closed_form
from engine.model_shape import ModelShape, model_shape
from engine.plan import plan
from engine.recipe import Recipe
from engine.units import GIB
from presets.sizing import EFFECTIVE_BATCH, PLAIN, SIZES, Size, size_named, sizes

CPU = dataclasses.replace(
    read_hardware(), gpus=(), gpu_note="no NVIDIA card", ram_available_bytes=8 * GIB, cpu_flags=("avx2",)
)
LLAMA_70B = {
    "model_type": "llama",
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}
SHAPES = {name: model_shape(known.config) for name, known in KNOWN_MODELS.items()} | {"70b": model_shape(LLAMA_70B)}
MACHINES = {card.key: emulate(CPU, card.key) for card in CARDS} | {"cpu": CPU, "2GiB": emulate(CPU, "2GiB")}


def recipe_of(size: Size, **fixed: str) -> Recipe:
    overrides = [f"{field}={text}" for field, text, _ in size.values]
    return Recipe.parse(PLAIN, overrides=[*overrides, *(f"{name}={text}" for name, text in fixed.items())])


def check(size: Size, shape: ModelShape, hardware: Hardware) -> None:
    recipe = recipe_of(size)
    memory = plan(recipe, hardware, shape, predictor=closed_form(shape)).memory
    assert memory is not None
    assert memory.verdict == size.verdict
    assert size.verdict == "fits" or "would have to help" in size.reason
    training = recipe.training
    rows = training.per_device_train_batch_size * training.gradient_accumulation_steps
    assert rows == EFFECTIVE_BATCH
    assert training.max_length <= shape.max_position_embeddings
    assert all(reason for _, _, reason in size.values)


@pytest.mark.parametrize("machine", MACHINES)
def test_on_every_card_every_size_is_a_valid_recipe_that_fits_or_says_that_none_does(machine: str) -> None:
    for name in ("google/gemma-3-270m", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "google/gemma-3-12b-it", "70b"):
        for size in sizes(SHAPES[name], MACHINES[machine]):
            check(size, SHAPES[name], MACHINES[machine])


@given(name=st.sampled_from(sorted(SHAPES)), mib=st.integers(400, 100_000))
@settings(max_examples=12, deadline=None)
def test_whatever_the_card_holds_more_memory_never_means_that_nothing_fits_any_more(name: str, mib: int) -> None:
    small, large = (emulate(CPU, f"{size}MiB") for size in (mib, 2 * mib))
    for less, more in zip(sizes(SHAPES[name], small), sizes(SHAPES[name], large), strict=True):
        check(less, SHAPES[name], small)
        assert (less.verdict, more.verdict) != ("fits", "will not fit")


def test_a_small_card_takes_four_bits_and_a_large_one_does_not() -> None:
    shape = SHAPES["TinyLlama/TinyLlama-1.1B-Chat-v1.0"]
    assert recipe_of(size_named("balanced", shape, emulate(CPU, "2GiB"))).adapter.method == "qlora"
    assert recipe_of(size_named("balanced", shape, MACHINES["a100-40gb"])).adapter.method == "lora"


def test_quality_trains_all_of_a_small_model_with_a_tenth_of_the_learning_rate() -> None:
    recipe = recipe_of(size_named("quality", SHAPES["google/gemma-3-270m"], MACHINES["rtx4090"]))
    assert (recipe.adapter.method, recipe.training.learning_rate) == ("full", 2e-5)


def test_what_somebody_chose_is_kept_and_counted_with() -> None:
    shape, fixed = SHAPES["google/gemma-3-1b-it"], {"adapter.method": "qlora", "training.max_length": "4096"}
    size = size_named("fast", shape, MACHINES["t4"], fixed=fixed)
    assert {field: text for field, text, _ in size.values}["training.max_length"] == "4096"
    assert recipe_of(size).adapter.method == "qlora"


def test_a_model_nobody_has_looked_at_gets_a_careful_guess_that_says_so() -> None:
    for size in sizes(None, MACHINES["t4"]):
        assert (size.verdict, size.memory) == ("unknown", None)
        assert recipe_of(size).training.per_device_train_batch_size == 1
        assert "not here yet" in size.values[0][2]


def test_a_size_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(RecipeError, match="no size 'huge'") as fault:
        size_named("huge", None, CPU)
    assert all(name in fault.value.remedy for name in SIZES)
