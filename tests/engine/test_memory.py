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

from engine.allocator import needed_on_cpu
from engine.dry_run_types import TERMS
from engine.hardware import emulate, read_hardware
from engine.known_models import KNOWN_MODELS
from engine.memory import MemoryPrediction, outside_bytes, predict, scale_bytes, trainable_parameters
from engine.model_shape import ModelShape
from engine.plan import Plan, plan
from engine.recipe import Recipe
from engine.row_lengths import RowLengths
from engine.units import MIB

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
            "data": {"dataset": "rows.jsonl", "eval_fraction": 0.0},
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
    at_peak = max(terms.pop("temporaries", 0), given.full_logits)
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
    loaded = (sum(terms[name] for name in ("weights", "quantization overhead", "adapter")) + given.kept_in_fp32) / MIB
    assert loaded == pytest.approx(row["measured_mib"]["after_load_allocated"], rel=0.05)


def planned(card: str = "a100-40gb", name: str = "google/gemma-3-12b-it", **changes: Any) -> tuple[Plan, ModelShape]:
    """QLoRA with DoRA of a 12B model at rank 64 and 4,096 tokens, with some values changed."""
    recipe = Recipe.from_values(
        {
            "model": {"name_or_path": name},
            "data": {"dataset": "rows.jsonl"},
            "adapter": {"method": "qlora", "r": 64, "use_dora": True, "lean_dora": False},
            "training": {
                "per_device_train_batch_size": 1,
                "per_device_eval_batch_size": 1,
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
        ({"lean_dora": True}, 12.01),
        ({"per_device_train_batch_size": 2}, 20.82),
        ({"use_dora": False, "per_device_eval_batch_size": 8}, 13.5),
        ({"per_device_eval_batch_size": 8}, 21.2),
        ({"use_dora": False, "fused_loss": False}, 26.0),
        ({"use_dora": False, "gradient_accumulation_steps": 2}, 11.76),
        ({"use_dora": False, "gradient_checkpointing": False}, 57.3),
        ({"optim": "adamw_8bit"}, 14.75),
        ({"optim": "paged_adamw_8bit"}, 14.25),
        ({"activation_offloading": True}, 12.74),
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
        {"optim": "paged_adamw_8bit"},
        {"double_quant": True},
        {"lean_dora": True},
        {"activation_offloading": True},
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
    chosen, shape = planned(use_dora=False)
    accumulating = predict(replace(chosen, gradient_accumulation_steps=4), shape)
    assert accumulating.peak_bytes >= predict(chosen, shape).peak_bytes
    assert dict(accumulating.terms)["gradients"] == 2 * trainable_parameters(chosen, shape)


def test_every_term_has_its_name_in_the_order_of_the_dry_runs() -> None:
    for changes in ({}, {"method": "lora"}, {"device": "cpu", "method": "full", "dtype": "float32"}):
        chosen, shape = planned(**changes)
        assert tuple(name for name, _ in predict(chosen, shape).terms) == TERMS


def test_the_rows_that_there_are_decide_and_joined_ones_are_not_padded() -> None:
    rows = RowLengths.of([(1000, 10), (100, 10), (100, 10)])
    batch = {"per_device_train_batch_size": 3, "has_eval": False, "rows": rows}

    def activations(**changes: Any) -> int:
        chosen, shape = planned(**batch | changes)
        return dict(predict(chosen, shape).terms)["activations"]

    assert activations(padding_free=False) == 3 * activations(per_device_train_batch_size=1)
    assert activations(padding_free=True) == pytest.approx(1.2 * activations(per_device_train_batch_size=1))
    assert activations(padding_free=False, max_length=500) == pytest.approx(activations(padding_free=False) / 2)


def test_an_eval_batch_counts_only_where_rows_are_held_out() -> None:
    large, shape = planned(per_device_eval_batch_size=64)
    assert predict(large, shape).peak_bytes > predict(replace(large, per_device_eval_batch_size=1), shape).peak_bytes
    without = replace(large, has_eval=False)
    assert predict(without, shape) == predict(replace(without, per_device_eval_batch_size=1), shape)


def test_all_logits_take_the_vocabulary_times_the_tokens() -> None:
    chosen, shape = planned(fused_loss=False)
    logits = dict(predict(chosen, shape).terms)["logits and loss"]
    assert logits == 4096 * shape.vocab_size * LOGIT_BYTES["none"]


@pytest.mark.parametrize(("card", "context"), [("t4", 141), ("rtx3090", 400), ("h100-80gb", 512)])
def test_newer_cards_hold_a_larger_context(card: str, context: int) -> None:
    gpu = emulate(read_hardware(), card).best_gpu
    assert gpu is not None
    assert outside_bytes("cuda:0", gpu.compute_capability) / MIB == pytest.approx(context, abs=1)


@pytest.mark.parametrize("double_quant", [False, True])
@pytest.mark.parametrize("shape", [(256, 192), (576, 1536), (1000, 64)])
def test_four_bit_weights_take_the_bytes_that_bitsandbytes_takes(shape: tuple[int, int], double_quant: bool) -> None:
    import torch
    from bitsandbytes.functional import quantize_4bit

    packed, state = quantize_4bit(torch.zeros(shape), quant_type="nf4", compress_statistics=double_quant)
    kept = [packed, state.absmax, state.code]
    if double_quant:
        kept += [state.offset, state.state2.absmax, state.state2.code]
    num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in kept)
    num_weights = shape[0] * shape[1]
    assert num_weights // 2 + scale_bytes(num_weights, double_quant) == num_bytes


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


def test_a_cpu_has_no_context_but_libraries_and_gaps_of_its_own() -> None:
    chosen, shape = planned(device="cpu")
    memory = predict(chosen, shape)
    assert memory.outside_bytes == 0
    assert memory.needed_bytes == needed_on_cpu(memory.peak_bytes)


def test_under_a_cap_a_cpu_also_needs_room_for_the_files_while_they_are_loaded() -> None:
    chosen, shape = planned(device="cpu", method="lora", dtype="float32", max_length=16, has_eval=False)
    capped = replace(chosen, enforce_limit=True, target_modules=QV, r=1, use_dora=False)
    weights = dict(predict(capped, shape).terms)["weights"]
    assert predict(capped, shape).needed_bytes >= 1.5 * weights
    assert predict(replace(capped, enforce_limit=False), shape).needed_bytes < 1.5 * weights
