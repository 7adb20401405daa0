"""Weights trained under one plan, made into a checkpoint of another plan's shape.

The rank is cut by the best approximation of each layer's product; a layer that keeps its shape keeps its bits.
Step, epoch, order of rows and schedule go on. Not here: whether it is possible, and in words (`engine.carrying`).
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor

from engine import checkpoints
from engine.carrying import Change, rewarmup_steps
from engine.checkpoints import Checkpoint
from engine.event_log import EventWriter
from engine.events import WarningRaised, WeightsCarried
from engine.training import lean_dora
from engine.training.out_of_memory import Raised, forget_frames, out_of_memory
from engine.training.trainer import RunTrainer

ADAPTER = "adapter_model.safetensors"
OPTIMIZER = "optimizer.pt"
BEFORE = "before"
MAX_EVAL_ROWS = 64
_A, _B = "lora_A.weight", "lora_B.weight"


def carry_over(found: Checkpoint, changed: Change, trainer: RunTrainer, writer: EventWriter) -> Checkpoint:
    """The checkpoint in the trainer's shape, sealed in place of `found`. `changed` is what it takes.

    The trainer's model holds the weights afterwards. Eval losses are measured where memory allows.
    """
    staged = Path(trainer.args.output_dir) / f"checkpoint-{found.step}"
    shutil.rmtree(staged, ignore_errors=True)
    before = _told(lambda: _loss_before(found, trainer), "before", writer)
    error = 0.0
    if found.key["method"] == "full":
        shutil.copytree(found.path, staged, ignore=shutil.ignore_patterns(checkpoints.MANIFEST))
        trainer._load_from_checkpoint(str(found.path))
    else:
        error = _carry_adapter(found, trainer, staged)
    progress = found.progress
    if not changed.optimizer_kept:
        over = rewarmup_steps(trainer.total_steps - found.step)
        progress = replace(progress, num_rows=0, rewarmed_at=found.step, rewarmup_steps=over)
        trainer.optimizer = None
        torch.save(trainer.create_optimizer().state_dict(), staged / OPTIMIZER)
        trainer.optimizer = None
    trainer.progress = replace(progress, num_rows=len(trainer.train_dataset))
    carried = checkpoints.seal(
        staged, trainer.folder, found.step, trainer.key, replace(progress, num_rows=found.progress.num_rows)
    )
    writer.write(
        WeightsCarried(
            step=found.step,
            changes=changed.words,
            error=round(error, 6),
            optimizer_kept=changed.optimizer_kept,
            warmup_steps=0 if changed.optimizer_kept else progress.rewarmup_steps,
            eval_loss_before=before,
            eval_loss_after=_told(lambda: eval_loss(trainer), "after", writer),
        )
    )
    return carried


def reshaped(
    old: Mapping[str, Tensor], fresh: Mapping[str, Tensor], old_scaling: float, scaling: float
) -> tuple[dict[str, Tensor], float]:
    """The adapter `old` with the names, ranks and dtypes of `fresh`, and the relative error of its products.

    A product is scaling * B A, B (out, r) and A (r, in); the error is in the Frobenius norm over all layers that
    both have. What only `fresh` has stays as it is there; what only `old` has is dropped.
    """
    made = {name: tensor.clone() for name, tensor in fresh.items()}
    missed, whole = 0.0, 0.0
    for name in (name.removesuffix(_A) for name in fresh if name.endswith(_A)):
        if name + _A not in old or name + _B not in old:
            continue
        a, b = old[name + _A], old[name + _B]
        rank = fresh[name + _A].shape[0]
        if a.shape[0] > rank:
            a, b = truncated(a, b, rank, old_scaling / scaling)
        elif old_scaling != scaling:
            b = b * (old_scaling / scaling)
        # A rank that grew: the new rows of A are random as ever, the new columns of B zero.
        made[name + _A][: a.shape[0]] = a
        made[name + _B].zero_()[:, : b.shape[1]] = b
        was, now = (old[name + _A], old[name + _B], old_scaling), (made[name + _A], made[name + _B], scaling)
        missed += _distance(was, now) ** 2
        whole += _distance(was, (a[:0], b[:, :0], scaling)) ** 2
    for name in fresh:
        if "lora_magnitude" in name and name in old:
            made[name].copy_(old[name])
    return made, sqrt(missed / whole) if whole else 0.0


def truncated(a: Tensor, b: Tensor, rank: int, factor: float) -> tuple[Tensor, Tensor]:
    """(A, B) of that rank whose product is nearest to factor * B A: its leading singular vectors, float64."""
    q_b, r_b = torch.linalg.qr(b.double())
    q_a, r_a = torch.linalg.qr(a.double().t())
    left, values, right = torch.linalg.svd(factor * r_b @ r_a.t())
    root = values[:rank].sqrt()
    return root[:, None] * (right[:rank] @ q_a.t()), (q_b @ left[:, :rank]) * root


def _distance(one: tuple[Tensor, Tensor, float], other: tuple[Tensor, Tensor, float]) -> float:
    """Frobenius norm of the difference of two products scale * B A, without making either. Each is (A, B, scale)."""
    if torch.equal(one[0], other[0]) and torch.equal(one[1], other[1]) and one[2] == other[2]:
        return 0.0
    tall = torch.cat([one[2] * one[1].double(), -other[2] * other[1].double()], dim=1)
    wide = torch.cat([one[0].double(), other[0].double()])
    return float((torch.linalg.qr(tall)[1] @ torch.linalg.qr(wide.t())[1].t()).norm())


def scaling_of(key: Mapping[str, Any]) -> float:
    """What an adapter's product is multiplied by, from the key of its plan."""
    return float(key["lora_alpha"]) / (sqrt(key["r"]) if key["use_rslora"] else key["r"])


