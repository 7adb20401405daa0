"""The tokenizer in a GGUF file, made in memory: what counts tokens or shows rows need not wait for a conversion.

Not here: converting the weights (`gguf_conversion`), which keeps this very tokenizer, and how a text is cut before
merges (`gguf_pre_tokenizers`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from engine.gguf_header import GgufHeader, read_gguf_header, unsupported
from engine.training.gguf_pre_tokenizers import apply_cut
from engine.training.tokenizer_loading import limit_length, load_tokenizer, set_pad_token, unloadable


def tokenizer_at(place: Path, *, trust_remote_code: bool = False) -> Any:
    """The tokenizer of a model folder, or the one that the conversion of a GGUF file would have. Raises ModelError."""
    if not place.is_file():
        return load_tokenizer(place, trust_remote_code=trust_remote_code)
    tokenizer, _ = gguf_tokenizer(place, read_gguf_header(place))
    return tokenizer


def gguf_tokenizer(gguf_path: Path, header: GgufHeader) -> tuple[Any, tuple[str, ...]]:
    """(tokenizer, safe to pad with and with a maximum length; notes for the user's eyes). Raises ModelError."""
    if header.config is None:
        raise unsupported(gguf_path, header)
    try:
        tokenizer = AutoTokenizer.from_pretrained(gguf_path.parent, gguf_file=gguf_path.name, local_files_only=True)
    except Exception as error:  # the tokenizers library raises bare Exception for a vocabulary it cannot build
        raise unloadable(gguf_path, "tokenizer", error) from error
    notes = apply_cut(tokenizer, header)
    limit_length(tokenizer, header.config)
    set_pad_token(tokenizer)
    return tokenizer, notes
