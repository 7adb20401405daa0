"""Cards that are not here: named, or given by their memory."""

from __future__ import annotations

import dataclasses

import pytest

from engine.cards import CARDS, card_named
from engine.errors import RecipeError
from engine.hardware import Hardware, emulate, read_hardware
from engine.units import GIB, MIB


@pytest.fixture
def cpu_machine() -> Hardware:
    return dataclasses.replace(read_hardware(), gpus=(), gpu_note="none")


@pytest.mark.parametrize("written", ["t4", "T4", "Tesla T4", "NVIDIA Tesla T4"])
def test_a_t4_can_be_planned_for_without_one(cpu_machine: Hardware, written: str) -> None:
    gpu = emulate(cpu_machine, written).best_gpu

    assert gpu is not None
    assert gpu.emulated
    assert (gpu.free_bytes, gpu.compute_capability) == (14_912 * MIB, (7, 5))


def test_a_size_stands_for_a_card_and_its_generation_is_marked_as_assumed(cpu_machine: Hardware) -> None:
    gpu = emulate(cpu_machine, "6GiB").best_gpu

    assert gpu is not None
    assert gpu.free_bytes == gpu.total_bytes == 6 * GIB
    assert "assumed" in gpu.problems[0]


def test_every_known_card_can_be_named_by_its_key_and_by_its_name(cpu_machine: Hardware) -> None:
    for card in CARDS:
        for written in (card.key, card.name):
            gpu = emulate(cpu_machine, written).best_gpu
            assert gpu is not None
            assert gpu.name == f"{card.name} (emulated)"
            assert 0.94 * card.total_bytes < gpu.free_bytes < card.total_bytes


def test_a_card_is_found_again_under_the_name_that_its_driver_says(cpu_machine: Hardware) -> None:
    for card in CARDS:
        assert card_named(card.name) == card
        gpu = emulate(cpu_machine, card.key).best_gpu
        assert gpu is not None
        assert card_named(gpu.name) == card
    assert card_named("NVIDIA GeForce 256") is None


def test_every_card_has_a_peak_that_a_card_can_have() -> None:
    assert all(10 <= card.peak_tflops <= 2000 for card in CARDS)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("a100", "could be a100-40gb or a100-80gb"),
        ("rtx4091", "Did you mean rtx4090?"),
        ("16", "neither a memory size nor a card"),
        ("0GiB", "neither a memory size nor a card"),
        ("", "neither a memory size nor a card"),
    ],
)
def test_what_is_neither_card_nor_size_is_refused_with_the_known_ones(
    cpu_machine: Hardware, written: str, said: str
) -> None:
    with pytest.raises(RecipeError) as refused:
        emulate(cpu_machine, written)

    assert said in refused.value.happened
    assert "a100-40gb" in refused.value.remedy
