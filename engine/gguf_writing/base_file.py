"""Metadata taken over from the GGUF file that a base model came from: its tokenizer, sizes and licence as they were.

Not here: what a model without such a file gets (`hyperparameters`, `vocabulary`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.errors import ModelError
from engine.gguf_header import read_gguf_header

NOT_TAKEN = (
    "GGUF.",
    "general.architecture",
    "general.file_type",
    "general.quantization_version",
    "general.name",
    "general.alignment",
    "split.",
    "quantize.",
    "tokenizer.chat_template",
    "tokenizer.ggml.pre",
)
"""Beginnings of keys that say something about the file itself, or that are written from the trained model."""


def copy_metadata(base: Path, architecture: str, writer: Any) -> str | None:
    """Copy every value of `base` that is about the model into a GGUFWriter; the name of its cut is returned.

    About 12 s for a vocabulary of 262,144, which upstream's reader makes objects of. Raises ModelError for a file of
    another architecture.
    """
    import gguf

    header = read_gguf_header(base)
    if header.architecture != architecture:
        raise ModelError(
            f"{base.name} is of the architecture {header.architecture!r}, the trained model of {architecture!r}.",
            means="Metadata of one cannot describe the other.",
            remedy="Train from the model again; the file may have been replaced since.",
        )
    for key, field in gguf.GGUFReader(base).fields.items():
        if key.startswith(NOT_TAKEN):
            continue
        value = field.contents()
        if value is None or (isinstance(value, list | str) and not value):
            continue
        kind = field.types[0]
        writer.add_key_value(key, value, kind, sub_type=field.types[-1] if len(field.types) > 1 else None)
    return header.pre_tokenizer
