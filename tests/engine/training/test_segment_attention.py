"""Joined rows against the same rows alone, on tiny models of three families; and models that cannot be joined."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GptOssConfig,
    Lfm2Config,
    MambaConfig,
    PretrainedConfig,
    Qwen3Config,
)
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from engine.training import joining, segment_attention
from engine.training.model_loading import load_model

LENGTHS = (5, 23, 1, 11)
"""Shorter and longer than the window that gemma3's first layer slides (8), and a single token."""
FAMILIES = ("llama", "llama-mha", "qwen2", "gemma3")


@pytest.fixture(autouse=True)
def registered() -> None:
    joining.register()
    joining.register()


@pytest.fixture
def models(tiny_model_of: Callable[[str], Path]) -> Callable[[str], tuple[Any, Any]]:
    """Family -> (the model with our attention, the same one with sdpa)."""

    def both(family: str) -> tuple[Any, Any]:
        folder = tiny_model_of(family)
        ours = load_model(folder, dtype="float32", attn_implementation=segment_attention.NAME)
        assert ours.config._attn_implementation == segment_attention.NAME
        return ours, load_model(folder, dtype="float32", attn_implementation="sdpa")

    return both


def some_rows(vocabulary: int) -> list[list[int]]:
    numbers = torch.Generator().manual_seed(3)
    return [torch.randint(vocabulary, (length,), generator=numbers).tolist() for length in LENGTHS]


def joined(rows: list[list[int]], *, padding_free: bool = True) -> dict[str, Any]:
    """What the trainer's own collator makes of rows."""
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=padding_free)
    batch = collate([{"input_ids": row} for row in rows])
    return {name: value for name, value in batch.items() if name != "labels"}


def states(model: Any, **inputs: Any) -> torch.Tensor:
    hidden: torch.Tensor = model.get_decoder()(**inputs, use_cache=False).last_hidden_state
    return hidden


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_among_others_gives_what_it_gives_alone(family: str, models: Callable[[str], tuple[Any, Any]]) -> None:
    ours, sdpa = models(family)
    rows = some_rows(ours.config.vocab_size)
    together = states(ours, **joined(rows))[0].split(LENGTHS)
    for row, hidden in zip(rows, together, strict=True):
        torch.testing.assert_close(hidden, states(sdpa, input_ids=torch.tensor([row]))[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_so_do_the_gradients(family: str, models: Callable[[str], tuple[Any, Any]]) -> None:
    ours, sdpa = models(family)
    rows = some_rows(ours.config.vocab_size)
    wanted = torch.linspace(-1, 1, sum(LENGTHS) * 64).view(-1, 64)
    (states(ours, **joined(rows))[0] * wanted).sum().backward()
    for row, part in zip(rows, wanted.split(LENGTHS), strict=True):
        (states(sdpa, input_ids=torch.tensor([row]))[0] * part).sum().backward()
    theirs = dict(sdpa.named_parameters())
    for name, parameter in ours.named_parameters():
        if parameter.grad is None:
            assert theirs[name].grad is None
            continue
        torch.testing.assert_close(parameter.grad, theirs[name].grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_with_padding_it_is_sdpa(family: str, models: Callable[[str], tuple[Any, Any]]) -> None:
    ours, sdpa = models(family)
    inputs = joined(some_rows(ours.config.vocab_size), padding_free=False)
    real = inputs["attention_mask"].bool()
    torch.testing.assert_close(states(ours, **inputs)[real], states(sdpa, **inputs)[real], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_whole_rows_without_a_mask_keep_their_window(family: str, models: Callable[[str], tuple[Any, Any]]) -> None:
    ours, sdpa = models(family)
    ids = torch.tensor([some_rows(ours.config.vocab_size)[1]] * 2)
    torch.testing.assert_close(states(ours, input_ids=ids), states(sdpa, input_ids=ids), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_generates_what_sdpa_generates(family: str, models: Callable[[str], tuple[Any, Any]]) -> None:
    ours, sdpa = models(family)
    inputs = {"input_ids": torch.tensor([some_rows(ours.config.vocab_size)[3]])}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None}
    assert torch.equal(ours.generate(**inputs, **options), sdpa.generate(**inputs, **options))


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_attention_dropout_acts_in_training_only(family: str, models: Callable[[str], tuple[Any, Any]]) -> None:
    ours, _ = models(family)
    for module in ours.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.5
    inputs = joined(some_rows(ours.config.vocab_size))
    with torch.random.fork_rng():
        asked = [states(ours.eval(), **inputs) for _ in range(2)]
        trained = [states(ours.train(), **inputs) for _ in range(2)]
    assert torch.equal(*asked)
    assert not torch.equal(*trained)
    assert torch.isfinite(trained[0]).all()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_measurement_finds_nothing_wrong_with_our_families(
    family: str, dtype: str, tiny_model_of: Callable[[str], Path]
) -> None:
    model = load_model(tiny_model_of(family), dtype=dtype, attn_implementation=segment_attention.NAME).train()
    assert joining.unsupported_because(model.config, segment_attention.NAME) == ""
    assert joining.misjoined_because(model) == ""
    assert model.config._attn_implementation == segment_attention.NAME
    assert model.training


SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "eos_token_id": 1,
    "initializer_range": 0.1,
}


def refused(config: PretrainedConfig) -> str:
    model = AutoModelForCausalLM.from_config(config, attn_implementation=segment_attention.NAME).train()
    reason = joining.misjoined_because(model)
    assert model.training
    return reason


def test_rows_that_would_share_a_recurrent_state_are_found_out() -> None:
    with torch.random.fork_rng():
        recurrent = MambaConfig(vocab_size=300, hidden_size=64, num_hidden_layers=2, eos_token_id=1)
        assert "different from the same rows alone" in refused(recurrent)
        convolution = Lfm2Config(**SIZES, layer_types=["conv", "full_attention"])
        assert "packed sequences" in refused(convolution)


def test_attention_with_sinks_is_found_out() -> None:
    """Its extra term reaches attention functions as an argument, which ours would not use."""
    with torch.random.fork_rng():
        config = GptOssConfig(**SIZES, head_dim=16, num_local_experts=4, layer_types=["full_attention"] * 2)
        assert "different from the same rows alone" in refused(config)


def test_a_model_that_caps_attention_scores_is_refused_by_its_configuration() -> None:
    assert "caps attention scores" in joining.unsupported_because(Gemma2Config(**SIZES, head_dim=16), "varlen_attn")
    assert joining.unsupported_because(Qwen3Config(**SIZES), "varlen_attn") == ""
