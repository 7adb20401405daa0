"""A model's sizes and constants as GGUF metadata, from its config.json.

Not here: its tokenizer (`vocabulary`), and metadata copied from the GGUF file that the base came from (`base_file`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.gguf_writing.families import Family
from engine.gguf_writing.rope import Rope, longrope_attention_factor, rope_of

GEMMA2_PATTERN, GEMMA3_PATTERN = 2, 6
"""Layers of which the last sees everything and the others a window, as llama.cpp assumes unless told."""


def head_dimension(text: Mapping[str, Any]) -> int:
    """Width of one attention head."""
    return int(text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"])


def rotary_dimensions(text: Mapping[str, Any]) -> int:
    """How many of a head's dimensions turn with the position."""
    share = rope_of(text).full.get("partial_rotary_factor")
    return int(head_dimension(text) * float(1.0 if share is None else share))


def put_hyperparameters(writer: Any, family: Family, text: Mapping[str, Any]) -> list[str]:
    """Add them to a GGUFWriter; returns what the user must know about what cannot be said in them."""
    writer.add_block_count(text["num_hidden_layers"])
    writer.add_context_length(text["max_position_embeddings"])
    writer.add_embedding_length(text["hidden_size"])
    writer.add_feed_forward_length(text["intermediate_size"])
    writer.add_head_count(text["num_attention_heads"])
    writer.add_head_count_kv(text.get("num_key_value_heads") or text["num_attention_heads"])
    writer.add_layer_norm_rms_eps(text["rms_norm_eps"])
    writer.add_vocab_size(text["vocab_size"])
    writer.add_key_length(head_dimension(text))
    writer.add_value_length(head_dimension(text))
    writer.add_rope_dimension_count(rotary_dimensions(text))
    _put_rope(writer, rope_of(text), text, family)
    return _put_windows(writer, family, text)


def _put_rope(writer: Any, rope: Rope, text: Mapping[str, Any], family: Family) -> None:
    import gguf

    writer.add_rope_freq_base(rope.theta)
    if rope.local_theta is not None and family.gguf == "gemma3":
        writer.add_rope_freq_base_swa(rope.local_theta)
    full = rope.full
    if family.gguf == "phi3":
        writer.add_rope_scaling_orig_ctx_len(
            full.get("original_max_position_embeddings") or text["max_position_embeddings"]
        )
    if rope.kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(full["factor"])
    elif rope.kind == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(full["factor"])
        writer.add_rope_scaling_orig_ctx_len(
            full.get("original_max_position_embeddings") or text["max_position_embeddings"]
        )
        if full.get("attention_factor") is not None:
            writer.add_rope_scaling_yarn_attn_factor(full["attention_factor"])
        if full.get("beta_fast") is not None:
            writer.add_rope_scaling_yarn_beta_fast(full["beta_fast"])
        if full.get("beta_slow") is not None:
            writer.add_rope_scaling_yarn_beta_slow(full["beta_slow"])
    elif rope.kind == "longrope":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        writer.add_rope_scaling_attn_factors(longrope_attention_factor(rope, text["max_position_embeddings"]))


def _put_windows(writer: Any, family: Family, text: Mapping[str, Any]) -> list[str]:
    window = text.get("sliding_window")
    if family.gguf in ("gemma2", "gemma3"):
        if family.gguf == "gemma2" and text.get("attn_logit_softcapping"):
            writer.add_attn_logit_softcapping(text["attn_logit_softcapping"])
        if text.get("final_logit_softcapping"):
            writer.add_final_logit_softcapping(text["final_logit_softcapping"])
        if window:
            writer.add_sliding_window(window)
            _put_pattern(writer, text, GEMMA2_PATTERN if family.gguf == "gemma2" else GEMMA3_PATTERN)
        return []
    uses_window = text.get("use_sliding_window", family.gguf != "qwen2" and family.gguf != "qwen3")
    if family.gguf == "phi3":
        writer.add_sliding_window(window or 0)
    if window and uses_window and window < text["max_position_embeddings"]:
        everything = "llama.cpp lets this architecture look back over everything"
        agree = f"answers agree for conversations of up to {window:,} tokens"
        return [f"The model looks back {window:,} tokens, {everything}: {agree}."]
    return []


def _put_pattern(writer: Any, text: Mapping[str, Any], usual: int) -> None:
    """Which layers see a window only, where that differs from what llama.cpp takes for granted."""
    layers = text["num_hidden_layers"]
    kinds = text.get("layer_types")
    if kinds is None:
        every = text.get("sliding_window_pattern") or usual
        kinds = ["full_attention" if (layer + 1) % every == 0 else "sliding_attention" for layer in range(layers)]
    slides = [kind == "sliding_attention" for kind in kinds]
    if slides != [(layer + 1) % usual != 0 for layer in range(layers)]:
        writer.add_sliding_window_pattern(slides)
