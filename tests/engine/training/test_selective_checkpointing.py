"""Checkpointing that keeps attention: the same step as full checkpointing, with attention computed once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from engine.training.model_loading import load_model
from engine.training.selective_checkpointing import keep_attention

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


class Attended(TorchDispatchMode):
    """Counts the passes of the CPU's attention kernel."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("selective", "times"), [(False, 2), (True, 1)])
def test_each_layers_attention_is_computed_once(
    tiny_model_of: Callable[[str], Path], selective: bool, times: int
) -> None:
    plain, model = (load_model(tiny_model_of("llama"), dtype="float32").train() for _ in range(2))
    if selective:
        keep_attention(model)
    checkpointed: Any = model
    checkpointed.activation_checkpointing_enable()
    ids = torch.arange(24).view(2, 12)
    plain(ids, labels=ids).loss.backward()
    with Attended() as attended:
        model(ids, labels=ids).loss.backward()
    assert attended.count == times * model.config.num_hidden_layers
    for one, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_an_attempt_learns_the_same_with_it(rig: Callable[..., Any]) -> None:
    """Through TRL and an adapter, which TRL's own kind does not reach."""
    losses = {}
    for selective in (False, True):
        made = rig(training={"max_steps": 3, "padding_free": False, "learning_rate": 1e-3})
        trainer, callback = made.build(gradient_checkpointing=True, selective_checkpointing=selective)
        with Attended() as attended:
            made.train(trainer, callback)
        losses[selective] = [step.loss for step in made.steps()], attended.count
    assert losses[True][0] == pytest.approx(losses[False][0], rel=1e-6)
    assert losses[True][1] < losses[False][1]
