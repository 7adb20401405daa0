"""The fit probe on tiny models: a real step of the longest rows that leaves no trace."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from engine.errors import ModelError
from engine.events import MemoryMeasured, MemoryProbed
from engine.memory import MemoryPrediction
from engine.training.measured_step import tensor_bytes
from engine.training.probe import allocated_bytes, check_loaded, longest, probe

# peft asks a model of transformers under the old name of a property; it answers as ever.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

PREDICTED = MemoryPrediction(
    terms=(("weights", 900), ("quantization overhead", 60), ("adapter", 40), ("activations", 500)),
    peak_bytes=1500,
    static_bytes=1000,
    reserved_low_bytes=1500,
    reserved_high_bytes=1500,
    outside_bytes=0,
    needed_bytes=1500,
    capacity_bytes=4000,
    verdict="fits",
    reason="",
    method="dry run",
)


def probed(made: Any, trainer: Any, prediction: MemoryPrediction | None = None) -> MemoryProbed:
    return probe(trainer, prediction, made.run.checkpoints / "staging" / "probe", attempt=1)


def all_bits(trainer: Any) -> dict[str, torch.Tensor]:
    tensors = [*trainer.model.named_parameters(), *trainer.model.named_buffers()]
    return {name: tensor.detach().clone().view(torch.uint8) for name, tensor in tensors if tensor.ndim}


def trained(made: Any, *, with_probe: bool, **changes: Any) -> tuple[list[tuple[float, float | None]], dict[str, Any]]:
    """(loss, gradient norm) of every step, and the files of the last checkpoint."""
    trainer, callback = made.build(**changes)
    if with_probe:
        callback.on_probed(probed(made, trainer))
    made.train(trainer, callback)
    last = max(made.run.checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    hashes = json.loads((last / "finetui-checkpoint.json").read_text())["files"]
    return [(event.loss, event.grad_norm) for event in made.steps()], hashes


VARIANTS: list[dict[str, Any]] = [
    {},
    {"gradient_checkpointing": True},
    {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
    {"padding_free": False},
    {"fused_loss": False},
    {"optim": "adamw_8bit"},
    {"method": "qlora"},
    {"use_dora": True, "lean_dora": True},
    {"method": "full"},
    {"autocast": "bfloat16"},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=lambda changes: ", ".join(changes) or "lora")
def test_a_run_with_a_probe_is_the_run_without_to_the_last_bit(
    rig: Callable[..., Any], changes: dict[str, Any]
) -> None:
    """With dropout. The checkpoint holds weights, optimizer, random states, scheduler and counters."""
    adapter = {"method": changes.get("method", "lora")} | ({} if "full" in changes.values() else {"lora_dropout": 0.2})
    training = {"max_steps": 4, "save_steps": 4, "eval_steps": 2}
    found = []
    for with_probe in (False, True):
        made = rig(adapter=adapter, training=training)
        found.append(trained(made, with_probe=with_probe, **changes))
    assert found[0][0] == found[1][0]
    different = {name for name, entry in found[0][1].items() if found[1][1][name] != entry}
    # The state file holds floating point operations per second of this run, the arguments file its folder.
    assert different <= {"training_args.bin", "trainer_state.json"}


@pytest.mark.parametrize("changes", VARIANTS, ids=lambda changes: ", ".join(changes) or "lora")
def test_a_probe_leaves_everything_as_it_was(rig: Callable[..., Any], changes: dict[str, Any]) -> None:
    adapter = {"method": changes.get("method", "lora")} | ({} if "full" in changes.values() else {"lora_dropout": 0.2})
    made = rig(adapter=adapter)
    trainer, _ = made.build(**changes)
    before = all_bits(trainer), torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    scaler, state = trainer.accelerator.scaler, repr(trainer.state)
    event = probed(made, trainer)
    after = all_bits(trainer)
    assert all(torch.equal(bits, after[name]) for name, bits in before[0].items())
    assert torch.equal(torch.random.get_rng_state(), before[1])
    assert random.getstate() == before[2]
    assert np.random.get_state()[1].tolist() == before[3]  # type: ignore[index]
    assert all(parameter.grad is None for parameter in trainer.model.parameters())
    assert (trainer.optimizer, trainer.accelerator.scaler, trainer.num_tokens) == (None, scaler, 0)
    assert not trainer.accelerator._optimizers
    assert list(made.run.checkpoints.rglob("*.safetensors")) == []
    assert [name for name, _ in event.phases] == ["load", "forward", "backward", "optimizer", "eval", "save"]
    assert event.static_bytes > dict(event.phases)["load"], "the optimizer's state is there by then"
    assert event.peak_bytes > event.static_bytes
    assert repr(trainer.state) == state


def test_the_probe_takes_the_longest_rows_and_so_is_never_below_a_step(rig: Callable[..., Any]) -> None:
    made = rig(rows=60, training={"max_steps": 4, "per_device_train_batch_size": 4})
    trainer, callback = made.build()
    rows = longest(trainer.train_dataset, 4)
    lengths = sorted((len(ids) for ids in trainer.train_dataset["input_ids"]), reverse=True)
    assert [len(row["input_ids"]) for row in rows] == lengths[:4]
    event = probed(made, trainer)
    callback._peak.probed = None
    made.train(trainer, callback)
    (measured,) = [event for event in made.events() if isinstance(event, MemoryMeasured)]
    assert measured.step == 2
    assert measured.static_bytes < measured.peak_bytes <= event.peak_bytes
    assert measured.static_bytes == tensor_bytes(trainer.model, trainer.optimizer.optimizer) == event.static_bytes
    assert measured.rho is None, "without a probe, nothing says how the rows of that step compare with the longest"


def test_accumulation_counts_the_gradients_that_stay(rig: Callable[..., Any]) -> None:
    peaks = []
    for accumulation in (1, 2):
        made = rig(adapter={"method": "full"})
        trainer, _ = made.build(per_device_train_batch_size=1, gradient_accumulation_steps=accumulation)
        peaks.append(dict(probed(made, trainer).phases)["forward"])
        gradients = sum(p.numel() * p.element_size() for p in trainer.model.parameters())
    assert peaks[1] - peaks[0] >= gradients * 0.9


def test_rho_scales_the_transient_part_of_the_prediction(rig: Callable[..., Any]) -> None:
    made = rig(training={"max_steps": 2})
    trainer, callback = made.build(memory=PREDICTED)
    event = probed(made, trainer, PREDICTED)
    assert (event.predicted_bytes, event.predicted_static_bytes) == (1500, 1000)
    callback.on_probed(event)
    made.train(trainer, callback)
    (measured,) = [event for event in made.events() if isinstance(event, MemoryMeasured)]
    assert measured.peak_bytes == event.peak_bytes
    assert measured.rho == pytest.approx((measured.peak_bytes - measured.static_bytes) / 500, rel=1e-4)


def test_a_model_that_is_not_the_predicted_one_stops_the_attempt() -> None:
    assert check_loaded(1000, PREDICTED) == ""
    assert check_loaded(1019, PREDICTED) == ""
    with pytest.raises(ModelError, match="Misread configuration") as told:
        check_loaded(1031, PREDICTED)
    assert "memory.probe = false" in told.value.remedy


def test_an_estimate_that_is_off_is_only_told(rig: Callable[..., Any]) -> None:
    estimate = dataclasses.replace(PREDICTED, method="closed form")
    assert "the prediction is an estimate" in check_loaded(2000, estimate)
    trainer, _ = rig().build()
    assert allocated_bytes(trainer) == tensor_bytes(trainer.model)
