"""The throughput benchmark: its arithmetic at once, and one whole small measurement with a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.throughput_contenders.events_cost import EventsCost
from benchmarks.throughput_contenders.job import Job
from benchmarks.throughput_contenders.limits import useful_flop
from benchmarks.throughput_contenders.measuring import Bench, Measured
from benchmarks.throughput_contenders.rows import SHAPES, write_rows
from benchmarks.throughput_contenders.table import judged, page

CHEAP = EventsCost(callback=1e-4, reading=1e-4, look=1e-4)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Four rows of four tokens in steps of two."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"input_ids": [1, 2, 3, 4], "labels": [-100, 2, 3, 4]}\n' * 4)
    numbers = {"warmup": 3, "steps": 4, "batch_size": 2, "max_length": 8, "pack_length": 8, "packs_per_step": 1}
    job = Job(
        model="", rows=str(rows), held_out="", folder="", learning_rate=1e-4, r=2, lora_alpha=4, seed=1, saves=False,
        **numbers,
    )  # fmt: skip
    return Bench(tmp_path, "mixed", job, (rows, rows), [0], {}, useful_flop=1e6, real_share=0.5)


def measured(name: str, turn: int, cpu: float, held_out: float = 2.0) -> Measured:
    return Measured(name, turn, tokens=100, seconds=cpu, cpu=cpu, peak_bytes=1 << 20, held_out=held_out)


def verdicts(bench: Bench, *found: Measured) -> dict[str, bool]:
    by_name: dict[str, list[Measured]] = {}
    for each in found:
        by_name.setdefault(each.contender, []).append(each)
    return dict(judged(bench, by_name, "cpu"))


def test_a_ratio_is_that_of_two_measurements_of_the_same_turn(bench: Bench) -> None:
    # The machine is half as fast in the second turn; neither gained from it.
    found = [
        measured("finetui", 0, 1.0),
        measured("bare", 0, 1.0),
        measured("bare", 1, 2.0),
        measured("finetui", 1, 2.0),
    ]
    assert verdicts(bench, *found)["overhead over the bare loop +0.0%"]


def test_more_than_three_percent_over_the_bare_loop_breaks_a_promise(bench: Bench) -> None:
    assert verdicts(bench, measured("finetui", 0, 1.03), measured("bare", 0, 1.0))["overhead over the bare loop +3.0%"]
    found = verdicts(bench, measured("finetui", 0, 1.04), measured("bare", 0, 1.0))
    assert not found["overhead over the bare loop +4.0%"]


def test_a_gain_that_costs_quality_breaks_a_promise(bench: Bench) -> None:
    found = verdicts(bench, measured("finetui", 0, 1.0, 2.02), measured("trl-default", 0, 4.0, 2.0))
    assert found == {"4.00 times trl-default, promised 3.0": True, "held-out loss +1.00% against trl-default": False}


def test_a_contender_that_did_not_run_is_named_with_its_reason_and_judged_by_nobody(bench: Bench) -> None:
    found = [measured("finetui", 0, 10.0), Measured("unsloth", 0, fault="it wants an accelerator")]
    text, broken = page(bench, found, 1e9, CHEAP)
    assert "unsloth is absent: it wants an accelerator" in text
    assert not broken


def test_events_that_take_more_than_a_hundredth_of_a_step_break_a_promise(bench: Bench) -> None:
    dear = EventsCost(callback=0.1, reading=0.0, look=0.0)
    _, broken = page(bench, [measured("finetui", 0, 10.0)], 1e9, dear)
    assert broken == ["mixed: events, callbacks and readers take 4.000% of a step"]


def test_useful_work_counts_attention_as_causal_and_the_head_where_there_are_labels() -> None:
    config = {"hidden_size": 4, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config |= {"num_key_value_heads": 1, "vocab_size": 10}
    weights = 4 * 4 + 2 * 4 * 2 + 4 * 4 + 3 * 4 * 8
    adapter = 2 * ((4 + 4) + 2 * (4 + 2) + (4 + 4) + 3 * (4 + 8))
    expected = 3 * (4 * weights + 6 * adapter) + 2 * 4 * 4 * 10 + 12 * 4 * (1 + 2 + 3)
    assert useful_flop(config, [(3, 2)], r=2) == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_of_every_shape_are_enough_and_the_same_every_time(shape: str, tmp_path: Path) -> None:
    made = [write_rows(tmp_path, shape, 64, 8, 512)[0].read_text() for _ in range(2)]
    assert made[0] == made[1]
    chats = [json.loads(line)["messages"] for line in made[0].splitlines()]
    assert len(chats) == 64
    lengths = {len(answer["content"]) for _, answer in chats}
    assert (len(lengths) == 1) == (shape == "uniform")
