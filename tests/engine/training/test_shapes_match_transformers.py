"""Parameter counts and projection shapes, compared with the models that transformers really builds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from engine.known_models import KNOWN_MODELS
from engine.model_shape import FAMILIES, ModelShape

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
    "pad_token_id": 0,
}
CASES: list[tuple[str, dict[str, Any]]] = [
    *((family, {}) for family in FAMILIES),
    ("llama", {"attention_bias": True, "mlp_bias": True, "head_dim": 8, "tie_word_embeddings": True}),
    ("qwen3", {"attention_bias": True}),
    ("qwen2", {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 2}),
    ("mistral", {"sliding_window": None}),
    ("gemma3_text", {"sliding_window_pattern": 3}),
]


def built(config: dict[str, Any]) -> torch.nn.Module:
    settings = {key: value for key, value in config.items() if key not in ("model_type", "architectures")}
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(CONFIG_MAPPING[config["model_type"]](**settings))


@pytest.mark.parametrize(("model_type", "change"), CASES)
def test_a_small_model_of_each_family_matches(model_type: str, change: dict[str, Any]) -> None:
    config = {"model_type": model_type, **SMALL, **change}
    model, shape = built(config), ModelShape.from_config(config)
    assert shape.num_parameters == sum(parameter.numel() for parameter in model.parameters())
    linears = {
        name.rsplit(".", 1)[1]: (module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and ".layers.0." in name
    }
    assert {name: (inputs, outputs) for name, inputs, outputs in shape.projections} == linears


@pytest.mark.parametrize(("model_type", "change"), CASES)
def test_the_number_of_sliding_layers_matches(model_type: str, change: dict[str, Any]) -> None:
    config = {"model_type": model_type, **SMALL, **change}
    types = getattr(built(config).config, "layer_types", None)
    if types is not None:
        assert ModelShape.from_config(config).sliding_layers == types.count("sliding_attention")


@pytest.mark.parametrize("name", KNOWN_MODELS)
def test_a_known_configuration_builds_the_model_it_stands_for(name: str) -> None:
    config = dict(KNOWN_MODELS[name].config)
    model, shape = built(config), ModelShape.from_config(config)
    assert shape.num_parameters == sum(parameter.numel() for parameter in model.parameters())
    linear = sum(module.weight.numel() for module in model.modules() if isinstance(module, torch.nn.Linear))
    assert linear - shape.embedding_parameters == shape.linear_parameters + shape.vision_linear_parameters
