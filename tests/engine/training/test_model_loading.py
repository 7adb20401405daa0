"""Loading tokenizers and weights from small random models made on the spot."""

# ruff: noqa: E501
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from engine.errors import ModelError
from engine.training.model_loading import load_model
from engine.training.tokenizer_loading import load_tokenizer, pad_choice

CONFIG = LlamaConfig(
    vocab_size=16,
    hidden_size=64,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    max_position_embeddings=77,
)


def save_tokenizer(folder: Path, words: list[str], **special: str) -> None:
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token=words[0]))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=backend, **special).save_pretrained(folder)


@pytest.fixture(name="model")
def model_folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    LlamaForCausalLM(CONFIG).save_pretrained(tmp_path)
    save_tokenizer(tmp_path, ["<unk>", "</s>", "a", "b"], unk_token="<unk>", eos_token="</s>")
    return tmp_path


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_come_in_the_type_that_was_asked_for(dtype: str, model: Path) -> None:
    loaded = load_model(model, dtype=dtype)
    assert {parameter.dtype for parameter in loaded.parameters()} == {getattr(torch, dtype)}
    assert loaded.config._attn_implementation == "sdpa"
    assert not loaded.training


def test_an_unknown_type_is_misuse(model: Path) -> None:
    with pytest.raises(ValueError, match="float32, bfloat16, float16"):
        load_model(model, dtype="auto")


@pytest.mark.parametrize(("code", "double_quant"), [("nf4", False), ("nf4", True), ("fp4", False)])
def test_linear_weights_are_held_in_four_bits_and_the_rest_in_its_type(
    code: Any, double_quant: bool, model: Path
) -> None:
    loaded = load_model(model, dtype="float32", quantization=code, double_quant=double_quant, compute_dtype="bfloat16")
    linear: Any = loaded.get_submodule("model.layers.0.self_attn.q_proj")
    assert linear.weight.dtype is torch.uint8
    assert linear.weight.numel() == 64 * 64 // 2
    assert linear.weight.quant_state.quant_type == code
    assert linear.weight.quant_state.nested is double_quant
    assert linear.compute_dtype is torch.bfloat16
    assert loaded.get_input_embeddings().weight.dtype is torch.float32
    assert torch.isfinite(loaded(torch.tensor([[1, 2, 3]])).logits).all()


def test_weights_that_lack_a_tensor_are_refused_instead_of_filled_with_random_numbers(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError) as caught:
        load_model(model, dtype="float32")
    assert "model.layers.1.mlp.up_proj.weight" in caught.value.happened


def test_weights_of_another_shape_are_refused(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "intermediate_size": 32}))
    with pytest.raises(ModelError) as caught:
        load_model(model, dtype="float32")
    assert "cannot be loaded" in caught.value.happened


def test_weights_cut_short_are_refused_before_loading(model: Path) -> None:
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ModelError) as caught:
        load_model(model, dtype="float32")
    assert "damaged" in caught.value.happened


def test_an_architecture_transformers_does_not_know_is_an_error_of_ours(model: Path) -> None:
    (model / "config.json").write_text('{"model_type": "from-the-future"}')
    with pytest.raises(ModelError) as caught:
        load_model(model, dtype="float32")
    assert "from-the-future" in caught.value.happened


@pytest.mark.parametrize("load", [load_tokenizer, lambda folder: load_model(folder, dtype="float32")])
def test_a_model_with_code_of_its_own_is_not_run_unasked(load: Any, model: Path) -> None:
    (model / "own.py").write_text("raise SystemExit('this code was run')")
    own = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model", "AutoTokenizer": ["own.Tok", "own.Tok"]}
    (model / "config.json").write_text(json.dumps({"model_type": "own-kind", "auto_map": own}))
    (model / "tokenizer_config.json").write_text(json.dumps({"auto_map": own, "tokenizer_class": "Tok"}))
    with pytest.raises(ModelError) as caught:
        load(model)
    assert "model.trust_remote_code = true" in caught.value.remedy


def test_a_broken_tokenizer_is_an_error_of_ours(model: Path) -> None:
    (model / "tokenizer.json").write_text('{"version": "1.0", "model": {}}')
    with pytest.raises(ModelError) as caught:
        load_tokenizer(model)
    assert f"The tokenizer in {model} cannot be loaded" in caught.value.happened


def test_an_attention_kernel_that_is_not_installed_is_named_with_one_that_is_always_there(model: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(model, dtype="bfloat16", attn_implementation="flash_attention_2")
    assert "flash_attention_2" in caught.value.means
    assert "sdpa" in caught.value.remedy


@pytest.mark.parametrize(
    ("words", "special", "pad"),
    [
        (["<unk>", "<|endoftext|>", "<|im_end|>"], {"eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}, "<|endoftext|>"),
        (["<unk>", "</s>", "a"], {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}, "<unk>"),
        (["<unk>", "</s>", "a"], {"eos_token": "</s>", "unk_token": "<unk>"}, "<unk>"),
        (["<unk>", "<eos>", "<pad>"], {"eos_token": "<eos>", "pad_token": "<pad>"}, "<pad>"),
        (["<unk>", "<|endoftext|>", "<|fim_pad|>"], {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}, "<|fim_pad|>"),
        (["<unk>", "<|im_end|>", "<|endoftext|>"], {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}, "<|endoftext|>"),
        (["<unk>", "<end_of_turn>", "<eos>", "<pad>"], {"eos_token": "<eos>", "pad_token": "<end_of_turn>"}, "<pad>"),
    ],
)  # fmt: skip
def test_padding_never_ends_an_answer_where_the_vocabulary_offers_another_token(
    words: list[str], special: dict[str, str], pad: str, model: Path
) -> None:
    save_tokenizer(model, words, **special)
    tokenizer = load_tokenizer(model)
    assert tokenizer.pad_token == pad
    assert len(tokenizer) == len(words), "no token was added"
    assert not pad_choice(tokenizer).ends_answers


def test_a_vocabulary_with_nothing_else_pads_with_its_end_and_says_so(model: Path) -> None:
    save_tokenizer(model, ["x", "</s>", "a"], eos_token="</s>")
    tokenizer = load_tokenizer(model)
    assert tokenizer.pad_token == "</s>"
    assert pad_choice(tokenizer).ends_answers


def test_a_tokenizer_without_any_special_token_is_refused(model: Path) -> None:
    save_tokenizer(model, ["x", "a"])
    with pytest.raises(ModelError) as caught:
        load_tokenizer(model)
    assert "no end-of-text token" in caught.value.happened


def test_the_longest_text_is_that_of_the_model_where_the_tokenizer_states_none(model: Path) -> None:
    assert load_tokenizer(model).model_max_length == 77
