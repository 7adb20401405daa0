"""GGUF headers: read as the gguf package reads them, without walking the vocabulary, and refused when damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from engine.errors import ModelError
from engine.gguf_header import read_gguf_header
from engine.gguf_metadata import MAX_ARRAY, TENSOR_TYPES, read_gguf_metadata

VOCABULARY = MAX_ARRAY + 100


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A small Qwen 2 as the gguf package writes it, with a vocabulary too long to be read."""
    path = tmp_path / "small.gguf"
    writer = GGUFWriter(path, "qwen2")
    writer.add_license("apache-2.0")
    writer.add_embedding_length(8)
    writer.add_feed_forward_length(16)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_context_length(128)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"token {number}" for number in range(VOCABULARY)])
    writer.add_token_scores([0.5] * VOCABULARY)
    writer.add_array("general.tags", ["small", "made for a test"])
    writer.add_tensor("token_embd.weight", np.zeros((VOCABULARY, 8), dtype=np.float16))
    writer.add_tensor("output_norm.weight", np.ones(8, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_values_and_tensors_are_those_that_the_gguf_package_reads(written: Path) -> None:
    values, tensors = read_gguf_metadata(written)
    reader = GGUFReader(written)
    names = {name for name in reader.fields if not name.startswith("GGUF.")}
    assert names - set(values) == {"tokenizer.ggml.tokens", "tokenizer.ggml.scores"}
    assert values == {name: reader.fields[name].contents() for name in values}
    assert [(t.name, t.shape, t.type_name) for t in tensors] == [
        (t.name, tuple(int(n) for n in t.shape), t.tensor_type.name) for t in reader.tensors
    ]


def test_a_header_becomes_a_configuration(written: Path) -> None:
    header = read_gguf_header(written)
    assert header.config is not None
    assert (header.config["model_type"], header.config["hidden_size"]) == ("qwen2", 8)
    assert header.config["vocab_size"] == VOCABULARY
    assert header.config["tie_word_embeddings"] is True
    assert (header.licence, header.tokenizer_model) == ("apache-2.0", "gpt2")
    assert header.num_parameters == VOCABULARY * 8 + 8
    assert header.tensor_types == ("F16", "F32")


def test_the_tensor_types_are_those_of_the_gguf_package() -> None:
    theirs = {kind.value: (kind.name, *GGML_QUANT_SIZES[kind]) for kind in GGMLQuantizationType}
    assert {number: tuple(kind) for number, kind in TENSOR_TYPES.items()} == theirs


def test_a_file_cut_anywhere_is_refused_by_name(written: Path, tmp_path: Path) -> None:
    whole, cut = written.read_bytes(), tmp_path / "cut.gguf"
    for length in (0, 3, 4, 20, 100, 1000, len(whole) // 2, len(whole) - 40):
        cut.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"cut\.gguf cannot be read as a GGUF file: "):
            read_gguf_header(cut)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (struct.pack("<4sIQQ", b"GGUF", 1, 0, 0), "version 1"),
        (struct.pack(">4sIQQ", b"GGUF", 3, 0, 0), "little-endian"),
        (struct.pack("<4sIQQ", b"GGML", 3, 0, 0), "does not begin with GGUF"),
        (struct.pack("<4sIQQQ1sI", b"GGUF", 3, 0, 1, 1, b"k", 99), "unknown type 99"),
        (struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"k", 9, 9, 1), "array of arrays"),
        (struct.pack("<4sIQQQ1sIQ", b"GGUF", 3, 0, 1, 1, b"k", 8, 1 << 60), "longer than the file"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 1 << 60, 0), "cut short"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused_with_what_is_wrong(header: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(header)
    with pytest.raises(ModelError, match=said):
        read_gguf_header(path)
