"""Small configurations of the families that finetui knows, in config.json's layout. No tests here."""

from __future__ import annotations

from typing import Any

_SIZES = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 4096,
    "max_position_embeddings": 2048,
}
_PADDING = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def small(model_type: str, **changes: Any) -> dict[str, Any]:
    """A model of 8 layers; `changes` on top."""
    extras: dict[str, dict[str, Any]] = {
        "qwen3": {"head_dim": 64},
        "mistral": {"sliding_window": None},
        "phi3": {"sliding_window": None, **_PADDING},
        "gemma2": {"head_dim": 64, "sliding_window": 128, "query_pre_attn_scalar": 64},
        "gemma3_text": {
            "head_dim": 64,
            "sliding_window": 128,
            "query_pre_attn_scalar": 64,
            "num_hidden_layers": 26,
            "sliding_window_pattern": 6,
        },
    }
    return {"model_type": model_type, **_SIZES, **extras.get(model_type, {}), **changes}


VISION = {
    "model_type": "siglip_vision_model",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 56,
    "patch_size": 14,
    "vision_use_head": False,
}


def with_vision() -> dict[str, Any]:
    """Gemma 3 as its larger sizes come: text and vision tower."""
    text = small("gemma3_text", num_hidden_layers=12)
    return {"model_type": "gemma3", "text_config": text, "vision_config": VISION, "mm_tokens_per_image": 4}
