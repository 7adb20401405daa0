"""How text is cut before merges, for the tokenizers of GGUF files: one table, keyed by `tokenizer.ggml.pre`.

transformers rebuilds a tokenizer from the vocabulary in the file, but knows the right cut only for some values
and takes plain byte-level splitting for the rest. An entry is here because its token ids were compared with
those of llama.cpp on the recorded probes and none differed; for any other value the user gets a note.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from tokenizers import pre_tokenizers

from engine.gguf_header import GgufHeader

Cut = Literal["digits first", "as loaded"]

CUTS: Mapping[str, Cut] = MappingProxyType(
    {
        **dict.fromkeys(
            ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), "digits first"
        ),
        **dict.fromkeys(("gpt-2", "jais", "mpt", "olmo", "phi-2", "trillion"), "as loaded"),
        **dict.fromkeys(("llama-bpe", "qwen2", "dbrx", "deepseek-r1-qwen", "falcon3", "smaug-bpe"), "as loaded"),
    }
)


def apply_cut(tokenizer: Any, header: GgufHeader) -> tuple[str, ...]:
    """Make a tokenizer loaded from a GGUF file cut text as llama.cpp does. Returns what the user must know.

    `tokenizer` is a transformers fast tokenizer and is changed in place.
    """
    if header.tokenizer_model == "llama":
        # SentencePiece has no such cut. Gemma's was compared with llama.cpp: no difference.
        if header.architecture.startswith("gemma"):
            return ()
        return (_not_compared(f"the SentencePiece tokenizer of architecture {header.architecture!r}"),)
    cut = CUTS.get(header.pre_tokenizer or "")
    if cut is None:
        return (_not_compared(f"tokenizer.ggml.pre = {header.pre_tokenizer!r}"),)
    if cut == "digits first":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
    return ()


def _not_compared(what: str) -> str:
    return (
        f"This GGUF file's tokenizer ({what}) was not compared with llama.cpp: some texts may be cut into other "
        "tokens than the model was trained on. The original model's folder or hub id avoids the doubt."
    )
