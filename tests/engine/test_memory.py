"""The closed form, held against 12 peaks that others measured on a T4, and against what it says of itself.

`memory_t4.jsonl` is a selection from the measurement archive of fitcheck-llm 0.3.1 (MIT licence). Its runs
differ from ours in two ways that are put into the comparison below, not into the product: they hold full
logits (TRL's fused head does not), and they train 4-bit models through `prepare_model_for_kbit_training`,
which turns embedding, head and residual stream to fp32.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from engine.hardware import emulate, read_hardware
from engine.known_models import KNOWN_MODELS
from engine.memory import MIB, MemoryPrediction, predict, trainable_parameters
from engine.model_shape import ModelShape
from engine.plan import Plan, plan
from engine.recipe import Recipe

ROWS = [json.loads(line) for line in (Path(__file__).parent / "memory_t4.jsonl").read_text().splitlines()]
ALLOWED_ERROR = 0.05
"""Reached on these rows: 3.2 %. Over all 52 rows of the archive that ran: median 1.2 %, and 18 % at worst, too low, for
eager attention behind `prepare_model_for_kbit_training`, which doubles the scores; we never call that."""
LOGIT_BYTES = {"none": 14, "nf4": 16}
"""Per logit of a head that is not fused: 14 where it computes in 16 bits, 16 in fp32."""
GIB = 1024**3


@dataclass(frozen=True)
class Case:
    """One measured run as our plan, with what its protocol adds."""

    shape: ModelShape
    plan: Plan
    full_logits: int
    kept_in_fp32: int
    residual_in_fp32: int


def case(row: dict[str, Any]) -> Case:
    shape, run = ModelShape.from_config(row["config"]), row["run"]
    is_nf4 = run["quantization"] == "nf4"
    recipe = Recipe.from_values(
        {
            "model": {
                "name_or_path": row["model"],
                "attn_implementation": run["attn_impl"],
                "bnb_4bit_use_double_quant": run["double_quant"],
            },
            "data": {"dataset": "rows.jsonl"},
            "adapter": {
                "method": "qlora" if is_nf4 else "lora",
                "r": run["lora_rank"],
                "target_modules": run["lora_targets"],
            },
            "training": {
                "per_device_train_batch_size": run["batch_size"],
                "max_length": run["seq_len"],
                "gradient_checkpointing": run["grad_checkpoint"],
                "optim": "adamw_torch",
            },
        }
    )
    tokens = run["batch_size"] * run["seq_len"]
    embeddings = shape.embedding_parameters * (1 if shape.tied_embeddings else 2)
    return Case(
        shape,
        plan(recipe, emulate(read_hardware(), "t4"), shape),
        full_logits=tokens * shape.vocab_size * LOGIT_BYTES[run["quantization"]],
        kept_in_fp32=2 * embeddings if is_nf4 else 0,
        residual_in_fp32=2 * shape.num_layers * tokens * shape.hidden_size if is_nf4 else 0,
    )


def label(row: dict[str, Any]) -> str:
    run = row["run"]
    return f"{row['model']}-{run['quantization']}-{run['attn_impl']}-{run['batch_size']}x{run['seq_len']}"


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_the_peak_of_a_measured_run_is_predicted(row: dict[str, Any]) -> None:
    given = case(row)
    assert given.plan.memory is not None
    terms = dict(given.plan.memory.terms)
    at_peak = max(terms.pop("one layer backwards", 0), given.full_logits)
    terms.pop("logits and loss", None)
    predicted = (sum(terms.values()) + at_peak + given.kept_in_fp32 + given.residual_in_fp32) / MIB
    measured = row["measured_mib"]["peak_allocated"]
    print(f"{label(row)}: {predicted / measured - 1:+.1%}")
    assert predicted == pytest.approx(measured, rel=ALLOWED_ERROR)


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_what_lies_on_the_card_after_loading_is_predicted_within_five_percent(row: dict[str, Any]) -> None:
    given = case(row)
    assert given.plan.memory is not None
    terms = dict(given.plan.memory.terms)
    loaded = (terms["weights"] + terms["adapter"] + given.kept_in_fp32) / MIB
    assert loaded == pytest.approx(row["measured_mib"]["after_load_allocated"], rel=0.05)


def planned(card: str = "a100-40gb", name: str = "google/gemma-3-12b-it", **changes: Any) -> tuple[Plan, ModelShape]:
    """QLoRA with DoRA of a 12B model at rank 64 and 4,096 tokens, with some values changed."""
    recipe = Recipe.from_values(
        {
            "model": {"name_or_path": name},
            "data": {"dataset": "rows.jsonl"},
            "adapter": {"method": "qlora", "r": 64, "use_dora": True},
            "training": {
                "per_device_train_batch_size": 1,
                "max_length": 4096,
                "gradient_checkpointing": True,
                "optim": "adamw_torch",
            },
        }
    )
    shape = ModelShape.from_config(KNOWN_MODELS[name].config)
    return replace(plan(recipe, emulate(read_hardware(), card), shape), **changes), shape


QV = ("q_proj", "v_proj")


@pytest.mark.parametrize(
    ("changes", "gib"),
    [
        ({}, 15.24),
        ({"use_dora": False}, 11.27),
        ({"max_length": 2048}, 12.54),
        ({"r": 32}, 14.50),
        ({"target_modules": QV}, 10.02),
        ({"max_length": 2048, "r": 32}, 11.80),
        ({"max_length": 2048, "r": 32, "use_dora": False}, 9.16),
        ({"max_length": 2048, "r": 32, "use_dora": False, "target_modules": QV}, 8.53),
    ],
)
def test_a_12b_model_comes_out_near_its_dry_run(changes: dict[str, Any], gib: float) -> None:
    """The figures come from running the real transformers and PEFT step of this model on fake tensors."""
    chosen, shape = planned(**changes)
    assert predict(chosen, shape).peak_bytes / GIB == pytest.approx(gib, rel=0.1)


@pytest.mark.parametrize(
    "changes",
    [
        {"use_dora": False},
        {"max_length": 2048},
        {"r": 32},
        {"target_modules": QV},
        {"optim": "adamw_8bit"},
        {"double_quant": True},
    ],
)
def test_giving_something_up_never_takes_more(changes: dict[str, Any]) -> None:
    before, shape = planned(double_quant=False)
    assert predict(replace(before, **changes), shape).peak_bytes < predict(before, shape).peak_bytes


def test_eager_attention_grows_with_the_square_of_the_length_and_sdpa_does_not() -> None:
    def peak(attention: str, length: int) -> int:
        chosen, shape = planned(attn_implementation=attention, max_length=length)
        return predict(chosen, shape).peak_bytes

    assert peak("sdpa", 8192) - peak("sdpa", 4096) < 1.1 * (peak("sdpa", 4096) - peak("sdpa", 1)) + GIB
    assert peak("eager", 8192) - peak("sdpa", 8192) > 3.9 * (peak("eager", 4096) - peak("sdpa", 4096))


def test_accumulation_keeps_gradients_alive() -> None:
    chosen, shape = planned()
    accumulating = predict(replace(chosen, gradient_accumulation_steps=4), shape)
    assert accumulating.peak_bytes >= predict(chosen, shape).peak_bytes
    assert dict(accumulating.terms)["gradients"] == 2 * trainable_parameters(chosen, shape)


@pytest.mark.parametrize(("spare", "verdict"), [(1.06, "fits"), (1.01, "tight"), (0.99, "will not fit")])
def test_the_verdict_compares_peak_and_context_with_the_capacity(spare: float, verdict: str) -> None:
    chosen, shape = planned()
    memory = predict(chosen, shape)
    needed = memory.peak_bytes + memory.outside_bytes
    assert predict(replace(chosen, capacity_bytes=int(needed * spare)), shape).verdict == verdict


def test_the_terms_add_up_to_the_peak_and_survive_json() -> None:
    for changes in ({}, {"method": "full"}, {"gradient_checkpointing": False}, {"device": "cpu", "method": "lora"}):
        chosen, shape = planned(**changes)
        memory = predict(chosen, shape)
        assert sum(size for _, size in memory.terms) == memory.peak_bytes
        assert all(isinstance(size, int) and size >= 0 for _, size in memory.terms)
        assert MemoryPrediction.from_json(json.loads(json.dumps(chosen.to_json()["memory"]))) == chosen.memory


def test_trained_parameters_are_counted_as_peft_counts_them() -> None:
    """4,884,480 is what PEFT prints for SmolLM2-135M with r = 16 on all linear layers."""
    chosen, shape = planned(name="bundled:smollm2-135m-instruct", r=16, use_dora=False)
    assert trainable_parameters(chosen, shape) == 4_884_480
    assert trainable_parameters(replace(chosen, method="full"), shape) == shape.num_parameters


def test_a_cpu_has_no_context_outside_the_allocator() -> None:
    chosen, shape = planned(device="cpu")
    assert predict(chosen, shape).outside_bytes == 0
