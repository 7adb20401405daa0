"""The header of a GGUF file: which model it holds, as a config.json would say it. No tensor is read.

Reading the bytes is engine/gguf_metadata.py. Turning the file into safetensors is engine/training/gguf_conversion.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from engine.errors import ModelError
from engine.gguf_metadata import read_gguf_metadata

# GGUF's architecture name -> (model_type, class) in transformers. Mistral files call themselves llama.
ARCHITECTURES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "llama": ("llama", "LlamaForCausalLM"),
        "qwen2": ("qwen2", "Qwen2ForCausalLM"),
        "qwen3": ("qwen3", "Qwen3ForCausalLM"),
        "gemma2": ("gemma2", "Gemma2ForCausalLM"),
        "gemma3": ("gemma3_text", "Gemma3ForCausalLM"),
        "phi3": ("phi3", "Phi3ForCausalLM"),
    }
)

_CONFIG_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "embedding_length": "hidden_size",
        "feed_forward_length": "intermediate_size",
        "block_count": "num_hidden_layers",
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_key_value_heads",
        "attention.key_length": "head_dim",
        "context_length": "max_position_embeddings",
        "attention.sliding_window": "sliding_window",
        "attention.layer_norm_rms_epsilon": "rms_norm_eps",
        "rope.freq_base": "rope_theta",
    }
)


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What the header says. `config` has config.json's layout and is None for an architecture we do not know.

    `tokenizer_model` is "gpt2" for byte-level BPE or "llama" for SentencePiece; `pre_tokenizer` names how text
    is cut before merges. `num_parameters` is the sum over the tensors. `tensor_types` are names like "Q4_1".
    """

    architecture: str
    config: Mapping[str, Any] | None
    tokenizer_model: str | None
    pre_tokenizer: str | None
    licence: str | None
    num_parameters: int
    tensor_types: tuple[str, ...]


def read_gguf_header(path: Path) -> GgufHeader:
    """Parse a GGUF file's header (0.1 s for a vocabulary of 262,144). Raises ModelError for a broken file."""
    try:
        values, tensors = read_gguf_metadata(path)
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        raise ModelError(
            f"{path} cannot be read as a GGUF file: {getattr(error, 'strerror', None) or error}.",
            means="It is cut short, damaged, or not a GGUF file at all.",
            remedy="Download it again and compare its size with the one stated at its source.",
        ) from error
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    architecture = str(values.get("general.architecture", "unknown"))
    return GgufHeader(
        architecture=architecture,
        config=_config(architecture, values, shapes),
        tokenizer_model=_text(values.get("tokenizer.ggml.model")),
        pre_tokenizer=_text(values.get("tokenizer.ggml.pre")),
        licence=_text(values.get("general.license")),
        num_parameters=sum(tensor.num_elements for tensor in tensors),
        tensor_types=tuple(sorted({tensor.type_name for tensor in tensors})),
    )


def config_from_gguf(path: Path) -> dict[str, Any]:
    """A config.json-like dict from the header. Raises ModelError for an unknown architecture."""
    header = read_gguf_header(path)
    if header.config is None:
        raise unsupported(path, header)
    return dict(header.config)


def unsupported(path: Path, header: GgufHeader) -> ModelError:
    """The error for a GGUF file of an architecture outside `ARCHITECTURES`."""
    return ModelError(
        f"{path.name} holds a model of the architecture {header.architecture!r}, which cannot be converted.",
        means="Each architecture names and arranges its tensors differently in GGUF.",
        remedy=f"Known for GGUF files: {', '.join(ARCHITECTURES)}. "
        "Or use the original model in safetensors, as a folder or hub id.",
    )


def _config(
    architecture: str, values: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> Mapping[str, Any] | None:
    if architecture not in ARCHITECTURES:
        return None
    model_type, class_name = ARCHITECTURES[architecture]
    config: dict[str, Any] = {"model_type": model_type, "architectures": [class_name]}
    for gguf_key, key in _CONFIG_KEYS.items():
        value = values.get(f"{architecture}.{gguf_key}")
        if value is not None:
            config[key] = value
    embedding = shapes.get("token_embd.weight")
    if embedding is not None and len(embedding) == 2:
        config["vocab_size"] = embedding[1]
    config["tie_word_embeddings"] = "output.weight" not in shapes
    return config


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
