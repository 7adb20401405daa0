"""The fit probe: one real step of the longest rows, an eval batch and a save, before step 1.

Too little memory, or too little disk, shows here, where nothing is lost yet. Afterwards weights, random numbers,
gradients, optimizer, gradient scaler and counters are as if it had never run. Not here: what follows from it.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from engine.errors import ModelError
from engine.events import MemoryProbed
from engine.memory import MemoryPrediction
from engine.training.measured_step import Measured, Meter, tensor_bytes
from engine.training.random_states import RandomStates
from engine.training.ranks import Ranks
from engine.training.rendering import IGNORED
from engine.training.sharding import is_sharded, whole_optimizer_state
from engine.training.trainer import RunTrainer
from engine.units import format_bytes

LOADED_TERMS = ("weights", "quantization overhead", "adapter")
"""Terms of a prediction that are there once the model is loaded."""
MISREAD = 0.02
"""Above this share of difference the prediction is of another model than the one loaded."""


def probe(trainer: RunTrainer, prediction: MemoryPrediction | None, folder: Path, *, attempt: int) -> MemoryProbed:
    """Do it, leaving no trace but the event's figures. `folder` is made for the save, and removed.

    Raises whatever an allocator or the disk raises.
    """
    loaded = allocated_bytes(trainer)
    with _untouched(trainer) as model:
        static = allocated_bytes(trainer)
        with Meter(_device(trainer)) as meter:
            _measured(trainer, model, meter, folder)
    return _event(meter.measured(None), prediction, loaded, static, attempt)


def worst(mine: MemoryProbed, ranks: Ranks) -> MemoryProbed:
    """The largest figures of all ranks: the rank that takes most decides what fits."""
    if ranks.size == 1:
        return mine
    own = (mine.peak_bytes, mine.static_bytes, mine.reserved_bytes or 0, mine.device_used_bytes or 0)
    figures = ranks.figures([*own, *(size for _, size in mine.phases)])
    peak, static, reserved, used, *sizes = (int(max(of_all)) for of_all in zip(*figures, strict=True))
    return replace(
        mine,
        peak_bytes=peak,
        static_bytes=static,
        reserved_bytes=reserved or None,
        device_used_bytes=used or None,
        phases=tuple((phase, size) for (phase, _), size in zip(mine.phases, sizes, strict=True)),
    )


def _measured(trainer: RunTrainer, model: Any, meter: Meter, folder: Path) -> None:
    try:
        _step(trainer, model, meter)
        if trainer.eval_dataset is not None:
            meter.enter("eval")
            rows = longest(trainer.eval_dataset, trainer.args.per_device_eval_batch_size)
            trainer.mean_loss([trainer.data_collator(rows)])
        meter.enter("save")
        spread = is_sharded(trainer.model)  # then all ranks put together what the first one writes
        if trainer.ranks.is_first or spread:
            trainer.save_model(str(folder), _internal_call=True)
            state = whole_optimizer_state(trainer.optimizer) if spread else trainer.optimizer.state_dict()
        if trainer.ranks.is_first:
            torch.save(state, folder / "optimizer.pt")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_loaded(allocated: int, prediction: MemoryPrediction) -> str:
    """What to warn of when what lies in memory after loading is not what was predicted; empty when it is.

    Raises ModelError where the prediction comes from the libraries' own step: then they read another model.
    """
    predicted = sum(size for name, size in prediction.terms if name in LOADED_TERMS)
    if not predicted or abs(allocated - predicted) <= MISREAD * predicted:
        return ""
    told = f"the loaded model takes {format_bytes(allocated)}, predicted were {format_bytes(predicted)}"
    if prediction.method != "dry run":
        return f"{told}: the prediction is an estimate"
    raise ModelError(
        f"Misread configuration: {told}.",
        means="What was planned is not what was loaded, so neither the plan nor its memory can be trusted.",
        remedy="Check the model's config.json and weights; memory.probe = false starts without this check.",
    )


def longest(rows: Dataset, count: int) -> list[dict[str, Any]]:
    """The `count` rows with most tokens, among equals those with most trained ones."""
    lengths = [len(ids) for ids in rows["input_ids"]]
    trained = [sum(label != IGNORED for label in labels) for labels in rows["labels"]]
    order: Sequence[int] = sorted(range(len(rows)), key=lambda row: (lengths[row], trained[row]), reverse=True)
    return [dict(rows[row]) for row in order[:count]]


def allocated_bytes(trainer: RunTrainer) -> int:
    """What lies there now: PyTorch's count on a card, model and optimizer state on a CPU, which keeps no count."""
    if trainer.args.device.type == "cuda":
        return torch.cuda.memory_allocated(trainer.args.device)
    optimizer: Any = trainer.optimizer
    return tensor_bytes(trainer.model, getattr(optimizer, "optimizer", optimizer))


