"""Configurations of the models that the presets name, so that plans work before any download.

Facts only, taken from each model's public config.json on huggingface.co (for the bundled model: from its GGUF
header). Fields that decide neither shapes nor memory are left out. How they are read is engine/model_shape.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

GEMMA_TERMS = "Gemma Terms of Use (https://ai.google.dev/gemma/terms)"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """What is known about a model without asking anyone. `config` has the layout of config.json."""

    licence: str
    config: Mapping[str, Any]


def _gemma3_text(hidden_size: int, intermediate_size: int, layers: int) -> dict[str, Any]:
    return {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "hidden_size": hidden_size,
        "intermediate_size": intermediate_size,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "vocab_size": 262144,
        "max_position_embeddings": 32768,
        "sliding_window": 512,
        "sliding_window_pattern": 6,
        "query_pre_attn_scalar": 256,
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
        "attention_bias": False,
        "tie_word_embeddings": True,
    }


_GEMMA_3_270M = _gemma3_text(hidden_size=640, intermediate_size=2048, layers=18)
_GEMMA_3_1B = _gemma3_text(hidden_size=1152, intermediate_size=6912, layers=26)

_GEMMA_3_12B: dict[str, Any] = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "model_type": "gemma3",
    "mm_tokens_per_image": 256,
    "text_config": {
        "model_type": "gemma3_text",
        "hidden_size": 3840,
        "intermediate_size": 15360,
        "num_hidden_layers": 48,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 256,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
        "sliding_window": 1024,
        "sliding_window_pattern": 6,
        "query_pre_attn_scalar": 256,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "tie_word_embeddings": True,
    },
    "vision_config": {
        "model_type": "siglip_vision_model",
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "image_size": 896,
        "patch_size": 14,
        "vision_use_head": False,
    },
}

_QWEN25_CODER_05B: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "use_sliding_window": False,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": True,
}

_TINYLLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}

_SMOLLM2_135M: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-05,
    "rope_theta": 100000.0,
    "tie_word_embeddings": True,
}

KNOWN_MODELS: Mapping[str, KnownModel] = MappingProxyType(
    {
        "bundled:smollm2-135m-instruct": KnownModel("Apache-2.0", _SMOLLM2_135M),
        "google/gemma-3-270m": KnownModel(GEMMA_TERMS, _GEMMA_3_270M),
        "google/gemma-3-270m-it": KnownModel(GEMMA_TERMS, _GEMMA_3_270M),
        "google/gemma-3-1b-pt": KnownModel(GEMMA_TERMS, _GEMMA_3_1B),
        "google/gemma-3-1b-it": KnownModel(GEMMA_TERMS, _GEMMA_3_1B),
        "google/gemma-3-12b-pt": KnownModel(GEMMA_TERMS, _GEMMA_3_12B),
        "google/gemma-3-12b-it": KnownModel(GEMMA_TERMS, _GEMMA_3_12B),
        "Qwen/Qwen2.5-Coder-0.5B": KnownModel("Apache-2.0", _QWEN25_CODER_05B),
        "Qwen/Qwen2.5-Coder-0.5B-Instruct": KnownModel("Apache-2.0", _QWEN25_CODER_05B),
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0": KnownModel("Apache-2.0", _TINYLLAMA),
    }
)
