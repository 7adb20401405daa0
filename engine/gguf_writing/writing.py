"""A merged model folder -> one GGUF file of F16, BF16 or F32, its tokenizer tried before a weight is written.

Not here: quantizing it, and putting it in place (`engine.exporters`).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import ModelError
from engine.gguf_writing.base_file import copy_metadata
from engine.gguf_writing.families import Family, family_of, text_part
from engine.gguf_writing.hyperparameters import put_hyperparameters
from engine.gguf_writing.probing import Cut, candidates, choose_cut, probes_of
from engine.gguf_writing.tensors import FILE_TYPES, Tensor, tensors_of
from engine.gguf_writing.vocabulary import chat_template_of, vocabulary_of
from engine.model_folder import read_config

Progress = Callable[[str, int, int], None]
"""(what is being done, done, total)."""
PHI3 = re.compile("phi-?3", re.IGNORECASE)
PHI3_TOKENS = frozenset(("</s>", "<unk>", "<s>", "<|endoftext|>"))
"""llama.cpp drops spaces behind special tokens where the model's name says Phi-3, and fails where these are missing."""


@dataclass(frozen=True, slots=True)
class Written:
    """A finished file. `num_bytes` of tensors and metadata together; `notes` are for the user's eyes."""

    path: Path
    file_type: str
    architecture: str
    num_tensors: int
    num_parameters: int
    num_bytes: int
    pre_tokenizer: str
    notes: tuple[str, ...]


def write_gguf(
    folder: Path,
    target: Path,
    *,
    file_type: str = "F16",
    base_gguf: Path | None = None,
    name: str,
    licence: str | None = None,
    base_model: str | None = None,
    probe_rows: Sequence[str] = (),
    trust_remote_code: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Write the model in `folder` to `target`, whose file is replaced.

    `base_gguf` is the file that the base came from, whose metadata is taken over. `probe_rows` are texts of the user's
    own on which tokens are compared, besides ours. Vectors stay F32. Needs no torch; memory for one tensor.
    Raises ModelError for an architecture, tensor or tokenizer that cannot be written, and OSError of the disk.
    """
    if file_type not in FILE_TYPES:
        raise ValueError(f"file_type is one of {', '.join(FILE_TYPES)}")
    config = read_config(folder)
    family, text = family_of(config), text_part(config)
    tensors = tensors_of(folder, family, text, file_type)
    text["vocab_size"] = _num_rows(tensors)
    if progress is not None:
        progress("comparing tokens with llama.cpp", 0, 0)
    from engine.training.tokenizer_loading import load_tokenizer

    tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
    general = {
        "general.name": _name_for(name, tokenizer),
        "general.license": licence,
        "general.base_model.0.name": base_model,
    }
    writer, cut, notes = _described(family, text, tokenizer, base_gguf, general, probe_rows)
    cut.put(writer)
    _write(writer, target, tensors, file_type, progress)
    return Written(
        target,
        file_type,
        family.gguf,
        len(tensors),
        sum(tensor.num_bytes // (4 if tensor.kind == "F32" else 2) for tensor in tensors),
        target.stat().st_size,
        cut.pre,
        tuple(notes),
    )


def _described(
    family: Family,
    text: Mapping[str, Any],
    tokenizer: Any,
    base_gguf: Path | None,
    general: Mapping[str, str | None],
    probe_rows: Sequence[str],
) -> tuple[Any, Cut, list[str]]:
    """A GGUFWriter with every value but the cut, the cut that llama.cpp confirmed, and notes."""
    import gguf

    writer = gguf.GGUFWriter(None, family.gguf)
    notes: list[str] = []
    if base_gguf is not None:
        pre = copy_metadata(base_gguf, family.gguf, writer)
        if template := chat_template_of(tokenizer):
            writer.add_chat_template(template)
        tokens = writer.kv_data[0]["tokenizer.ggml.tokens"].value
        if len(tokens) != text["vocab_size"]:
            raise ModelError(
                f"{base_gguf.name} has {len(tokens):,} tokens, the trained embedding {text['vocab_size']:,} rows.",
                means="Its vocabulary does not belong to these weights.",
                remedy="Train from the model again; the file may have been replaced since.",
            )
        tried = [Cut(pre or "default")]
    else:
        vocabulary = vocabulary_of(tokenizer, text["vocab_size"])
        notes += put_hyperparameters(writer, family, text)
        vocabulary.put(writer)
        tokens, tried = vocabulary.tokens, candidates(vocabulary)
    if "general.type" not in writer.kv_data[0]:
        writer.add_type(gguf.GGUFType.MODEL)
    for key, value in general.items():
        if value and key not in writer.kv_data[0]:
            writer.add_string(key, value)
    if general["general.base_model.0.name"] and "general.base_model.count" not in writer.kv_data[0]:
        writer.add_base_model_count(1)
    probes = probes_of(tokenizer, tokens, probe_rows)
    if probes.normalized:
        notes.append(
            "The tokenizer composes Unicode characters (NFC) and llama.cpp does not: a text with decomposed letters "
            f"is cut otherwise ({probes.normalized[0][:40]!r})."
        )
    return writer, _confirmed(writer, tried, probes.compared), notes


def _name_for(name: str, tokenizer: Any) -> str:
    """The name, changed where llama.cpp would conclude from it something wrong about the tokenizer, or miss it."""
    strips = any(token.rstrip for token in tokenizer.added_tokens_decoder.values())
    if strips and PHI3_TOKENS.issubset(tokenizer.get_vocab()):
        return name if PHI3.search(name) else f"{name} (phi-3)"
    return PHI3.sub("phi 3", name)


def _confirmed(writer: Any, tried: Sequence[Cut], probes: Sequence[Any]) -> Cut:
    """Try the cuts on a file of the metadata alone."""
    import gguf

    with tempfile.TemporaryDirectory(prefix="finetui-vocabulary-") as folder:
        path = Path(folder) / "vocabulary.gguf"
        alone = gguf.GGUFWriter(path, writer.arch)
        alone.kv_data[0].update(writer.kv_data[0])
        tried[0].put(alone)
        alone.write_header_to_file()
        alone.write_kv_data_to_file()
        alone.close()
        return choose_cut(path, tried, probes)


def _write(writer: Any, target: Path, tensors: Sequence[Tensor], file_type: str, progress: Progress | None) -> None:
    """The whole file: header, values, the list of tensors, then one tensor after another."""
    import gguf

    kinds = {kind: gguf.GGMLQuantizationType[kind] for kind in FILE_TYPES}
    name = "ALL_F32" if file_type == "F32" else f"MOSTLY_{file_type}"
    writer.add_file_type(gguf.LlamaFileType[name])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for tensor in tensors:
        writer.add_tensor_info(tensor.name, tensor.shape, _any_type(), tensor.num_bytes, raw_dtype=kinds[tensor.kind])
    try:
        writer.write_header_to_file(target)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for done, tensor in enumerate(tensors):
            if progress is not None:
                progress("writing tensors", done, len(tensors))
            writer.write_tensor_data(tensor.numbers())
    finally:
        writer.close()


def _any_type() -> Any:
    """The writer wants a type of numpy's besides the one of ggml that counts."""
    import numpy as np

    return np.dtype(np.float32)


def _num_rows(tensors: Sequence[Tensor]) -> int:
    rows = next((tensor.shape[0] for tensor in tensors if tensor.name == "token_embd.weight"), None)
    if rows is None:
        raise ModelError(
            "The folder holds no token embedding.",
            means="A model without it cannot read a token; some of its weights were not saved.",
            remedy="Merge the model again: `finetui export RUN --to merged`.",
        )
    return rows
