"""Shapes from configurations, held against published totals. Against transformers' own models: training/."""

from __future__ import annotations

import json

import pytest

from engine.errors import ModelError
from engine.known_models import KNOWN_MODELS
from engine.model_shape import ModelShape

# Parameter totals as published with each model (the hub's safetensors metadata), tied embeddings counted once.
PUBLISHED = {
    "bundled:smollm2-135m-instruct": 134_515_008,
    "google/gemma-3-270m": 268_098_176,
    "google/gemma-3-1b-it": 999_885_952,
    "google/gemma-3-12b-it": 12_187_325_040,
    "Qwen/Qwen2.5-Coder-0.5B": 494_032_768,
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": 1_100_048_384,
}


def shape_of(name: str) -> ModelShape:
    return ModelShape.from_config(KNOWN_MODELS[name].config)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_known_model_counts_as_many_parameters_as_published(name: str) -> None:
    assert shape_of(name).num_parameters == PUBLISHED[name]


def test_every_known_model_can_be_sized_and_names_its_licence() -> None:
    for name, known in KNOWN_MODELS.items():
        assert shape_of(name).num_parameters > 10**8
        assert known.licence


def test_projections_carry_the_shapes_that_adapters_sit_on() -> None:
    projections = {name: (inputs, outputs) for name, inputs, outputs in shape_of("google/gemma-3-1b-it").projections}
    assert projections == {
        "q_proj": (1152, 1024),
        "k_proj": (1152, 256),
        "v_proj": (1152, 256),
        "o_proj": (1024, 1152),
        "gate_proj": (1152, 6912),
        "up_proj": (1152, 6912),
        "down_proj": (6912, 1152),
    }


def test_a_vision_language_model_is_sized_by_its_text_part_and_counts_the_tower_apart() -> None:
    shape = shape_of("google/gemma-3-12b-it")
    assert (shape.architecture, shape.hidden_size, shape.num_layers) == ("gemma3_text", 3840, 48)
    assert shape.num_parameters - shape.vision_parameters == 11_766_034_176
    assert shape.vision_linear_parameters < shape.vision_parameters


def test_one_layer_in_six_of_gemma_3_sees_everything() -> None:
    shape = shape_of("google/gemma-3-270m")
    assert (shape.sliding_window, shape.sliding_layers, shape.num_layers) == (512, 15, 18)


def test_a_shape_survives_json() -> None:
    shape = shape_of("Qwen/Qwen2.5-Coder-0.5B")
    assert ModelShape.from_json(json.loads(json.dumps(shape.to_json()))) == shape


def test_an_unknown_architecture_is_named_with_those_that_are_known() -> None:
    with pytest.raises(ModelError) as caught:
        ModelShape.from_config({"model_type": "mamba2", "hidden_size": 8})
    assert "mamba2" in caught.value.happened
    assert "gemma3_text, llama, mistral" in caught.value.remedy


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_size": None}, "lacks hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers = 0"),
        ({"vocab_size": "many"}, "vocab_size = 'many'"),
        ({"num_key_value_heads": 5}, "5 key/value heads"),
    ],
)
def test_an_impossible_dimension_is_named(change: dict[str, object], said: str) -> None:
    config = {**KNOWN_MODELS["TinyLlama/TinyLlama-1.1B-Chat-v1.0"].config, **change}
    with pytest.raises(ModelError) as caught:
        ModelShape.from_config(config)
    assert said in caught.value.happened


def test_gemma_norms_behind_attention_and_mlp_too_and_their_queries() -> None:
    shapes = {name: ModelShape.from_config(known.config) for name, known in KNOWN_MODELS.items()}
    assert shapes["google/gemma-3-270m"].norms_per_layer == 4
    assert shapes["google/gemma-3-270m"].has_query_key_norms
    tiny = shapes["TinyLlama/TinyLlama-1.1B-Chat-v1.0"]
    assert (tiny.norms_per_layer, tiny.has_query_key_norms) == (2, False)
