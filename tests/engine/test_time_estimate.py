"""How long training takes: held against step times that others measured, and never told as one number."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from engine.hardware import Hardware, emulate, read_hardware
from engine.known_models import KNOWN_MODELS
from engine.model_shape import ModelShape
from engine.plan import Plan, plan
from engine.recipe import Recipe
from engine.row_lengths import RowLengths
from engine.time_estimate import TimeEstimate, flops_per_token, time_estimate

CPU = dataclasses.replace(
    read_hardware(), gpus=(), gpu_note="no NVIDIA card", cpu_flags=("avx2", "avx512_bf16"), num_cores=2
)
T4 = emulate(CPU, "t4")
TINYLLAMA = "TinyLlama/TinyLlama-1.1B-Chat-v1.0"
SMOLLM = "bundled:smollm2-135m-instruct"


def shape_of(name: str) -> ModelShape:
    return ModelShape.from_config(KNOWN_MODELS[name].config)


def asked(**sections: dict[str, Any]) -> Recipe:
    values: dict[str, Any] = {"model": {"name_or_path": "m"}, "data": {"dataset": "rows.jsonl"}}
    for name, fields in sections.items():
        values[name] = values.get(name, {}) | fields
    return Recipe.from_values(values)


def estimated(
    recipe: Recipe, hardware: Hardware, name: str, rows: RowLengths | None = None, flops: float | None = None
) -> tuple[TimeEstimate, Plan]:
    chosen = plan(recipe, hardware, shape_of(name), rows=rows)
    found = time_estimate(chosen, shape_of(name), recipe.training, hardware, flops=flops)
    assert found is not None
    return found, chosen


@pytest.mark.parametrize(
    ("method", "batch_size", "length", "seconds"),
    [("qlora", 2, 512, 0.82), ("qlora", 8, 1024, 6.17), ("lora", 2, 1024, 1.15), ("lora", 2, 2048, 2.62)],
)
def test_steps_measured_on_a_t4_lie_in_the_range(method: str, batch_size: int, length: int, seconds: float) -> None:
    """TinyLlama with gradient checkpointing and sdpa; rows of the fitcheck-llm 0.3.1 measurement archive (MIT)."""
    training = {"per_device_train_batch_size": batch_size, "max_length": length, "max_steps": 1}
    recipe = asked(adapter={"method": method}, training=training | {"gradient_checkpointing": True})
    found, _ = estimated(recipe, T4, TINYLLAMA)
    assert found.low_seconds is not None
    assert found.high_seconds is not None
    assert found.low_seconds <= seconds <= found.high_seconds


def test_the_measured_speed_of_two_cores_lies_in_the_range() -> None:
    found, _ = estimated(asked(training={"gradient_checkpointing": False}), CPU, SMOLLM)
    assert found.low_tokens_per_second <= 250 <= found.high_tokens_per_second


def test_lora_takes_four_operations_per_weight_full_training_six_and_checkpointing_two_more() -> None:
    shape = shape_of(TINYLLAMA)
    weights = shape.linear_parameters + shape.embedding_parameters
    short = {"max_length": 8, "gradient_checkpointing": False}
    lora = plan(asked(training=short), T4, shape)
    assert flops_per_token(lora, shape) == pytest.approx(4 * weights, rel=0.05)
    full = dataclasses.replace(lora, method="full")
    assert flops_per_token(full, shape) == pytest.approx(6 * weights, rel=0.01)
    again = dataclasses.replace(full, gradient_checkpointing=True)
    assert flops_per_token(again, shape) == pytest.approx(8 * weights, rel=0.01)


def test_long_rows_cost_more_per_token_but_not_beyond_a_sliding_window() -> None:
    tiny, gemma = shape_of(TINYLLAMA), shape_of("google/gemma-3-12b-it")
    chosen = plan(asked(), T4, tiny)

    def growth(shape: ModelShape) -> float:
        short, long = (dataclasses.replace(chosen, max_length=length) for length in (1024, 8192))
        return flops_per_token(long, shape) / flops_per_token(short, shape)

    assert growth(tiny) > 1.2 > growth(gemma) > 1


def test_the_tokens_are_an_upper_bound_until_rows_are_counted() -> None:
    recipe = asked(training={"max_steps": 10, "per_device_train_batch_size": 4, "max_length": 256})
    before, _ = estimated(recipe, T4, TINYLLAMA)
    assert (before.num_tokens, before.at_most) == (10 * 4 * 256, True)
    assert "if every row is full" in before.sentence()
    assert before.short() == "under 1 min"
    longer = asked(training={"max_steps": 10_000, "per_device_train_batch_size": 4, "max_length": 256})
    assert estimated(longer, T4, TINYLLAMA)[0].short().startswith("up to ")
    after, _ = estimated(recipe, T4, TINYLLAMA, RowLengths.of([(100, 10), (60, 10)]))
    assert (after.num_tokens, after.at_most) == (10 * 4 * 80, False)


def test_epochs_over_unknown_rows_have_a_speed_but_no_end() -> None:
    found, _ = estimated(asked(), T4, TINYLLAMA)
    assert found.num_tokens is None
    assert "depends on the number of rows" in found.sentence()
    counted, _ = estimated(asked(training={"num_train_epochs": 3}), T4, TINYLLAMA, RowLengths.of([(100, 10)] * 50))
    assert counted.num_tokens == 3 * 50 * 100


def test_what_is_cut_off_at_max_length_takes_no_time() -> None:
    rows = RowLengths.of([(1000, 10), (100, 10), (100, 10)])
    found, _ = estimated(asked(training={"num_train_epochs": 2, "max_length": 256}), T4, TINYLLAMA, rows)
    assert found.num_tokens == 2 * (256 + 100 + 100)


def test_earlier_runs_on_the_device_narrow_the_range_and_are_named() -> None:
    recipe = asked(training={"max_steps": 10})
    guessed, _ = estimated(recipe, T4, TINYLLAMA)
    known, _ = estimated(recipe, T4, TINYLLAMA, flops=9e12)
    assert known.high_tokens_per_second / known.low_tokens_per_second < 2
    assert guessed.high_tokens_per_second / guessed.low_tokens_per_second > 2
    assert "earlier runs" in known.basis
    assert "data sheet" in guessed.basis


def test_a_card_that_nobody_has_written_down_has_no_estimate() -> None:
    hardware = emulate(CPU, "7GiB")
    chosen = plan(asked(), hardware, shape_of(TINYLLAMA))
    assert time_estimate(chosen, shape_of(TINYLLAMA), asked().training, hardware) is None


@pytest.mark.parametrize(
    ("steps", "told"), [(1, "under 1 min"), (100, "up to"), (100_000, "h to"), (10_000_000, "d to")]
)
def test_a_range_is_told_in_whole_minutes_hours_or_days(steps: int, told: str) -> None:
    recipe = asked(training={"max_steps": steps, "per_device_train_batch_size": 1})
    found, _ = estimated(recipe, T4, TINYLLAMA, RowLengths.of([(2048, 10)]))
    assert told in found.short()
