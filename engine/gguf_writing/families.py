"""The architectures that are written as GGUF: one entry each, with what llama.cpp expects of its tensors.

Rules and names are those of llama.cpp's own converter (its folder `conversion`, release of llama-cpp-python 0.3.36).
Here is what can be told from config.json alone, without weights and without a heavy library. Not here: the metadata
(`hyperparameters`), the tensors themselves (`tensors`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from engine.errors import ModelError
from engine.gguf_writing.rope import rope_of, unknown_rope

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture of GGUF.

    `permutes`: the rows of q and k stand in the order of Meta's checkpoints, where a rotary pair is two neighbours.
    `norm_shift` is added to every norm's weight (Gemma stores what is above 1). `head_is_embedding`: llama.cpp never
    reads an output matrix. `fault` says what of a configuration llama.cpp cannot express.
    """

    gguf: str
    title: str
    activations: tuple[str, ...] = ("silu", "swish")
    permutes: bool = False
    norm_shift: float = 0.0
    head_is_embedding: bool = False
    fault: Callable[[Config], str | None] | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)


def _attention_scale(layers_with_other_scale: int) -> Callable[[Config], str | None]:
    """llama.cpp takes 1/sqrt(head_dim), and 1/sqrt(hidden_size/heads) for the one size of this many layers."""

    def fault(config: Config) -> str | None:
        head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        wanted = (
            config["hidden_size"] // config["num_attention_heads"]
            if config["num_hidden_layers"] == layers_with_other_scale
            else head_dim
        )
        scalar = config.get("query_pre_attn_scalar", wanted)
        if scalar != wanted:
            return (
                f"its attention is scaled by query_pre_attn_scalar = {scalar}; llama.cpp scales this size by {wanted}"
            )
        return None

    return fault


def _gemma3(config: Config) -> str | None:
    if config.get("attn_logit_softcapping"):
        return "it caps its attention (attn_logit_softcapping), which Gemma 3 has no place for"
    if config.get("use_bidirectional_attention"):
        return "it attends in both directions (use_bidirectional_attention)"
    return _attention_scale(62)(config)


GELU = ("gelu_pytorch_tanh", "gelu")
"""Gemma's config.json says gelu in places; transformers and llama.cpp both compute the tanh form."""
GEMMA3_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-6,
        "sliding_window": 4096,
        "vocab_size": 262208,
        "rope_theta": 1_000_000.0,
        "rope_local_base_freq": 10_000.0,
    }
)
"""What transformers fills in: config.json of the larger Gemma 3 leaves these out."""

_GEMMA3 = Family("gemma3", "Gemma 3", GELU, norm_shift=1.0, fault=_gemma3, defaults=GEMMA3_DEFAULTS)
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "llama": Family("llama", "Llama, SmolLM2, TinyLlama", permutes=True),
        "mistral": Family("llama", "Mistral", permutes=True),
        "qwen2": Family("qwen2", "Qwen 2, Qwen 2.5"),
        "qwen3": Family("qwen3", "Qwen 3"),
        "gemma": Family("gemma", "Gemma", GELU, norm_shift=1.0, head_is_embedding=True),
        "gemma2": Family("gemma2", "Gemma 2", GELU, norm_shift=1.0, head_is_embedding=True, fault=_attention_scale(46)),
        "gemma3_text": _GEMMA3,
        "gemma3": _GEMMA3,
        "phi3": Family("phi3", "Phi-3"),
    }
)
"""By `model_type` of config.json."""


def text_part(config: Config) -> dict[str, Any]:
    """The language model's part of a config.json, with what its family leaves unsaid filled in."""
    inner = config.get("text_config")
    text = {**config, **inner} if isinstance(inner, Mapping) else dict(config)
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None:
        return text
    stated = {key: value for key, value in text.items() if value is not None}
    return {**text, **{key: value for key, value in family.defaults.items() if key not in stated}}


def problems(config: Config) -> list[tuple[str, str]]:
    """(what is in the way of a GGUF file, what to do), known from config.json alone. Empty when nothing is."""
    model_type = str(config.get("model_type") or "unknown")
    family = FAMILIES.get(model_type)
    others = "Export the merged model instead: `finetui export RUN --to merged`."
    if family is None:
        titles = ", ".join(sorted({each.title for each in FAMILIES.values()}))
        return [
            (f"A model of the architecture {model_type!r} cannot be written as GGUF.", f"Known: {titles}. {others}")
        ]
    text = text_part(config)
    found = []
    if config.get("quantization_config"):
        found.append("its weights are quantized")
    activation = text.get("hidden_activation") or text.get("hidden_act") or family.activations[0]
    if activation not in family.activations:
        found.append(f"its activation is {activation}; llama.cpp computes {family.activations[0]} for it")
    if family.head_is_embedding and text.get("tie_word_embeddings") is False:
        found.append("its output matrix is not the embedding, which llama.cpp takes for granted")
    if (rope := unknown_rope(rope_of(text), family.gguf)) is not None:
        found.append(rope)
    if family.fault is not None and (fault := family.fault(text)) is not None:
        found.append(fault)
    return [(f"This {family.title} model cannot be written as GGUF: {each}.", others) for each in found]


def family_of(config: Config) -> Family:
    """The entry for a configuration. Raises ModelError for one that llama.cpp cannot express."""
    if found := problems(config):
        happened, remedy = found[0]
        raise ModelError(
            happened, means="Each architecture names, arranges and computes its tensors its own way.", remedy=remedy
        )
    return FAMILIES[str(config["model_type"])]