def measures_together(trainer: RunTrainer) -> bool:
    """Whether a loss takes every rank (TRL's fused head counts over all of them), while only rank 0 carries over."""
    return trainer.ranks.size > 1 and trainer.head is None


def eval_loss(trainer: RunTrainer) -> float | None:
    """Mean loss over the first eval rows; None where there are none."""
    rows = trainer.eval_dataset
    if rows is None or measures_together(trainer):
        return None
    size = trainer.args.per_device_eval_batch_size
    picked = [dict(row) for row in rows.select(range(min(len(rows), MAX_EVAL_ROWS)))]
    return trainer.mean_loss(trainer.data_collator(picked[at : at + size]) for at in range(0, len(picked), size))


def _carry_adapter(found: Checkpoint, trainer: RunTrainer, staged: Path) -> float:
    """Give the model the old adapter in its own shape and stage it with all else. Returns the products' error."""
    old = load_file(found.path / ADAPTER)
    fresh = {name: tensor.detach().cpu() for name, tensor in get_peft_model_state_dict(trainer.model).items()}
    made, error = reshaped(old, fresh, scaling_of(found.key), scaling_of(trainer.key))
    set_peft_model_state_dict(trainer.model, made)
    trainer.save_model(str(staged), _internal_call=True)
    for path in found.path.iterdir():
        if path.is_file() and path.name != checkpoints.MANIFEST and not (staged / path.name).exists():
            shutil.copy2(path, staged / path.name)
    return error


def _loss_before(found: Checkpoint, trainer: RunTrainer) -> float | None:
    """Eval loss of the old weights on this attempt's base."""
    if trainer.eval_dataset is None or measures_together(trainer):
        return None
    model: Any = trainer.model
    if found.key["method"] == "full":
        trainer._load_from_checkpoint(str(found.path))
        return eval_loss(trainer)
    was_training = model.training
    model.load_adapter(str(found.path), BEFORE, is_trainable=False, torch_device=str(trainer.args.device))
    try:
        if found.key["use_dora"]:
            lean_dora.install(model)
        model.set_adapter(BEFORE)
        return eval_loss(trainer)
    finally:
        model.set_adapter("default")
        model.delete_adapter(BEFORE)
        model.train(was_training)


def _told(measure: Callable[[], float | None], when: str, writer: EventWriter) -> float | None:
    """A loss, rounded for the event; None, with a warning that says why, where memory does not suffice for it."""
    try:
        loss = measure()
    except Raised as fault:
        lacking = out_of_memory(fault)
        if lacking is None:
            raise
        forget_frames(fault)
    else:
        return None if loss is None else round(loss, 6)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    writer.write(WarningRaised(text=f"the eval loss {when} carrying the weights over does not fit: {lacking.message}"))
    return None
