"""Tiny models of every architecture, written as GGUF and computed by llama.cpp: the same logits at every place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ModelError
from engine.gguf_header import read_gguf_header
from engine.gguf_metadata import read_gguf_metadata
from engine.gguf_writing import check_gguf, problems, write_gguf
from engine.gguf_writing import writing as writing_module
from engine.gguf_writing.families import FAMILIES
from engine.known_models import KNOWN_MODELS
from tests.engine.gguf_writing.conftest import VARIANTS

TEXT = "show me the python environments that nobody used for thirty days, 1, 2, 3, 24, 365 and more; COMMAND: venvy ls"


@pytest.mark.parametrize("name", VARIANTS)
def test_a_tiny_model_of_every_architecture_computes_the_same_as_a_file(
    name: str, variant: Callable[..., Path], tmp_path: Path
) -> None:
    folder = variant(name)
    written = write_gguf(folder, tmp_path / "tiny.gguf", file_type="F32", name="tiny")
    found = check_gguf(written.path, folder, [TEXT, TEXT[::-1]])
    assert found.agreement >= 0.99  # of random weights two logits may lie within the rounding of llama.cpp's cache
    assert found.relative_difference < (0.03 if "gemma" in name else 1e-3)  # ggml looks GELU up in a table of F16


@pytest.mark.parametrize("file_type", ["F16", "BF16"])
def test_the_header_names_the_type_that_the_matrices_have(
    file_type: str, tiny_model_folder: Path, tmp_path: Path
) -> None:
    written = write_gguf(
        tiny_model_folder,
        tmp_path / "a.gguf",
        file_type=file_type,
        name="demo",
        licence="apache-2.0",
        base_model="base",
    )
    values, infos = read_gguf_metadata(written.path)
    assert values["general.file_type"] == {"F16": 1, "BF16": 32}[file_type]
    assert {info.type_name for info in infos if len(info.shape) > 1} == {file_type}
    assert {info.type_name for info in infos if len(info.shape) == 1} == {"F32"}
    assert (values["general.name"], values["general.license"]) == ("demo", "apache-2.0")
    assert values["general.base_model.0.name"] == "base"
    assert read_gguf_header(written.path).num_parameters == written.num_parameters
    check_gguf(written.path, tiny_model_folder, [TEXT])


def test_rows_of_the_embedding_without_a_token_get_unused_ones(variant: Callable[..., Path], tmp_path: Path) -> None:
    folder = variant("llama", more_rows=5)
    written = write_gguf(folder, tmp_path / "a.gguf", file_type="F32", name="padded")
    assert check_gguf(written.path, folder, [TEXT]).tokens_equal


@pytest.mark.parametrize(
    ("family", "change"), [("llama", {"permutes": False}), ("gemma3", {"norm_shift": 0.0})], ids=["rows", "norms"]
)
def test_a_file_that_computes_something_else_is_refused(
    family: str, change: dict[str, Any], variant: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = variant(family)
    model_type = "gemma3_text" if family == "gemma3" else family
    wrong = replace(FAMILIES[model_type], **change)
    monkeypatch.setattr(writing_module, "family_of", lambda _config: wrong)
    written = write_gguf(folder, tmp_path / "a.gguf", file_type="F32", name="wrong")
    with pytest.raises(ModelError, match="does not compute what the model computes"):
        check_gguf(written.path, folder, [TEXT])


def test_a_file_of_another_model_is_refused_by_its_tensors(variant: Callable[..., Path], tmp_path: Path) -> None:
    written = write_gguf(variant("llama"), tmp_path / "a.gguf", file_type="F32", name="tiny")
    with pytest.raises(ModelError, match=r"tensor blk.0.attn_k.weight has the shape \(32, 64\) and should have"):
        check_gguf(written.path, variant("llama-tied"), [TEXT])


def test_a_weight_beyond_the_range_of_f16_is_named(variant: Callable[..., Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = variant("llama-tied")
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"][3, 5] = 70000.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"model.layers.1.mlp.down_proj.weight holds 7e\+04") as caught:
        write_gguf(folder, tmp_path / "a.gguf", file_type="F16", name="tiny")
    assert "BF16" in caught.value.remedy
    write_gguf(folder, tmp_path / "a.gguf", file_type="BF16", name="tiny")


def test_an_unknown_architecture_is_refused_by_name_before_training() -> None:
    ((happened, remedy),) = problems({"model_type": "granite"})
    assert "'granite'" in happened
    assert "Qwen 3" in remedy
    assert "merged" in remedy


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"query_pre_attn_scalar": 144}, "query_pre_attn_scalar = 144"),
        ({"hidden_activation": "relu"}, "its activation is relu"),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "'dynamic'"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantized"),
    ],
)
def test_what_llama_cpp_cannot_express_is_told_from_the_configuration_alone(change: dict[str, Any], why: str) -> None:
    config = {
        "model_type": "gemma2",
        "hidden_size": 2304,
        "num_attention_heads": 8,
        "num_hidden_layers": 26,
        "head_dim": 256,
        "query_pre_attn_scalar": 256,
        "hidden_activation": "gelu_pytorch_tanh",
    }
    assert problems(config) == []
    assert why in problems({**config, **change})[0][0]


@pytest.mark.parametrize("name", KNOWN_MODELS)
def test_every_model_of_the_presets_can_be_written(name: str) -> None:
    assert problems(dict(KNOWN_MODELS[name].config)) == []