def _step(trainer: RunTrainer, model: Any, meter: Meter) -> None:
    """Forward and backward pass, clipping and the optimizer, as transformers' loop does them.

    `model` is what it trains through: with several ranks, what also holds the gradients that they exchange.
    """
    args = trainer.args
    batch = trainer.data_collator(longest(trainer.train_dataset, args.per_device_train_batch_size))
    micro_batches = min(args.gradient_accumulation_steps, 2)  # from the second on, gradients are there already
    num_items = trainer._get_num_items_in_batch([batch] * micro_batches, args.device)
    trainer.current_gradient_accumulation_steps = micro_batches
    trainer.model.train()
    for _ in range(micro_batches):
        with trainer.maybe_activation_offload_context:
            meter.enter("forward")
            inputs = trainer._prepare_inputs(dict(batch))
            loss = trainer.compute_loss(model, inputs, num_items_in_batch=num_items)
            del inputs
            meter.enter("backward")
            trainer.accelerator.backward(loss)
            del loss
    meter.enter("optimizer")
    for parameter in trainer.model.parameters():
        if parameter.grad is not None:
            parameter.grad.zero_()
    trainer._clip_grad_norm(trainer.model)
    trainer.optimizer.step()
    trainer.model.zero_grad()


@contextmanager
def _untouched(trainer: RunTrainer) -> Iterator[Any]:
    """The model and a throw-away optimizer made ready as for training; in the end everything is as it was."""
    accelerator, args = trainer.accelerator, trainer.args
    random_states, was_training, scaler = RandomStates.now(), trainer.model.training, accelerator.scaler
    counted = trainer.num_tokens, trainer._total_train_tokens, trainer._metrics
    trainer._metrics = copy.deepcopy(counted[2])
    accelerator.scaler = copy.deepcopy(scaler)
    try:
        if args.activation_checkpointing:
            trainer.model.activation_checkpointing_enable(args.activation_checkpointing_kwargs or None)
        optimizer: Any = trainer.create_optimizer()
        for group in optimizer.param_groups:  # with gradients of zero, nothing can move a weight
            group["lr"], group["weight_decay"] = 0.0, 0.0
        model, trainer.optimizer = accelerator.prepare(trainer.model, optimizer)
        del optimizer
        _fill_state(trainer)
        yield model
    finally:
        model = None
        trainer.model.zero_grad()
        trainer.optimizer = None
        accelerator.scaler = scaler
        accelerator.free_memory()
        trainer.num_tokens, trainer._total_train_tokens, trainer._metrics = counted
        trainer.model.train(was_training)
        random_states.restore()


def _fill_state(trainer: RunTrainer) -> None:
    """Make the optimizer's state: it lies there from the second step on, and the first alone takes less."""
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    trainer.optimizer.step()
    trainer.model.zero_grad()


def _device(trainer: RunTrainer) -> str:
    return "cpu" if trainer.args.device.type == "cpu" else str(trainer.args.device)


def _event(
    found: Measured[None], prediction: MemoryPrediction | None, loaded: int, static: int, attempt: int
) -> MemoryProbed:
    before = static if found.allocated_before_bytes is None else found.allocated_before_bytes
    phases = tuple((one.phase, before + one.peak_bytes) for one in found.phases)
    return MemoryProbed(
        attempt=attempt,
        predicted_bytes=prediction.peak_bytes if prediction else None,
        predicted_static_bytes=prediction.static_bytes if prediction else None,
        peak_bytes=max(peak for _, peak in phases),
        static_bytes=static,
        phases=(("load", loaded), *((name, peak) for name, peak in phases if name != "all")),
        seconds=round(found.seconds, 3),
        reserved_bytes=found.reserved_bytes,
        device_used_bytes=found.device_used_bytes,
    )
