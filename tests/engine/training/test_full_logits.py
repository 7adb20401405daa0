"""Training without the fused loss: the model's own, of logits of every position; and what a lean DoRA run installs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from engine.training.lean_dora import LeanDoraVariant
from engine.training.rendering import IGNORED

# peft asks a model of transformers under the old name of a property; it answers as ever.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def loosen(trainer: Any) -> None:
    """Give the adapter weights that do something; fresh, its second matrix is zero."""
    numbers = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=numbers) / 10)


def step_losses(made: Any, **changes: Any) -> list[float]:
    trainer, callback = made.build(**changes)
    loosen(trainer)
    made.train(trainer, callback)
    return [event.loss for event in made.steps()]


@pytest.mark.parametrize("family", ["llama", "gemma3", "granite"])
@pytest.mark.parametrize("padding_free", [True, False])
@pytest.mark.parametrize("accumulation", [1, 4])
def test_the_full_logits_give_the_losses_of_the_fused_loss(
    rig: Callable[..., Any], family: str, padding_free: bool, accumulation: int
) -> None:
    """Over whole steps, so that the mean is taken over the tokens of all micro-batches. The last step has 4 rows."""
    found = []
    for fused_loss in (True, False):
        made = rig(family, training={"max_steps": 3, "padding_free": padding_free, "learning_rate": 1e-3})
        sizes = {"per_device_train_batch_size": 8 // accumulation, "gradient_accumulation_steps": accumulation}
        found.append(step_losses(made, fused_loss=fused_loss, **sizes))
    assert found[1] == pytest.approx(found[0], rel=1e-4)


@pytest.mark.parametrize("padding_free", [True, False])
def test_the_eval_loss_is_exact_with_full_logits_too(rig: Callable[..., Any], padding_free: bool) -> None:
    trainer, _ = rig(training={"padding_free": padding_free}).build(fused_loss=False, per_device_eval_batch_size=3)
    loosen(trainer)
    total, count = 0.0, 0
    trainer.model.eval()
    for row in trainer.eval_dataset:
        with torch.no_grad():
            logits = trainer.model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1]
        labels = torch.tensor(row["labels"][1:])
        total += float(cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum"))
        count += int((labels != IGNORED).sum())
    assert trainer.evaluate()["eval_loss"] == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("fused_loss", [True, False])
def test_only_without_it_are_logits_of_every_position_made(rig: Callable[..., Any], fused_loss: bool) -> None:
    made = rig(training={"max_steps": 1})
    trainer, callback = made.build(fused_loss=fused_loss)
    shapes: list[tuple[int, ...]] = []
    trainer.model.get_base_model().lm_head.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape)))
    made.train(trainer, callback)
    (step,) = made.steps()
    assert shapes == ([] if fused_loss else [(1, step.num_tokens, trainer.model.config.vocab_size)])


@pytest.mark.parametrize("lean_dora", [True, False])
def test_a_lean_dora_plan_replaces_every_dora_layer(rig: Callable[..., Any], lean_dora: bool) -> None:
    trainer, _ = rig(adapter={"use_dora": True}).build(lean_dora=lean_dora)
    variants = [
        variant for module in trainer.model.modules() for variant in getattr(module, "lora_variant", {}).values()
    ]
    assert len(variants) == 2 * 7
    assert all(isinstance(variant, LeanDoraVariant) == lean_dora for variant in variants)
