"""Configurations of the models that appear in measurements by others, in config.json's layout.

A row that carries dimensions is believed; what a family adds to them (biases, windows) is in `FAMILIES`. Facts
are from the models' public config.json files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.known_models import KNOWN_MODELS

# Owner of a hub repository -> model_type; anyone else's models of these archives are Llamas.
_MODEL_TYPES = {"Qwen": "qwen2", "mistralai": "mistral"}
_FAMILY_EXTRAS: Mapping[str, dict[str, Any]] = {
    "qwen2": {"use_sliding_window": False},
    "mistral": {"sliding_window": None},
}


def _llama(hidden: int, layers: int, heads: int, key_values: int, intermediate: int, vocab: int, **more: Any) -> Any:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_values,
        "intermediate_size": intermediate,
        "vocab_size": vocab,
        "tie_word_embeddings": False,
        **more,
    }


_TIED = {"tie_word_embeddings": True}
_BY_NAME: Mapping[str, dict[str, Any]] = {
    "smollm2-135m": _llama(576, 30, 9, 3, 1536, 49152, **_TIED),
    "smollm2-360m": _llama(960, 32, 15, 5, 2560, 49152, **_TIED),
    "smollm2-1.7b": _llama(2048, 24, 32, 32, 8192, 49152, **_TIED),
    "tinyllama-1.1b-chat-v1.0": _llama(2048, 22, 32, 4, 5632, 32000),
    "llama-3.2-1b": _llama(2048, 16, 32, 8, 8192, 128256, head_dim=64, **_TIED),
    "llama-3.2-3b": _llama(3072, 28, 24, 8, 8192, 128256, head_dim=128, **_TIED),
    "llama-3.1-8b": _llama(4096, 32, 32, 8, 14336, 128256),
    "deepseek-coder-1.3b": _llama(2048, 24, 16, 16, 5504, 32256),
    "mistral-7b-v0.3": _llama(4096, 32, 32, 8, 14336, 32768, head_dim=128),
    "mistral-7b-instruct-v0.3": _llama(4096, 32, 32, 8, 14336, 32768, head_dim=128),
    "qwen2.5-0.5b": _llama(896, 24, 14, 2, 4864, 151936, **_TIED),
    "qwen2.5-1.5b": _llama(1536, 28, 12, 2, 8960, 151936, **_TIED),
    "qwen2.5-3b": _llama(2048, 36, 16, 2, 11008, 151936, **_TIED),
    "qwen2.5-7b": _llama(3584, 28, 28, 4, 18944, 152064),
}


def config_of(model_id: str, dimensions: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """config.json of a hub model, from a row's `dimensions` where it has them. None for a model nobody described."""
    if dimensions is None and model_id in KNOWN_MODELS:
        return dict(KNOWN_MODELS[model_id].config)
    owner, _, name = model_id.rpartition("/")
    model_type = _model_type(owner, name)
    known = _from_dimensions(dimensions) if dimensions else _BY_NAME.get(_plain(name))
    if known is None or model_type is None:
        return None
    return {
        "model_type": model_type,
        "max_position_embeddings": 32768,
        **_FAMILY_EXTRAS.get(model_type, {}),
        **known,
    }


def _plain(name: str) -> str:
    lower = name.lower().replace("-coder", "") if name.startswith("Qwen2.5") else name.lower()
    return lower if lower in _BY_NAME else lower.removesuffix("-instruct")


def _model_type(owner: str, name: str) -> str | None:
    lower = name.lower()
    if "gemma" in lower:
        return "gemma3_text" if "gemma-3" in lower else "gemma2" if "gemma-2" in lower else "gemma"
    if "phi-3" in lower or "phi-4" in lower:
        return "phi3"
    if "qwen3" in lower:
        return "qwen3"
    if "qwen1.5-moe" in lower or "mixtral" in lower:
        return None
    return _MODEL_TYPES.get(owner, "llama")


def _from_dimensions(given: Mapping[str, Any]) -> dict[str, Any]:
    names = {"num_layers": "num_hidden_layers", "num_kv_heads": "num_key_value_heads"}
    left_out = {"name", "num_params"}
    return {names.get(key, key): value for key, value in given.items() if key not in left_out and value is not None}
