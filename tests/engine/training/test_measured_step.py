"""Peaks of real work whose allocations are known beforehand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import torch

from engine.training.measured_step import Meter, measure, tensor_bytes

# peft asks a model of transformers under the old name of a property; it answers as ever.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

MiB = 1 << 20


def floats(mebibytes: int) -> torch.Tensor:
    return torch.ones(mebibytes * MiB // 4)


def test_the_peak_counts_what_lived_at_the_same_time() -> None:
    def work() -> torch.Tensor:
        first = floats(8)
        del first
        return floats(3) + floats(3)  # two addends and the sum

    measured = measure(work, device="cpu")
    assert measured.peak_bytes == pytest.approx(9 * MiB, abs=4096)
    assert measured.left_bytes == pytest.approx(3 * MiB, abs=4096)
    assert measured.result.numel() == 3 * MiB // 4
    assert measured.seconds > 0


def test_every_phase_has_a_peak_of_its_own() -> None:
    with Meter("cpu") as meter:
        for _ in range(2):
            meter.enter("forward")
            kept = floats(4)
            meter.enter("backward")
            more = floats(6)
            del more
        meter.enter("optimizer")
        del kept
    measured = meter.measured(None)
    peaks = {phase.phase: round(phase.peak_bytes / MiB) for phase in measured.phases}
    assert peaks == {"forward": 8, "backward": 10, "optimizer": 4}, "the second forward holds both tensors for a moment"
    assert measured.peak_bytes == pytest.approx(10 * MiB, abs=4096)
    assert measured.left_bytes == pytest.approx(0, abs=4096)


def test_gradients_made_by_autograds_own_thread_are_counted() -> None:
    weight = floats(4).requires_grad_()

    def work() -> None:
        (weight * 2).sum().backward()
        weight.grad = None

    assert measure(work, device="cpu").peak_bytes >= 4 * MiB


def test_an_exception_passes_and_the_figures_up_to_it_stay() -> None:
    meter = Meter("cpu")

    def work() -> None:
        with meter:
            floats(5) @ floats(1)

    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        work()
    assert meter.measured(None).peak_bytes == pytest.approx(6 * MiB, abs=4096)
    assert measure(lambda: floats(2), device="cpu").peak_bytes == pytest.approx(2 * MiB, abs=4096)


def test_two_measurements_at_once_are_refused_and_the_first_goes_on() -> None:
    with Meter("cpu") as meter:
        with pytest.raises(ValueError, match="another measurement"):
            measure(lambda: None, device="cpu")
        floats(5)
    assert meter.measured(None).peak_bytes == pytest.approx(5 * MiB, abs=4096)


def test_resident_memory_rises_by_what_was_touched() -> None:
    measured = measure(lambda: floats(64).sum(), device="cpu")
    if measured.device_used_bytes is None:
        pytest.skip("this kernel does not let the high-water mark be reset")
    assert 60 * MiB < measured.device_used_bytes < 80 * MiB


CAPPED = """
import resource, psutil, torch
from engine.training.measured_step import measure
used = psutil.Process().memory_info().data
resource.setrlimit(resource.RLIMIT_DATA, (used + (128 << 20), resource.RLIM_INFINITY))
def work():
    total = 0.0
    for _ in range(5_000):
        total += float(torch.ones(64).sum())
    return torch.ones(16 << 20).sum()
print(measure(work, device="cpu").peak_bytes)
"""


def test_it_works_in_a_process_with_a_memory_cap(tmp_path: Path) -> None:
    """64 MiB of tensors, and 20,000 events whose list is made after the tensors are gone, under a cap of 128 MiB."""
    done = subprocess.run([sys.executable, "-c", CAPPED], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == pytest.approx(64 * MiB, rel=0.01)


def test_shared_storages_and_views_count_once() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 8, bias=False), torch.nn.Linear(8, 8, bias=False))
    assert tensor_bytes(model) == 2 * 256
    model[1].weight = model[0].weight
    assert tensor_bytes(model) == 256
    model.register_buffer("view", model[0].weight.detach()[:2])
    assert tensor_bytes(model) == 256


def test_optimizer_state_counts_and_gradients_do_not() -> None:
    model = torch.nn.Linear(64, 64)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    weights = tensor_bytes(model, optimizer)
    model(torch.ones(1, 64)).sum().backward()
    assert tensor_bytes(model, optimizer) == weights
    optimizer.step()
    assert tensor_bytes(model, optimizer) == 3 * weights + 2 * 4, "two moments, and one step count for each parameter"


@pytest.mark.parametrize("double_quant", [False, True])
def test_a_4_bit_layer_counts_to_the_byte(double_quant: bool) -> None:
    """n/2 bytes of weights; a scale for 64 of them in 4 bytes or in one; the tables of values."""
    layer = bitsandbytes.nn.Linear4bit(256, 128, bias=False, quant_type="nf4", compress_statistics=double_quant)
    layer = layer.to("cpu")
    num_weights = 256 * 128
    scales = num_weights // 64
    nested = scales + 4 * (scales // 256) + 1024 + 4  # each in a byte, its own scales, their table, the mean
    assert tensor_bytes(layer) == num_weights // 2 + 16 * 4 + (nested if double_quant else 4 * scales)


def test_a_models_4_bit_weights_are_measured_as_loaded(rig: Callable[..., Any]) -> None:
    trainer, _ = rig(adapter={"method": "qlora"}).build()
    dense, _ = rig(adapter={"method": "lora"}).build()
    assert tensor_bytes(trainer.model) < tensor_bytes(dense.model)
