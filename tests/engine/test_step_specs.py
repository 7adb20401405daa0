"""The step that a plan stands for: its longest rows, and the kernels and types that the device would choose."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from engine.hardware import Hardware, emulate, read_hardware
from engine.plan import Plan, plan
from engine.recipe import Recipe
from engine.row_lengths import RowLengths
from engine.step_specs import attention_kernel, spec_of

CPU = dataclasses.replace(read_hardware(), gpus=(), gpu_note="no NVIDIA card", cpu_flags=("avx2", "avx512_bf16"))
T4, A100 = emulate(CPU, "t4"), emulate(CPU, "a100-40gb")
ROWS = RowLengths.of([(50, 5), (300, 20), (120, 10), (90, 9)])
PADDED = {"training": {"padding_free": False}}


def planned(hardware: Hardware, rows: RowLengths | None = None, **sections: dict[str, Any]) -> Plan:
    values: dict[str, Any] = {"model": {"name_or_path": "m"}, "data": {"dataset": "rows.jsonl"}}
    for name, fields in sections.items():
        values[name] = values.get(name, {}) | fields
    return plan(Recipe.from_values(values), hardware, None, rows=rows)


def test_before_rows_are_tokenized_every_row_counts_as_full() -> None:
    spec = spec_of(planned(A100, training={"per_device_train_batch_size": 3, "max_length": 512}))
    assert spec.row_lengths == (512, 512, 512)
    assert spec.num_labelled is None
    assert spec.eval_row_lengths == (512,) * 8


def test_the_longest_rows_make_the_batch_cut_at_max_length() -> None:
    spec = spec_of(planned(A100, ROWS, training={"per_device_train_batch_size": 2, "max_length": 200}))
    assert spec.row_lengths == (200, 120)
    assert spec.num_labelled == 30


def test_no_rows_held_out_means_no_eval_batch() -> None:
    assert spec_of(planned(A100, data={"eval_fraction": 0.0})).eval_row_lengths == ()


@pytest.mark.parametrize(
    ("hardware", "rows", "sections", "kernel"),
    [
        (A100, ROWS, {}, "varlen"),
        (A100, None, PADDED, "flash"),
        (A100, ROWS, PADDED, "efficient"),
        (A100, ROWS, {"model": {"attn_implementation": "flash_attention_2"}}, "flash"),
        (A100, None, {"model": {"attn_implementation": "eager"}}, "eager"),
        (T4, None, {}, "efficient"),
        (T4, ROWS, {}, "efficient"),
        (CPU, None, {}, "segments"),
        (CPU, None, PADDED, "native"),
        (CPU, None, {"model": {"attn_implementation": "eager"}}, "eager"),
    ],
    ids=[
        "joined",
        "no padding",
        "padded",
        "flash 2",
        "eager",
        "T4",
        "T4 padded",
        "CPU joined",
        "CPU padded",
        "CPU eager",
    ],
)
def test_attention_runs_on_the_kernel_that_torch_would_take(
    hardware: Hardware, rows: RowLengths | None, sections: dict[str, Any], kernel: str
) -> None:
    assert spec_of(planned(hardware, rows, **sections)).attention == kernel


def test_bf16_before_ampere_has_no_fused_kernel() -> None:
    forced = dataclasses.replace(planned(T4), dtype="bfloat16", autocast="bfloat16")
    assert attention_kernel(forced) == "math"


@pytest.mark.parametrize(
    ("hardware", "sections", "loss"),
    [
        (A100, {}, "fused"),
        (A100, {"adapter": {"method": "full"}}, "fused"),
        (CPU, {}, "frozen_head"),
        (CPU, {"adapter": {"method": "full"}}, "fused"),
        (CPU, {"training": {"fused_loss": False}}, "plain"),
        (A100, {"training": {"fused_loss": False}}, "plain"),
    ],
)
def test_the_loss_is_the_one_that_the_trainer_computes(hardware: Hardware, sections: dict[str, Any], loss: str) -> None:
    assert spec_of(planned(hardware, **sections)).loss == loss


@pytest.mark.parametrize(
    ("hardware", "method", "dtype"),
    [(A100, "lora", "float32"), (A100, "qlora", "bfloat16"), (T4, "qlora", "float32"), (CPU, "qlora", "bfloat16")],
    ids=["LoRA", "QLoRA", "QLoRA under fp16", "QLoRA on CPU"],
)
def test_adapters_have_the_type_that_trl_leaves_them_in(hardware: Hardware, method: str, dtype: str) -> None:
    assert spec_of(planned(hardware, adapter={"method": method})).adapter_dtype == dtype


def test_a_spec_survives_json() -> None:
    for hardware in (CPU, T4, A100):
        spec = spec_of(planned(hardware, ROWS, adapter={"target_modules": ["q_proj", "v_proj"]}))
        assert type(spec).from_json(spec.to_json()) == spec
