"""Which presets suit a machine, in which order and why."""

from __future__ import annotations

import dataclasses

import pytest

from engine.hardware import Hardware, emulate, read_hardware
from engine.units import GIB
from presets.matching import ORDER, Match, match, rank
from presets.preset import Preset, all_presets, preset

CPU = dataclasses.replace(
    read_hardware(), gpus=(), gpu_note="no NVIDIA card", ram_available_bytes=4 * GIB, cpu_flags=("avx2",)
)


@pytest.mark.parametrize("hardware", [CPU, emulate(CPU, "t4"), emulate(CPU, "6GiB"), emulate(CPU, "h200")])
def test_every_preset_is_ranked_once_the_usable_first_each_with_a_reason(hardware: Hardware) -> None:
    ranked = rank(hardware)
    assert sorted(each.preset.name for each in ranked) == [each.name for each in all_presets()]
    assert [ORDER.index(each.verdict) for each in ranked] == sorted(ORDER.index(each.verdict) for each in ranked)
    assert all(len(each.reason) > 10 for each in ranked)


def verdict(name: str, hardware: Hardware) -> Match:
    return match(preset(name), hardware)


def test_the_verdict_is_that_of_the_memory_prediction() -> None:
    assert verdict("demo-cpu", CPU).verdict == "fits"
    assert verdict("trinity-gemma3-12b-16gb", emulate(CPU, "6GiB")).verdict == "will not fit"
    large = verdict("trinity-gemma3-12b-16gb", emulate(CPU, "a100-40gb"))
    assert large.verdict == "fits"
    assert large.reason.startswith("needs about 1")


def test_a_preset_that_will_not_fit_as_it_is_says_what_the_ladder_makes_of_it() -> None:
    helped = verdict("trinity-gemma3-12b-16gb", emulate(CPU, "10GiB"))
    assert helped.verdict == "will not fit"
    assert "the ladder makes it fit, by rungs up to" in helped.reason
    assert "nothing that the recipe allows" in verdict("trinity-gemma3-12b-16gb", emulate(CPU, "4GiB")).reason


def test_a_preset_that_the_machine_cannot_apply_says_which_field() -> None:
    old = dataclasses.replace(CPU, cpu_flags=("sse4",))
    found = verdict("qwen-coder-mbpp-6gb", old)
    assert found.verdict == "cannot run"
    assert found.reason.startswith("adapter.method: ")


def test_a_preset_of_an_unknown_model_is_neither_praised_nor_refused() -> None:
    text = '[model]\nname_or_path = "nobody/unknown"\noffline = true\n[data]\ndataset = "rows.jsonl"\n'
    found = match(Preset("mine", text), CPU)
    assert found.verdict == "unknown"
    assert found.reason
