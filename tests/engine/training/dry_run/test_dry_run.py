"""A dry run answers for every family, adds up, and says of the whole model what running all of it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.dry_run_types import TERMS, DryRun, StepSpec
from engine.errors import ModelError
from engine.training.dry_run.dry_run import dry_run
from tests.engine.training.dry_run.configs import small, with_vision

LORA = StepSpec(
    device="cuda", method="lora", dtype="bfloat16", autocast="bfloat16", attention="flash", row_lengths=(200, 200)
)
QLORA = replace(LORA, method="qlora", adapter_dtype="bfloat16", gradient_checkpointing=True)
ON_CPU = replace(
    LORA,
    device="cpu",
    dtype="float32",
    attention="segments",
    padding_free=True,
    loss="frozen_head",
    row_lengths=(120, 60),
    num_labelled=70,
)
JOINED = replace(LORA, attention="varlen", padding_free=True, row_lengths=(200, 130, 40), eval_row_lengths=(200, 130))
SPECS = {
    "lora": LORA,
    "joined": JOINED,
    "joined, selective checkpointing": replace(JOINED, gradient_checkpointing=True, selective_checkpointing=True),
    "qlora": QLORA,
    "dora": replace(QLORA, use_dora=True),
    "lean dora": replace(QLORA, use_dora=True, lean_dora=True),
    "full, masked, accumulating, with eval": replace(
        LORA,
        method="full",
        dtype="float32",
        attention="efficient",
        row_lengths=(100, 60),
        gradient_accumulation_steps=4,
        eval_row_lengths=(90, 90),
        optim="adamw_torch",
    ),
    "eager, all logits": replace(LORA, autocast="none", attention="eager", loss="plain"),
    "math": replace(LORA, attention="math", dtype="float16", autocast="float16"),
    "8-bit, offloaded": replace(LORA, optim="paged_adamw_8bit", activation_offloading=True),
    "cpu": ON_CPU,
}
# Clipping makes one small block for every trained tensor, which a list operator does not tell apart by layer.
PHASE_TOLERANCE = 0.001
SLACK_TOLERANCE = 0.02


@pytest.fixture(scope="module")
def lora() -> DryRun:
    return dry_run(small("llama"), LORA)


@pytest.mark.parametrize("name", SPECS)
def test_the_terms_add_up_to_the_highest_phase(name: str) -> None:
    run = dry_run(small("llama"), SPECS[name])
    assert [term for term, _ in run.terms] == list(TERMS)
    assert min(size for _, size in run.terms) >= 0
    assert sum(size for _, size in run.terms) == run.peak_bytes == max(size for _, size in run.phases)
    assert run.loaded_bytes <= run.resident_bytes < run.peak_bytes <= run.needed_bytes <= run.reserved_bytes


@pytest.mark.parametrize("model_type", ["llama", "qwen3"])
def test_joined_rows_take_less_than_padded_ones(model_type: str) -> None:
    joined = dry_run(small(model_type), JOINED)
    padded = dry_run(small(model_type), replace(JOINED, attention="efficient", padding_free=False))
    assert joined.peak_bytes < padded.peak_bytes
    assert joined.needed_bytes <= padded.needed_bytes


def test_selective_checkpointing_keeps_what_attention_computed_and_no_more() -> None:
    """Its result in 16 bits and a float32 sum, for each of 4 heads of 64, 370 tokens and 8 layers."""
    kept = 8 * 370 * 4 * (64 * 2 + 4)
    full = dry_run(small("llama"), replace(JOINED, gradient_checkpointing=True))
    selective = dry_run(small("llama"), SPECS["joined, selective checkpointing"])
    assert dict(selective.phases)["forward"] - dict(full.phases)["forward"] == pytest.approx(kept, rel=0.02)
    assert full.peak_bytes < selective.peak_bytes < dry_run(small("llama"), JOINED).peak_bytes


@pytest.mark.parametrize(
    "name",
    [
        "joined",
        "joined, selective checkpointing",
        "qlora",
        "full, masked, accumulating, with eval",
        "8-bit, offloaded",
        "cpu",
    ],
)
def test_few_layers_say_what_all_layers_say(name: str) -> None:
    config = small("llama", num_hidden_layers=11)
    few, every = dry_run(config, SPECS[name]), dry_run(config, SPECS[name], full_depth=True)
    assert (few.num_trainable, few.num_parameters) == (every.num_trainable, every.num_parameters)
    assert few.peak_bytes == pytest.approx(every.peak_bytes, rel=PHASE_TOLERANCE)
    assert dict(few.terms) == pytest.approx(dict(every.terms), rel=SLACK_TOLERANCE, abs=1 << 16)
    assert few.needed_bytes == pytest.approx(every.needed_bytes, rel=SLACK_TOLERANCE)


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3", "mistral", "phi3", "gemma2", "gemma3_text"])
def test_every_known_family_is_dry_run(model_type: str) -> None:
    spec = replace(QLORA, attention="eager") if model_type == "gemma2" else QLORA
    run = dry_run(small(model_type), spec)
    assert run.peak_bytes > run.resident_bytes > dict(run.terms)["weights"] > 0
    assert run.num_trainable > 0


def test_a_sliding_pattern_is_kept_when_layers_are_left_out() -> None:
    spec = replace(QLORA, row_lengths=(300,))
    few = dry_run(small("gemma3_text"), spec)
    every = dry_run(small("gemma3_text"), spec, full_depth=True)
    assert few.peak_bytes == pytest.approx(every.peak_bytes, rel=PHASE_TOLERANCE)


def test_a_vision_tower_is_loaded_but_takes_part_in_no_step() -> None:
    text = dry_run(with_vision()["text_config"], QLORA)
    both = dry_run(with_vision(), QLORA)
    extra = both.loaded_bytes - text.loaded_bytes
    assert extra > 100_000
    assert both.num_parameters > text.num_parameters
    assert both.peak_bytes - text.peak_bytes == pytest.approx(extra, rel=1.5)


def test_a_config_made_from_a_gguf_header_is_enough() -> None:
    header = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "head_dim": 64, "rope_theta": 10000.0}
    run = dry_run({**small("llama"), **header, "tie_word_embeddings": True}, LORA)
    assert run.num_parameters - run.num_trainable < dry_run(small("llama"), LORA).num_parameters


def test_an_unknown_model_type_is_a_model_error() -> None:
    with pytest.raises(ModelError, match="unheardof"):
        dry_run(small("unheardof"), LORA)


def test_a_model_that_cannot_be_built_is_a_model_error() -> None:
    with pytest.raises(ModelError):
        dry_run(small("llama", num_attention_heads=3, num_key_value_heads=2, head_dim=None), LORA)


@pytest.mark.parametrize(
    ("change", "smaller"),
    [
        ({"gradient_checkpointing": True}, "activations"),
        ({"optim": "adamw_8bit"}, "optimizer state"),
        ({"r": 4}, "adapter"),
        ({"row_lengths": (200,)}, "activations"),
        ({"method": "qlora"}, "weights"),
    ],
)
def test_what_saves_memory_shows_in_its_term(lora: DryRun, change: dict[str, Any], smaller: str) -> None:
    changed = dry_run(small("llama"), replace(LORA, **change))
    assert dict(changed.terms)[smaller] < dict(lora.terms)[smaller]


def test_a_cpu_has_no_pool() -> None:
    run = dry_run(small("llama"), ON_CPU)
    assert run.reserved_bytes == run.needed_bytes == run.peak_bytes


def test_a_result_survives_json(lora: DryRun) -> None:
    import json

    assert DryRun.from_json(json.loads(json.dumps(lora.to_json()))) == lora
    assert StepSpec.from_json(json.loads(json.dumps(QLORA.to_json()))) == QLORA
